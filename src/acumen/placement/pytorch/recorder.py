"""Watches a step of fake tensors run, and writes down every operator that does something.

It sits below autograd, so that forward, backward and the update all pass through it as the same
few operators. Memory tells who reads what: an output whose memory is known is a view and no
operator; an operator that writes known memory makes a new tensor there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from acumen.placement.costs import Precision
from acumen.placement.pytorch.captured import (
    NO_CALL,
    Call,
    Captured,
    CaptureError,
    Operator,
    Parameter,
    Phase,
)
from acumen.placement.pytorch.encoding import encode_call
from acumen.placement.pytorch.library import torch

OPERATORS_MAX = 10_000_000
# They only reserve memory: whoever writes there first makes the tensor.
RESERVES = {"empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided"}
# They read of their first tensor as much as they write, not all of it.
GATHERS = {"embedding", "index_select", "gather", "index"}
# They write their first tensor without reading it.
FILLS = {"copy_", "fill_", "zero_", "normal_", "uniform_", "bernoulli_"}
# The formula for the CUDA kernel counts what the CPU's does, too.
SAME_FLOPS = {
    "_scaled_dot_product_flash_attention_for_cpu": "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_flash_attention_for_cpu_backward": (
        "_scaled_dot_product_flash_attention_backward"
    ),
}


class Memory:
    """One allocation: what lies there now, who wrote it, and who has read it since."""

    __slots__ = ("parameter", "readers", "reference", "tensor", "writer")

    def __init__(self, reference: Any, parameter: int = -1, tensor: int = -1, writer: int = -1):
        self.reference = reference  # keeps the address from being given to another
        self.parameter, self.tensor, self.writer = parameter, tensor, writer
        self.readers: list[int] = []


class Recorder:
    """Writes down operators while `recording`.

    Attributes:
        phase: what the operators that come now belong to.
        path: the module, where no module's forward is running (in a replay); in the update the
            parameter.
    """

    def __init__(self) -> None:
        self.phase: Phase = "forward"
        self.path = ""
        self.modules: list[str] = []
        self._calls: list[Call] = []
        self._call_numbers: dict[tuple[str, str], int] = {}
        self._operators: list[Operator] = []
        self._tensor_bytes: list[int] = []
        self._parameters: list[Parameter] = []
        self._memory: dict[int, Memory] = {}
        self._made_by: list[int] = []
        self._differentiates: dict[int, str] = {}
        self._times: dict[str, int] = {}

    def add_parameter(
        self, names: tuple[str, ...], tensor: Any, trained: bool, states: list[Any]
    ) -> None:
        """Something that stays: where it lies, and its optimiser's state."""
        number = len(self._parameters)
        sizes = [int(one.untyped_storage().nbytes()) for one in (tensor, *states)]
        gradient = sizes[0] if trained else 0
        self._parameters.append(Parameter(names, sizes[0], gradient, sum(sizes[1:])))
        for one in (tensor, *states):
            key, reference = _address(one)
            self._memory[key] = Memory(reference, parameter=number)

    def add_input(self, name: str, tensor: Any) -> None:
        """An example input: it arrives where its operator is placed."""
        key, reference = _address(tensor)
        if key not in self._memory:
            self._memory[key] = Memory(reference)
            made = (self._make(key, tensor),)
            self._append("", f"input/{name}", "input", NO_CALL, makes=made)

    def captured(self, name: str, no_split: Mapping[str, str]) -> Captured:
        """What was recorded, of a model that wants these modules on one device."""
        return Captured(
            name, self._calls, self._operators, self._tensor_bytes, self._parameters, no_split
        )

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Everything that PyTorch runs in this block is recorded."""
        t = torch()
        recorder = self

        class Mode(t.utils._python_dispatch.TorchDispatchMode):  # type: ignore[misc, name-defined]
            def __torch_dispatch__(
                self, func: Any, types: Any, args: Any = (), kwargs: Any = None
            ) -> Any:
                out = func(*args, **(kwargs or {}))
                if func.namespace != "prim":
                    recorder._see(func, args, kwargs or {}, out)
                return out

        with Mode():
            yield

    def _see(self, func: Any, args: Any, kwargs: dict[str, Any], out: Any) -> None:
        name = func._schema.name.partition("::")[2]
        if name in RESERVES:
            return
        inputs = [one for one in _tensors(args) + _tensors(kwargs.values()) if one.numel()]
        outputs = [one for one in _tensors((out,)) if one.numel()]
        written = _written(func, args, kwargs) if func._schema.is_mutable else []
        fresh = [one for one in outputs if _address(one)[0] not in self._memory]
        written = [one for one in written if one.numel()]
        if not fresh and not written:
            return
        call = self._call(func, name, args, kwargs, inputs, outputs, written, out)
        self._record(name, call, inputs, fresh, written)

    def _record(
        self, op: str, call: int, inputs: list[Any], fresh: list[Any], written: list[Any]
    ) -> None:
        number = len(self._operators)
        # Sets that keep their order.
        reads: dict[int, None] = {}
        replaces: dict[int, None] = {}
        parameters: dict[int, None] = {}
        after: dict[int, None] = {}
        makes: dict[int, None] = {}
        for tensor in inputs:
            memory = self._memory.get(_address(tensor)[0])
            if memory is None:
                continue
            if memory.parameter >= 0:
                parameters[memory.parameter] = None
                if memory.writer >= 0:
                    after[memory.writer] = None
            elif memory.tensor >= 0:
                reads[memory.tensor] = None
        for tensor in written:
            key, reference = _address(tensor)
            memory = self._memory.setdefault(key, Memory(reference))
            after.update(dict.fromkeys(memory.readers))
            memory.readers = []
            memory.writer = number
            if memory.parameter < 0:
                if memory.tensor >= 0:
                    replaces[memory.tensor] = None
                makes[self._make(key, tensor)] = None
        for tensor in fresh:
            key, reference = _address(tensor)
            if key not in self._memory:
                self._memory[key] = Memory(reference, writer=number)
                makes[self._make(key, tensor)] = None
        for tensor in inputs:
            memory = self._memory.get(_address(tensor)[0])
            if memory is not None and memory.writer != number:
                memory.readers.append(number)
        made_before = {self._made_by[tensor] for tensor in reads}
        self._append(
            *self._where(op),
            call,
            reads=tuple(reads),
            makes=tuple(makes),
            replaces=tuple(replaces),
            parameters=tuple(parameters),
            after=tuple(one for one in after if one not in made_before),
        )

    def _make(self, key: int, tensor: Any) -> int:
        """A new tensor in this memory, made by the operator that is appended next."""
        self._tensor_bytes.append(int(tensor.untyped_storage().nbytes()))
        self._made_by.append(len(self._operators))
        self._memory[key].tensor = len(self._tensor_bytes) - 1
        return len(self._tensor_bytes) - 1

    def _where(self, op: str) -> tuple[str, str, Phase]:
        """Module, name and phase of what runs now."""
        t = torch()
        if self.phase == "update":
            return self.path.rpartition(".")[0], f"{self.path}/update/{op}", self.phase
        if self.phase == "backward":
            # Autograd numbers what it differentiates; what adds gradients up has no number.
            node = t._C._current_autograd_node()
            if node is not None:
                self.path = self._differentiates.get(node._sequence_nr(), self.path)
            module = self.path
        else:
            module = self.modules[-1] if self.modules else self.path
            if self.phase == "forward":
                self._differentiates.setdefault(t.autograd._get_sequence_nr() - 1, module)
        phase = "" if self.phase == "forward" else f"{self.phase}/"
        return module, f"{module}/{phase}{op}".lstrip("/"), self.phase

    def _append(self, module: str, name: str, phase: Phase, call: int, **others: Any) -> None:
        if len(self._operators) >= OPERATORS_MAX:
            raise CaptureError(f"more than {OPERATORS_MAX:,} operators")
        times = self._times[name] = self._times.get(name, 0) + 1
        empty = dict.fromkeys(("reads", "makes", "replaces", "parameters", "after"), ())
        unique = name if times == 1 else f"{name}#{times}"
        fields: dict[str, Any] = empty | others
        self._operators.append(Operator(unique, module, phase, call, **fields))

    def _call(
        self,
        func: Any,
        name: str,
        args: Any,
        kwargs: dict[str, Any],
        inputs: list[Any],
        outputs: list[Any],
        written: list[Any],
        out: Any,
    ) -> int:
        key = (str(func), encode_call(args, kwargs))
        number = self._call_numbers.get(key)
        if number is None:
            number = self._call_numbers[key] = len(self._calls)
            into = written or outputs
            writes = sum(_touched(one) for one in into)
            reads = sum(_touched(one) for one in inputs[1:])
            if name in GATHERS:
                reads += min(writes, _touched(inputs[0]))
            elif inputs and name not in FILLS:
                reads += _touched(inputs[0])
            flops = _flops(func, args, kwargs, out)
            self._calls.append(Call(*key, flops, reads, writes, _precision(inputs + into)))
        return number


def _tensors(values: Any) -> list[Any]:
    """All tensors among values and lists of values."""
    tensor = torch().Tensor
    found = []
    for value in values:
        if isinstance(value, tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += _tensors(value)
    return found


def _written(func: Any, args: Any, kwargs: dict[str, Any]) -> list[Any]:
    """The tensors that a call writes in place, by its schema."""
    found = []
    for position, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[position] if position < len(args) else kwargs.get(argument.name)
            found += _tensors((value,))
    return found


def _address(tensor: Any) -> tuple[int, Any]:
    """Where a tensor's memory lies; the reference keeps the number from being used again."""
    reference = torch().multiprocessing.reductions.StorageWeakRef(tensor.untyped_storage())
    return reference.cdata, reference


def _touched(tensor: Any) -> int:
    """Bytes of a tensor's different elements."""
    size = int(tensor.element_size())
    for length, stride in zip(tensor.shape, tensor.stride(), strict=True):
        size *= int(length) if stride else 1
    return size


def _flops(func: Any, args: Any, kwargs: dict[str, Any], out: Any) -> int:
    t = torch()
    packet = func._overloadpacket
    same = SAME_FLOPS.get(func._schema.name.partition("::")[2])
    if same:
        packet = getattr(t.ops.aten, same)
        # Those after the tensors differ from kernel to kernel and count for nothing.
        args, kwargs = _tensors(args), {}
        if "backward" in same:
            return _attention_backward(*args[:4])
    formula = t.utils.flop_counter.flop_registry.get(packet)
    return 0 if formula is None else int(formula(*args, **kwargs, out_val=out))


def _attention_backward(gradient: Any, query: Any, key: Any, value: Any) -> int:
    shapes = (one.shape for one in (gradient, query, key, value))
    return int(torch().utils.flop_counter.sdpa_backward_flop_count(*shapes))


def _precision(tensors: list[Any]) -> Precision:
    """Of the widest floating point number there is; of what has none: bytes and whole numbers."""
    sizes = [one.element_size() for one in tensors if one.dtype.is_floating_point]
    if not sizes:
        # Indices and masks are no arithmetic in eight bits: any device moves them.
        return "int8" if any(one.dtype == torch().int8 for one in tensors) else "float32"
    widest: Precision = "float64" if max(sizes) == 8 else "float32"
    return "float16" if max(sizes) <= 2 else widest
