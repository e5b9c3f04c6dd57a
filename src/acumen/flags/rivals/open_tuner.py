"""OpenTuner: its AUC bandit over its own techniques, asked and told through its own interface."""

from __future__ import annotations

import argparse
import logging
import random
import warnings
from typing import Any

import numpy as np

from acumen.flags.measuring import Seen, active_part
from acumen.learners.search import Categorical, Integer, Real, Setting, Space
from acumen.learners.search.parameters import Parameter


def make(space: Space, budget: int, seed: int) -> OpenTuner:
    """A tuning run in a database in memory; `budget` does not matter to it."""
    del budget
    return OpenTuner(space, seed)


class OpenTuner:
    """See the module. Orders of categories mean nothing to it: they are enumerations.

    A setting that it desires again is not measured again: it has the result, and goes on.
    """

    def __init__(self, space: Space, seed: int) -> None:
        warnings.simplefilter("ignore")  # it is from 2021, and so are the interfaces that it uses
        import opentuner
        from opentuner import tuningrunmain
        from opentuner.api import TuningRunManager
        from opentuner.measurement.interface import DefaultMeasurementInterface
        from opentuner.resultsdb.models import Result

        # It would write a file opentuner.log where the user stands, and take over all logging.
        tuningrunmain.init_logging = lambda: None
        logging.getLogger("opentuner").setLevel(logging.CRITICAL)
        # Its chance is that of the whole process.
        random.seed(seed)
        np.random.seed(seed % (1 << 32))  # noqa: NPY002
        self._space, self._seen, self._result = space, Seen(space), Result
        parser = argparse.ArgumentParser(parents=opentuner.argparsers())
        arguments = parser.parse_args(
            ["--database=sqlite://", "--parallelism=1", "--quiet", "--no-dups"]
        )
        self._generations = arguments.bail_threshold
        self._first = {n: _as_searched(p, p.default) for n, p in space.parameters.items()}
        interface = DefaultMeasurementInterface(
            args=arguments,
            manipulator=_manipulator(space, self._first),
            project_name="acumen",
            program_name=f"race-{seed}",
            program_version="0",
        )
        interface.seed_configurations = lambda: [dict(self._first)]
        self._manager = TuningRunManager(interface, arguments)
        _add_to_session(self._manager)
        self._ended = False
        self._desired: Any = None
        self._setting: Setting = {}

    def ask(self) -> Setting:
        """What it desires to be measured; the default once more where it would have ended."""
        self._setting, self._desired = dict(self._space.default), None
        for _ in range(0 if self._ended else self._generations):
            self._desired = self._manager.get_next_desired_result()
            if self._desired is not None:
                found = self._desired.configuration.data
                if found != self._first:
                    self._setting = _setting(self._space, found)
                return self._setting
        self._ended = True
        return self._setting

    def tell(self, value: float | None) -> None:
        """Told as a result, or as an error."""
        self._seen.add(self._setting, value)
        if self._desired is None:
            return
        if value is None:
            result = self._result(state="ERROR", time=float("inf"))
        else:
            result = self._result(time=value)
        self._manager.report_result(self._desired, result)

    def best(self) -> Setting:
        """The best that was measured."""
        return self._seen.best()


def _add_to_session(manager: Any) -> None:
    """What is desired was added to the session by SQLAlchemy itself, before its version 2.

    Without that OpenTuner does not see that it has the result already.
    """
    technique = manager.search_driver.root_technique
    desired_result = technique.desired_result

    def added() -> Any:
        found = desired_result()
        if found:
            manager.session.add(found)
        return found

    technique.desired_result = added


def _setting(space: Space, found: dict[str, Any]) -> Setting:
    values = {name: _as_given(space.parameters[name], value) for name, value in found.items()}
    return active_part(space, values)


def _manipulator(space: Space, first: dict[str, Any]) -> Any:
    from opentuner.search import manipulator as kinds

    class Canonical(kinds.ConfigurationManipulator):  # type: ignore[misc]
        """What is not active is as at first: of what does the same there is one."""

        def normalize(self, config: dict[str, Any]) -> None:
            super().normalize(config)
            active = _setting(space, config)
            config.update((name, value) for name, value in first.items() if name not in active)

    found = Canonical()
    for name, parameter in space.parameters.items():
        if isinstance(parameter, Categorical):
            flags = set(map(type, parameter.values)) == {bool}
            made = (
                kinds.BooleanParameter(name)
                if flags and len(parameter.values) == 2
                else kinds.EnumParameter(name, list(parameter.values))
            )
        elif isinstance(parameter, Integer):
            kind = kinds.LogIntegerParameter if parameter.log else kinds.IntegerParameter
            made = kind(name, parameter.low, parameter.high)
        elif isinstance(parameter, Real):
            low, high = (_as_searched(parameter, v) for v in (parameter.low, parameter.high))
            made = kinds.FloatParameter(name, low, high)
        else:
            raise TypeError(f"{name!r} is neither categorical nor a number")
        found.add_parameter(made)
    return found


# Its own logarithmic numbers add 1 to them first, which makes fractions equal steps again, and
# break on their least value.
def _as_searched(parameter: Parameter, value: Any) -> Any:
    logarithmic = isinstance(parameter, Real) and parameter.log
    return parameter.genes(value)[0] if logarithmic else value


def _as_given(parameter: Parameter, value: Any) -> Any:
    logarithmic = isinstance(parameter, Real) and parameter.log
    return parameter.value([value]) if logarithmic else value
