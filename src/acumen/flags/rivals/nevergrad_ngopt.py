"""Nevergrad's NGOpt: chooses among its optimisers by the space, the budget and the workers."""

from __future__ import annotations

import warnings
from typing import Any

from acumen.flags.measuring import Seen, active_part
from acumen.learners.search import Categorical, Integer, Real, Setting, Space
from acumen.learners.search.parameters import Parameter


def make(space: Space, budget: int, seed: int) -> NeverGrad:
    """An optimiser that knows its budget."""
    return NeverGrad(space, budget, seed)


class NeverGrad:
    """See the module."""

    def __init__(self, space: Space, budget: int, seed: int) -> None:
        warnings.simplefilter("ignore")  # it warns of what it chooses itself
        import nevergrad

        self._space, self._seen = space, Seen(space)
        parts = {name: _part(nevergrad.p, each) for name, each in space.parameters.items()}
        whole = nevergrad.p.Dict(**parts)
        whole.random_state.seed(seed % (1 << 32))
        self._optimizer = nevergrad.optimizers.NGOpt(whole, budget=budget, num_workers=1)
        self._optimizer.suggest({name: each.default for name, each in space.parameters.items()})
        self._candidate: Any = None
        self._setting: Setting = {}

    def ask(self) -> Setting:
        """The default first, then what the optimiser asks for."""
        self._candidate = self._optimizer.ask()
        self._setting = active_part(self._space, self._candidate.value)
        return self._setting

    def tell(self, value: float | None) -> None:
        """Told; a failure as worse than all that was seen."""
        self._seen.add(self._setting, value)
        self._optimizer.tell(self._candidate, self._seen.penalty() if value is None else value)

    def best(self) -> Setting:
        """What it recommends: for noise it has rules of its own. Never what did not work."""
        found = active_part(self._space, self._optimizer.provide_recommendation().value)
        return found if found in self._seen else self._seen.best()


def _part(kinds: Any, parameter: Parameter) -> Any:
    if isinstance(parameter, Categorical):
        return kinds.Choice(list(parameter.values))
    if not isinstance(parameter, (Integer, Real)):
        raise TypeError(f"{parameter!r} is neither categorical nor a number")
    kind = kinds.Log if parameter.log else kinds.Scalar
    start = float(parameter.default or 0)
    made = kind(init=start, lower=parameter.low, upper=parameter.high)
    return made.set_integer_casting() if isinstance(parameter, Integer) else made
