"""`Space`: everything that may be set, and what a valid setting is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from acumen.core.arms import Candidates
from acumen.learners.search import constraints as text_constraints
from acumen.learners.search import space_size
from acumen.learners.search.genes import Genes, Mask, Matrix, Vector
from acumen.learners.search.parameters import (
    KINDS,
    Categorical,
    Integer,
    Parameter,
    Permutation,
    Real,
    Scalar,
    Subset,
    tidier,
)

Setting = dict[str, Any]
Constraint = str | Callable[[Setting], bool]
_KEY = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
_ABSENT: dict[str, Any] = {}  # as JSON it is like no value
FEATURES_MAX = 64
TRIES = 200  # draws after which constraints count as leaving almost nothing
WALK = 60  # steps from the default, where that is so


@dataclass(frozen=True)
class When:
    """A condition: another parameter is active and has one of these values.

    For a `Subset`, its list contains one of them.

    Args:
        parameter: its name.
        *values: at least one.
    """

    parameter: str
    values: tuple[Any, ...]

    def __init__(self, parameter: str, *values: Any) -> None:
        if not values:
            raise ValueError(f"a condition on {parameter!r} needs values")
        object.__setattr__(self, "parameter", parameter)
        object.__setattr__(self, "values", values)


class Space:
    """What may be set: named parameters, conditional parts, constraints.

    A *setting* is a plain dict, name → value, of JSON values; parameters whose condition does not
    hold are absent from it.

    Args:
        parameters: name → `Categorical`, `Integer`, `Real`, `Permutation` or `Subset`.
        conditions: name → `When`: the parameter is active only then.
        constraints: text (see `constraints`) or setting → bool; all must hold. Those that are
            functions cannot be written to JSON.

    Attributes:
        default: the default setting.
        default_genes: its genes, float64[genes].
        layout: how genes are laid out.
        parents_first: names in an order in which conditions can be decided.

    Raises:
        ValueError: no parameters, conditions that form a circle or name what is not there, or
            defaults that break a constraint.

    >>> space = Space(
    ...     {
    ...         "codec": Categorical(["lz4", "zstd"], default="zstd"),
    ...         "level": Integer(1, 22, default=3),
    ...     },
    ...     conditions={"level": When("codec", "zstd")},
    ... )
    >>> space.default
    {'codec': 'zstd', 'level': 3}
    >>> space.size()
    23
    """

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        conditions: Mapping[str, When] | None = None,
        constraints: Sequence[Constraint] = (),
    ) -> None:
        if not parameters:
            raise ValueError("a space needs parameters")
        for name, parameter in parameters.items():
            if not isinstance(name, str) or not isinstance(parameter, tuple(KINDS.values())):
                raise TypeError(f"{name!r} must be a parameter such as Integer(1, 9)")
        self.parameters: dict[str, Parameter] = dict(parameters)
        self.conditions: dict[str, When] = dict(conditions or {})
        self.constraints: tuple[Constraint, ...] = tuple(constraints)
        self._tests = [
            text_constraints.parse(c, self.parameters) if isinstance(c, str) else c
            for c in self.constraints
        ]
        self._names = list(self.parameters)
        self.parents_first = self._sorted()
        self.layout = Genes(list(self.parameters.values()))
        self._column = dict(zip(self._names, self.layout.columns, strict=True))
        self._makers = [
            (name, _codes(p), p, p.genes(p.default)) for name, p in self.parameters.items()
        ]
        self._readers = [
            (name, p.values if isinstance(p, Categorical) else None, columns.start, columns.stop)
            for (name, p), columns in zip(self.parameters.items(), self.layout.columns, strict=True)
            if name not in self.conditions
        ]
        self._tidy = [(name, tidy) for name, p in self.parameters.items() if (tidy := tidier(p))]
        self._default_genes = np.array([gene for *_, genes in self._makers for gene in genes])
        self._movable = self.layout.cardinality != 1
        self._gates = [self._gate(name) for name in self.parents_first if name in self.conditions]
        self.default_genes: Matrix = self.canonical(self._default_genes[None])[0]
        try:
            self.default: Setting = self.complete({})
        except ValueError as error:
            raise ValueError(f"the default is not valid: {error}") from None

    # ---- settings ----------------------------------------------------------------------------

    def sample(self, rng: np.random.Generator) -> Setting:
        """A valid setting, every value as likely as the others.

        Where of 200 draws constraints let none through, one that steps from the default lead to.
        """
        return self.setting(self.sample_genes(1, rng)[0])

    def neighbour(self, setting: Setting, rng: np.random.Generator) -> Setting:
        """A valid setting that differs in one active parameter, and in what depends on it.

        Where constraints leave none, or there is but one setting, the same one.
        """
        row = self.genes([setting])
        for _ in range(TRIES):
            near = self.setting(self.mutate(row, rng, changes=1)[0])
            if near != setting and self.valid(near):
                return near
        return dict(setting)

    def check(self, setting: Mapping[str, Any]) -> None:
        """Raises ValueError, in words, unless the setting is valid."""
        for name in setting:
            if name not in self.parameters:
                raise ValueError(f"there is no parameter {name!r}; there are {self._names}")
        for name in self.parents_first:
            active = self.active_in(name, setting)
            if active and name not in setting:
                raise ValueError(f"{name!r} is missing")
            if not active and name in setting:
                when = self.conditions[name]
                values = " or ".join(map(repr, when.values))
                raise ValueError(f"{name!r} is only active when {when.parameter!r} is {values}")
            if active:
                try:
                    self.parameters[name].check(setting[name])
                except ValueError as error:
                    raise ValueError(f"{name!r}: {error}") from None
        for constraint, test in zip(self.constraints, self._tests, strict=True):
            if not test(dict(setting)):
                said = constraint if isinstance(constraint, str) else "a constraint"
                raise ValueError(f"{said} does not hold for {dict(setting)}")

    def valid(self, setting: Setting) -> bool:
        """Whether the constraints hold for a setting that has the right parts."""
        return all(test(setting) for test in self._tests)

    def key(self, setting: Mapping[str, Any]) -> str:
        """Names a setting: equal settings have one key, others have another. It is JSON."""
        found = dict(setting)
        for name, tidy in self._tidy:
            if name in found:
                found[name] = tidy(found[name])
        return _KEY.encode([found.get(name, _ABSENT) for name in self._names])

    def complete(self, partial: Mapping[str, Any]) -> Setting:
        """A setting from some values: the others are as by default, inactive ones left out.

        Raises:
            ValueError: a value is not allowed, or the constraints are broken.
        """
        setting: Setting = {}
        for name in partial:
            if name not in self.parameters:
                raise ValueError(f"there is no parameter {name!r}; there are {self._names}")
        for name in self.parents_first:
            if self.active_in(name, setting):
                setting[name] = partial.get(name, self.parameters[name].default)
        setting = {name: setting[name] for name in self._names if name in setting}
        self.check(setting)
        return setting

    def size(self) -> float:
        """How many settings there are, constraints not counted; infinite with a `Real`."""
        return space_size.count(self)

    def encode(self, settings: Sequence[Mapping[str, Any]]) -> Matrix:
        """Settings as features: float64[n, width] in [0, 1], inactive parts as by default."""
        return self.layout.encode(self.genes(settings))

    # ---- genes -------------------------------------------------------------------------------

    def genes(self, settings: Sequence[Mapping[str, Any]]) -> Matrix:
        """Settings as genes, float64[n, genes]; see `acumen.learners.search.genes`."""
        rows = []
        for setting in settings:
            row: list[float] = []
            for name, codes, parameter, default in self._makers:
                if name not in setting:
                    row += default
                elif codes is not None:
                    row.append(codes[setting[name]])
                else:
                    row += parameter.genes(setting[name])
            rows.append(row)
        return np.array(rows, np.float64).reshape(-1, self.layout.count)

    def setting(self, genes: Matrix) -> Setting:
        """The setting of canonical genes, float64[genes]."""
        row = genes.tolist()
        setting: Setting = {}
        for name, values, start, stop in self._readers:
            if values is not None:
                setting[name] = values[int(row[start])]
            else:
                setting[name] = self.parameters[name].value(row[start:stop])
        if self.conditions:
            for name in self.parents_first:
                if name in self.conditions and self.active_in(name, setting):
                    setting[name] = self.parameters[name].value(row[self._column[name]])
            setting = {name: setting[name] for name in self._names if name in setting}
        return setting

    def canonical(self, genes: Matrix) -> Matrix:
        """The same with inactive genes as by default; float64[n, genes], in place."""
        if self._gates:
            off = ~self.active(genes)
            genes[off] = np.broadcast_to(self._default_genes, genes.shape)[off]
        return genes

    def active(self, genes: Matrix) -> Mask:
        """Which genes have a meaning, bool[n, genes]."""
        active = np.ones(genes.shape, bool)
        for columns, parent, items, values in self._gates:
            held = np.abs(genes[:, items, None] - values).min(axis=2) < 1e-9
            open_ = held.any(axis=1) & active[:, parent]
            active[:, columns] = open_[:, None]
        return active

    def sample_genes(self, rows: int, rng: np.random.Generator) -> Matrix:
        """Genes of valid settings; see `sample`."""
        genes = self.canonical(self.layout.draw(rows, rng))
        if not self._tests:
            return genes
        bad = self._invalid(genes)
        left = TRIES + 8 * rows
        while len(bad) and left > 0:
            left -= len(bad)
            genes[bad] = self.canonical(self.layout.draw(len(bad), rng))
            bad = bad[self._invalid(genes[bad])]
        if len(bad):
            genes[bad] = self._walk(len(bad), rng)
        return genes

    def _walk(self, rows: int, rng: np.random.Generator) -> Matrix:
        """Genes from one walk of valid steps that begins at the default, its end in front."""
        passed = [self.default_genes[None]]
        for near in (self.mutate(passed[-1], rng, changes=2.0) for _ in range(WALK)):
            if not len(self._invalid(near)):
                passed.append(near)
        places = [-1, *rng.integers(len(passed), size=rows - 1)]
        return np.concatenate(passed)[places]

    def mutate(
        self,
        genes: Matrix,
        rng: np.random.Generator,
        *,
        changes: float | Vector = 1.0,
        weights: Vector | None = None,
    ) -> Matrix:
        """Changed genes, valid or not.

        Args:
            genes: float64[n, genes].
            rng: source of chance.
            changes: how many active genes change, on average; a number, or float64[n]. At least
                one (and it may by chance be the same one twice).
            weights: float64[genes], positive: how likely each is to be changed; None: all alike.
        """
        counts = 1 + rng.poisson(np.asarray(changes) - 1.0, len(genes))
        rows = np.repeat(np.arange(len(genes)), counts)
        chance = rng.random(len(rows))
        if self._gates:
            movable = self.active(genes) & self._movable
            share = movable if weights is None else movable * weights
            until = np.cumsum(share, axis=1)
            target = chance * until[rows, -1]
            columns = (until[rows] <= target[:, None]).sum(axis=1)
        else:
            share = self._movable if weights is None else self._movable * weights
            until = np.cumsum(share)
            columns = np.searchsorted(until, chance * until[-1], side="right")
        columns = np.minimum(columns, self.layout.count - 1)
        return self.canonical(self.layout.mutate(genes, rows, columns, rng))

    # ---- choices -----------------------------------------------------------------------------

    def as_candidates(self) -> Candidates:
        """How a `Choice` sees it: the default, a suggestion and a random draw, by features."""
        return Candidates(features=min(self.layout.width, FEATURES_MAX), most=3)

    @property
    def default_learner(self) -> Any:
        """Of a choice over it that was given none."""
        from acumen.learners.search.choice_search import Suggested

        return Suggested()

    def features(self, settings: Sequence[Mapping[str, Any]]) -> Matrix:
        """What such a choice sees of settings: the first 64 columns of `encode`."""
        return self.encode(settings)[:, :FEATURES_MAX]

    # ---- JSON --------------------------------------------------------------------------------

    def describe(self) -> dict[str, Any]:
        """The space as JSON values; see `from_description`.

        Raises:
            TypeError: a constraint is a function.
        """
        for constraint in self.constraints:
            if not isinstance(constraint, str):
                raise TypeError(f"only constraints given as text can be written: {constraint!r}")
        kinds = {kind: name for name, kind in KINDS.items()}
        parts = {
            name: {"kind": kinds[type(p)]} | {f: _plain(getattr(p, f)) for f in _fields(p)}
            for name, p in self.parameters.items()
        }
        conditions = {
            name: {"parameter": when.parameter, "values": list(when.values)}
            for name, when in self.conditions.items()
        }
        return {
            "parameters": parts,
            "conditions": conditions,
            "constraints": list(self.constraints),
        }

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> Space:
        """What `describe` described.

        Raises:
            ValueError: it describes no space.
        """
        try:
            parameters = {
                name: KINDS[part["kind"]](**{k: v for k, v in part.items() if k != "kind"})
                for name, part in description["parameters"].items()
            }
            conditions = {
                name: When(when["parameter"], *when["values"])
                for name, when in description.get("conditions", {}).items()
            }
            return cls(parameters, conditions, tuple(description.get("constraints", ())))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"this describes no space: {error!r}") from None

    def __repr__(self) -> str:
        """Its size in words."""
        return f"Space({len(self.parameters)} parameters, {self.size():.4g} settings)"

    # ---- conditions --------------------------------------------------------------------------

    def _sorted(self) -> list[str]:
        for name, when in self.conditions.items():
            for mentioned in (name, when.parameter):
                if mentioned not in self.parameters:
                    raise ValueError(f"a condition names {mentioned!r}, which is no parameter")
            parent = self.parameters[when.parameter]
            for value in when.values:
                if isinstance(parent, (Real, Permutation)):
                    raise ValueError(f"{name!r} cannot depend on {when.parameter!r}: it is none of"
                                     " Categorical, Integer and Subset")  # fmt: skip
                parent.check([value] if isinstance(parent, Subset) else value)
        order: list[str] = []
        while len(order) < len(self.parameters):
            ready = [
                name
                for name in self.parameters
                if name not in order
                and (name not in self.conditions or self.conditions[name].parameter in order)
            ]
            if not ready:
                raise ValueError(f"conditions form a circle: {sorted(self.conditions)}")
            order += ready
        return order

    def active_in(self, name: str, setting: Mapping[str, Any]) -> bool:
        """Whether a parameter's condition holds in a setting, or in the part that decides it."""
        when = self.conditions.get(name)
        if when is None:
            return True
        if when.parameter not in setting:
            return False
        value = setting[when.parameter]
        if isinstance(self.parameters[when.parameter], Subset):
            return any(item in value for item in when.values)
        if isinstance(self.parameters[when.parameter], Integer):
            return value in when.values
        return any(type(v) is type(value) and v == value for v in when.values)

    def _gate(self, name: str) -> tuple[slice, int, Any, Matrix]:
        """Genes of a conditional parameter; its parent's genes that decide, and their values."""
        when = self.conditions[name]
        parent, columns = self.parameters[when.parameter], self._column[when.parameter]
        if isinstance(parent, Subset):
            items = [columns.start + parent.items.index(item) for item in when.values]
            return self._column[name], columns.start, items, np.ones((len(items), 1))
        values = np.array([[parent.genes(value)[0] for value in when.values]])
        return self._column[name], columns.start, [columns.start], values

    def _invalid(self, genes: Matrix) -> Any:
        return np.array(
            [i for i, row in enumerate(genes) if not self.valid(self.setting(row))], int
        )


def _codes(parameter: Parameter) -> dict[Scalar, float] | None:
    """Value → gene, where a plain dictionary can tell the values apart."""
    if not isinstance(parameter, Categorical):
        return None
    codes = {value: float(code) for code, value in enumerate(parameter.values)}
    return codes if len(codes) == len(parameter.values) else None


def _fields(parameter: Parameter) -> list[str]:
    return list(parameter.__dataclass_fields__)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
