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
        interface = DefaultMeasurementInterface(
            args=arguments,
            manipulator=_manipulator(space),
            project_name="acumen",
            program_name=f"race-{seed}",
            program_version="0",
        )
        self._first = {n: _as_searched(p, p.default) for n, p in space.parameters.items()}
        interface.seed_configurations = lambda: [dict(self._first)]
        self._manager = TuningRunManager(interface, arguments)
        self._desired: Any = None
        self._setting: Setting = {}

    def ask(self) -> Setting:
        """What it desires to be measured; the default once more where it would end."""
        self._setting = dict(self._space.default)
        for _ in range(self._generations):
            self._desired = self._manager.get_next_desired_result()
            if self._desired is not None:
                found = self._desired.configuration.data
                if found != self._first:
                    parts = self._space.parameters
                    values = {name: _as_given(parts[name], v) for name, v in found.items()}
                    self._setting = active_part(self._space, values)
                break
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


def _manipulator(space: Space) -> Any:
    from opentuner.search import manipulator as kinds

    found = kinds.ConfigurationManipulator()
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
