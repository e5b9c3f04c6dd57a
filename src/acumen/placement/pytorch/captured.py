"""One captured step: its operators, what they read, make and keep. Knows no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple

from acumen.placement.costs import Precision
from acumen.placement.graph import BYTES_MAX

Phase = Literal["input", "forward", "backward", "update"]
PHASES: tuple[Phase, ...] = ("input", "forward", "backward", "update")
NO_CALL = -1


class CaptureError(ValueError):
    """A model that cannot be captured, or a captured one that cannot be used; one line."""


class Call(NamedTuple):
    """An operator with shapes: what it costs is the same wherever it is called.

    Attributes:
        op: such as "aten.addmm.default".
        arguments: JSON of [positional, by name]: enough to call it again; see `encoding.py`.
        flops: of multiplications of matrices and convolutions; 0 for what only moves bytes.
        read_bytes: what it reads, a tensor that is repeated by a stride of 0 counted once.
        written_bytes: what it writes.
        precision: of its arithmetic.
    """

    op: str
    arguments: str
    flops: int
    read_bytes: int
    written_bytes: int
    precision: Precision


class Operator(NamedTuple):
    """One call in the step; numbers point into the lists of `Captured`.

    Attributes:
        name: different from all others.
        module: path of the module whose forward makes it; "" is the whole model; of an operator
            of the backward pass the one whose forward it differentiates.
        phase: what it is part of; "input": it stands for an example input that arrives.
        call: what it calls; `NO_CALL` for an input.
        reads: tensors, made by operators before it.
        makes: tensors; one that it writes in place is a new tensor.
        replaces: tensors of `reads` whose memory it writes: it must run where they were made.
        parameters: parameters and buffers that it reads or writes (or their optimiser's state).
        after: operators before it that must be done although it reads nothing of theirs: they
            read, or wrote, what it writes in place.
    """

    name: str
    module: str
    phase: Phase
    call: int
    reads: tuple[int, ...]
    makes: tuple[int, ...]
    replaces: tuple[int, ...]
    parameters: tuple[int, ...]
    after: tuple[int, ...]


class Parameter(NamedTuple):
    """What stays on a device during the whole step: a parameter or a buffer.

    Attributes:
        names: its paths in the model, several where weights are tied.
        size_bytes: of the tensor.
        gradient_bytes: of its gradient; 0 for what is not trained.
        state_bytes: what the optimiser keeps for it.
    """

    names: tuple[str, ...]
    size_bytes: int
    gradient_bytes: int
    state_bytes: int


@dataclass(frozen=True)
class Captured:
    """A step: n operators in an order in which they can run.

    Attributes:
        name: of the model.
        calls: different ones.
        operators: n of them.
        tensor_bytes: how much memory each tensor takes.
        parameters: each once.
        no_split: paths of the modules that the model wants on one device, as models of
            transformers do by `_no_split_modules`, and their classes.

    Raises:
        CaptureError: numbers point nowhere, sizes are negative, a name is there twice.
    """

    name: str
    calls: Sequence[Call]
    operators: Sequence[Operator]
    tensor_bytes: Sequence[int]
    parameters: Sequence[Parameter]
    no_split: Mapping[str, str] = field(default_factory=dict)
    made_by: dict[int, int] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        if not self.operators:
            raise CaptureError(f"{self.name}: a step without operators")
        for what, sizes in (
            ("a tensor", self.tensor_bytes),
            *(("a call", call[2:5]) for call in self.calls),
            *(("a parameter", parameter[1:]) for parameter in self.parameters),
        ):
            if min(sizes, default=0) < 0:
                raise CaptureError(f"{what} of a negative size: {min(sizes)}")
        total = sum(self.tensor_bytes) + sum(sum(one[1:]) for one in self.parameters)
        if total >= BYTES_MAX:
            raise CaptureError(f"{self.name}: tensors and parameters of {total:.2g} bytes")
        names = set()
        for number, operator in enumerate(self.operators):
            self._check(number, operator)
            self.made_by.update(dict.fromkeys(operator.makes, number))
            names.add(operator.name)
        if len(names) < len(self.operators):
            raise CaptureError(f"{self.name}: two operators have the same name")

    def _check(self, number: int, operator: Operator) -> None:
        wrong = (
            operator.phase not in PHASES
            or not NO_CALL <= operator.call < len(self.calls)
            or any(tensor not in self.made_by for tensor in operator.reads)
            or any(tensor not in operator.reads for tensor in operator.replaces)
            or any(tensor in self.made_by for tensor in operator.makes)
            or not all(0 <= tensor < len(self.tensor_bytes) for tensor in operator.makes)
            or not all(0 <= one < len(self.parameters) for one in operator.parameters)
            or not all(0 <= one < number for one in operator.after)
        )
        if wrong:
            raise CaptureError(
                f"operator {operator.name!r} points to what is not there: {str(operator)[:200]}"
            )

    def __len__(self) -> int:
        return len(self.operators)

    @property
    def flops(self) -> int:
        """Of the whole step; a multiplication and an addition are two."""
        return sum(self.flops_of(operator) for operator in self.operators)

    def flops_of(self, operator: Operator) -> int:
        """Of one operator."""
        return 0 if operator.call == NO_CALL else self.calls[operator.call].flops

    @cached_property
    def homes(self) -> list[int]:
        """The operator on whose device each parameter lives: the first that uses it.

        A parameter that none uses lives with the first operator of its module, or else of the
        nearest module around it that has one.
        """
        homes = [-1] * len(self.parameters)
        of_module: dict[str, int] = {}
        for number, operator in enumerate(self.operators):
            path = operator.module
            while path not in of_module:
                of_module[path] = number
                path = path.rpartition(".")[0]
            for parameter in operator.parameters:
                if homes[parameter] < 0:
                    homes[parameter] = number
        for index, home in enumerate(homes):
            if home < 0:
                path = self.parameters[index].names[0].rpartition(".")[0]
                while path and path not in of_module:
                    path = path.rpartition(".")[0]
                homes[index] = of_module.get(path, 0)
        return homes

    def users(self) -> list[list[int]]:
        """The operators that use each parameter, in order; not those of unused ones."""
        users: list[list[int]] = [[] for _ in self.parameters]
        for number, operator in enumerate(self.operators):
            for parameter in operator.parameters:
                users[parameter].append(number)
        return users
