"""A PyTorch model's step as operators: run once on tensors that have shapes but no memory."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

from acumen.placement.pytorch.captured import Captured, CaptureError
from acumen.placement.pytorch.library import torch
from acumen.placement.pytorch.recorder import Recorder

Optimizer = Literal["sgd", "adam"]
Found = TypeVar("Found")
# Of no consequence for the graph: what an update needs to be written out.
_LEARNING_RATE = 1e-3


def capture_training_step(
    model: Any,
    example_inputs: tuple[Any, ...] | Mapping[str, Any],
    loss: Callable[..., Any] | None = None,
    targets: tuple[Any, ...] = (),
    optimizer: Optimizer = "sgd",
    name: str | None = None,
    rebuild: Callable[[Any, Any], Any] | None = None,
) -> Captured:
    """One training step: forward, backward and the update of every parameter.

    Nothing is computed and no weight is allocated: the step runs on fake tensors, as if on a CPU.

    Args:
        model: an `nn.Module` (on whatever device; "meta" takes no memory), or a function without
            arguments that makes one, which is then called with "meta" as the default device.
        example_inputs: of the shapes of one batch, on any device; by position or by name.
        loss: makes a scalar of what the model returns and of the targets; None: what the model
            returns is the scalar, or has it as `loss`.
        targets: what the loss wants besides.
        optimizer: whose update is written out: "sgd" without momentum, or "adam", which keeps
            two numbers for each parameter.
        name: of the result; the model's class if None.
        rebuild: makes another module of the fake one and its fake inputs, which is captured
            instead (a pipeline of stages, say); None: the module stays as it is.

    Returns:
        The step.

    Raises:
        CaptureError: the step looks at values (`.item()`, `if tensor:`), or the loss is no scalar.
        ImportError: PyTorch is not installed.
    """
    if optimizer not in STATES:
        raise CaptureError(f"there is no optimiser {optimizer!r}: known are sgd and adam")
    t = torch()
    with _fake():
        module = _copy_without_memory(model)
        named = name or type(module).__name__
        recorder = Recorder()
        if rebuild is not None:
            module = rebuild(module, _likes(example_inputs))
        states = _parameters(recorder, module, STATES[optimizer])
        args, kwargs = _inputs(recorder, example_inputs)
        extra, _ = _inputs(recorder, targets, "target")
        trained = [one for one in module.parameters() if one.requires_grad]
        with recorder.recording(), _paths(recorder, module), t.enable_grad(), _explained():
            out = module(*args, **kwargs)
            scalar = _scalar(loss(out, *extra) if loss else getattr(out, "loss", out))
            recorder.phase = "backward"
            gradients = t.autograd.grad(scalar, trained, allow_unused=True)
            recorder.phase = "update"
            with t.no_grad():
                for parameter, gradient in zip(trained, gradients, strict=True):
                    if gradient is not None:
                        recorder.path, state = states[id(parameter)]
                        _UPDATES[optimizer](parameter, gradient, *state)
        no_split = _no_split(module)
    return recorder.captured(named, no_split)


def on_fakes(model: Any, example_inputs: Any, look: Callable[[Any, Any], Found]) -> Found:
    """What a function finds out about a model from a copy of it, and of inputs, without memory."""
    with _fake():
        return look(_copy_without_memory(model), _likes(example_inputs))


def capture_inference(
    model: Any, example_inputs: tuple[Any, ...] | Mapping[str, Any], name: str | None = None
) -> Captured:
    """The forward pass alone, exported by `torch.export`, so as it is deployed.

    Args:
        model: as in `capture_training_step`; it is exported in the mode (train or eval) it is in.
        example_inputs: of the shapes of one batch.
        name: of the result; the model's class if None.

    Raises:
        CaptureError: `torch.export` cannot export the model; the message has its reason.
        ImportError: PyTorch is not installed.
    """
    t = torch()
    with _fake(), t.no_grad():
        module = _copy_without_memory(model)
        recorder = Recorder()
        _parameters(recorder, module, None)
        args, kwargs = _inputs(recorder, example_inputs)
        try:
            exported = t.export.export(module, args, kwargs, strict=False)
        except Exception as error:  # its errors have many classes and no common one
            reason = str(error).strip().partition("\n")[0]
            raise CaptureError(f"torch.export cannot export the model: {reason}") from error
        values = _values(exported, module, args, kwargs)
        with recorder.recording(), _explained():
            _replay(exported.graph_module, recorder, values)
    return recorder.captured(name or type(module).__name__, _no_split(module))


@contextmanager
def _fake() -> Iterator[None]:
    """In this block tensors have shapes and no memory; a model's own constants join them."""
    t = torch()
    mode = t._subclasses.fake_tensor.FakeTensorMode(allow_non_fake_inputs=True)
    # The CPU's library has a whole recurrent network as one opaque operator: its parts are wanted.
    library, before = t.backends.mkldnn, t.backends.mkldnn.enabled
    library.enabled = False
    try:
        with mode:
            yield
    finally:
        library.enabled = before


def _copy_without_memory(model: Any) -> Any:
    """A copy of a module whose tensors are all fake; weights that are tied stay so."""
    t = torch()
    if not isinstance(model, t.nn.Module):
        with t._subclasses.fake_tensor.unset_fake_temporarily(), t.device("meta"):
            model = model()
        if not isinstance(model, t.nn.Module):
            raise CaptureError(f"the function makes a {type(model).__name__}, not an nn.Module")
    copies: dict[int, Any] = {}
    loose = (
        value
        for one in model.modules()
        for value in t.utils._pytree.tree_leaves(vars(one))
        if isinstance(value, t.Tensor)
    )
    for tensor in (*model.parameters(), *model.buffers(), *loose):
        if id(tensor) in copies:
            continue
        fake = _like(tensor)
        if isinstance(tensor, t.nn.Parameter):
            fake = t.nn.Parameter(fake, requires_grad=tensor.requires_grad)
        copies[id(tensor)] = fake
    return copy.deepcopy(model, copies)


def _likes(example: Any) -> Any:
    t = torch()
    return t.utils._pytree.tree_map(
        lambda one: _like(one) if isinstance(one, t.Tensor) else one, example
    )


def _like(tensor: Any) -> Any:
    shape, strides = tensor.size(), tensor.stride()
    return torch().empty_strided(shape, strides, dtype=tensor.dtype, device="cpu")


def _parameters(
    recorder: Recorder, module: Any, states: int | None
) -> dict[int, tuple[str, list[Any]]]:
    """Names all that stays; answers each one's name and its optimiser's state, by identity.

    How many numbers the optimiser keeps for one of a parameter: `states`; None: none is trained.
    """
    names: dict[int, list[str]] = {}
    every = (
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    )
    for name, tensor in every:
        names.setdefault(id(tensor), []).append(name)
    found: dict[int, tuple[str, list[Any]]] = {}
    for _, tensor in every:
        if id(tensor) not in found:
            trained = states is not None and tensor.requires_grad
            kept = [_like(tensor) for _ in range((states or 0) if trained else 0)]
            found[id(tensor)] = (names[id(tensor)][0], kept)
            recorder.add_parameter(tuple(names[id(tensor)]), tensor, trained, kept)
    return found


def _no_split(module: Any) -> dict[str, str]:
    """The modules whose classes a model of transformers does not want split, and their classes."""
    wanted: set[str] = set()
    for one in module.modules():
        wanted.update(getattr(one, "_no_split_modules", None) or ())
    paths = {path: type(one).__name__ for path, one in module.named_modules()}
    return {path: kind for path, kind in paths.items() if path and kind in wanted}


def _inputs(
    recorder: Recorder, example: tuple[Any, ...] | Mapping[str, Any], label: str = ""
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Fake tensors in the place of all tensors among the inputs: positional, by name."""
    t = torch()
    if isinstance(example, t.Tensor):
        raise CaptureError("inputs are a tuple or a mapping of tensors, not one tensor")
    pytree = t.utils._pytree

    def faked(path: Any, value: Any) -> Any:
        if not isinstance(value, t.Tensor):
            return value
        fake = _like(value)
        name = "".join(str(getattr(key, "key", getattr(key, "idx", key))) for key in path)
        recorder.add_input(label + name, fake)
        return fake

    whole = dict(example) if isinstance(example, Mapping) else tuple(example)
    fakes = pytree.tree_map_with_path(faked, whole)
    return ((), fakes) if isinstance(fakes, dict) else (fakes, {})


@contextmanager
def _paths(recorder: Recorder, module: Any) -> Iterator[None]:
    """The recorder knows in which module's forward the program is."""
    hooks = torch().nn.modules.module
    paths: dict[int, str] = {}
    for path, one in module.named_modules():
        paths.setdefault(id(one), path)

    def enter(one: Any, _: Any) -> None:
        recorder.modules.append(paths.get(id(one), recorder.path))

    def leave(_one: Any, _inputs: Any, _output: Any) -> None:
        recorder.modules.pop()

    handles = [
        hooks.register_module_forward_pre_hook(enter),
        hooks.register_module_forward_hook(leave),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _explained() -> Iterator[None]:
    """Says what to do where a model looks at values that there are not."""
    fakes = torch()._subclasses.fake_tensor
    try:
        yield
    except (fakes.DataDependentOutputException, fakes.DynamicOutputShapeException) as error:
        raise CaptureError(
            f"the model looks at the values of tensors ({error}), which a capture does not have"
        ) from error


def _scalar(value: Any) -> Any:
    if not isinstance(value, torch().Tensor):
        raise CaptureError(f"the loss is a {type(value).__name__}, not a tensor: give `loss`")
    if value.numel() != 1 or not value.requires_grad:
        raise CaptureError(f"the loss has shape {tuple(value.shape)}: it must be a number to train")
    return value.reshape(())


def _sgd(parameter: Any, gradient: Any) -> None:
    parameter.add_(gradient, alpha=-_LEARNING_RATE)


def _adam(parameter: Any, gradient: Any, mean: Any, square: Any) -> None:
    """Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015."""
    mean.lerp_(gradient, 0.1)
    square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
    parameter.addcdiv_(mean, square.sqrt().add_(1e-8), value=-_LEARNING_RATE)


_UPDATES: dict[str, Callable[..., None]] = {"sgd": _sgd, "adam": _adam}
# How many numbers each optimiser keeps for one of a parameter.
STATES: dict[str, int] = {"sgd": 0, "adam": 2}


def _values(exported: Any, module: Any, args: Any, kwargs: Any) -> Iterator[Any]:
    """What an exported graph takes, in its order; constants of the model's code are made fake."""
    t = torch()
    state = dict(module.named_parameters(remove_duplicate=False))
    state.update(module.named_buffers(remove_duplicate=False))
    given = iter(t.utils._pytree.tree_leaves((args, kwargs)))
    for spec in exported.graph_signature.input_specs:
        if spec.kind.name == "USER_INPUT":
            yield next(given)
        elif spec.target in state:
            yield state[spec.target]
        elif isinstance(exported.constants.get(spec.target), t.Tensor):
            yield _like(exported.constants[spec.target])
        else:
            raise CaptureError(f"the exported model takes a {spec.kind.name.lower()}: {spec.arg}")


def _replay(graph_module: Any, recorder: Recorder, values: Iterator[Any]) -> None:
    """Runs an exported graph node by node; each one knows its module."""
    fx = torch().fx

    class Replay(fx.Interpreter):  # type: ignore[misc, name-defined]
        def run_node(self, node: Any) -> Any:
            stack = node.meta.get("nn_module_stack") or {"": ("", None)}
            recorder.path = list(stack.values())[-1][0]
            return super().run_node(node)

    Replay(graph_module).run(*values)
