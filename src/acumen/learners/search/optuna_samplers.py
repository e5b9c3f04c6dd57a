"""Optuna's samplers as search learners: TPE and Gaussian processes by somebody else."""

import warnings
from dataclasses import dataclass
from typing import Any

from acumen.learners.search.parameters import (
    Categorical,
    Integer,
    Parameter,
    Permutation,
    Real,
    Subset,
)
from acumen.learners.search.searcher import Suggestion
from acumen.learners.search.space import Setting, Space

SAMPLERS = ("tpe", "gp", "random")
TRIES = 10


def package() -> Any:
    """The package optuna.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise ImportError("OptunaSampler needs optuna: pip install 'acumen[search]'") from None
    return optuna


@dataclass(frozen=True)
class OptunaSampler:
    """Ask one of Optuna's samplers.

    When to use it: to compare with, or where it is known to be good. At a thousand trials a
    suggestion of ``tpe`` takes tens of milliseconds, one of ``gp`` seconds (and it needs PyTorch):
    nothing where an evaluation takes minutes, too much where it takes less than one. Orders become
    one number an item. Needs Optuna (``pip install acumen[search]``).

    Args:
        sampler: ``tpe`` (with conditional parts modelled together), ``gp`` or ``random``.

    Raises:
        ValueError: There is no such sampler.
        ImportError: By ``build``, without Optuna.

    References:
        Akiba, Sano, Yanase, Ohta & Koyama, "Optuna: a next-generation hyperparameter optimization
        framework", KDD 2019; Bergstra, Bardenet, Bengio & Kégl, "Algorithms for hyper-parameter
        optimization", NIPS 2011.
    """

    sampler: str = "tpe"

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise ValueError(f"sampler must be one of {', '.join(SAMPLERS)}, not {self.sampler!r}")

    def build(self, space: Space, seed: int) -> "OptunaSearcher":
        """Build the searcher."""
        optuna = package()
        seed %= 1 << 32
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna calls some of its arguments experimental
            makers: dict[str, Any] = {
                "tpe": optuna.samplers.TPESampler,
                "gp": optuna.samplers.GPSampler,
                "random": optuna.samplers.RandomSampler,
            }
            sampler = makers[self.sampler](seed=seed)
        return OptunaSearcher(self.sampler, space, sampler, optuna)


class OptunaSearcher:
    """Holds a study in memory; see `OptunaSampler`."""

    def __init__(self, name: str, space: Space, sampler: Any, optuna: Any) -> None:
        self._name, self._space, self._optuna = name, space, optuna
        storage = optuna.storages.InMemoryStorage()
        verbosity: int = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = optuna.create_study(storage=storage, sampler=sampler)
        optuna.logging.set_verbosity(verbosity)
        self._waiting: dict[str, list[Any]] = {}
        self._study.enqueue_trial(
            {
                name: value
                for part, given in space.default.items()
                for name, value in _flat(part, space.parameters[part], given)
            }
        )

    def ask(self) -> Suggestion:
        """What the sampler suggests; at first the default."""
        fail = self._optuna.trial.TrialState.FAIL
        for _ in range(TRIES):
            trial = self._study.ask()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                setting = self._setting(trial)
            if self._space.valid(setting):
                break
            self._study.tell(trial, state=fail)
        else:
            trial, setting = None, dict(self._space.default)
        if trial is not None:
            self._waiting.setdefault(self._space.key(setting), []).append(trial)
        return Suggestion(setting, self._name)

    def tell(self, suggestion: Suggestion, value: float | None) -> None:
        """Told to the study; also what others suggested."""
        states = self._optuna.trial.TrialState
        key = self._space.key(suggestion.setting)
        if waiting := self._waiting.get(key):
            trial = waiting.pop()
            if value is None:
                self._study.tell(trial, state=states.FAIL)
            else:
                self._study.tell(trial, value)
        elif value is not None:
            flat = {
                name: (given, _distribution(self._optuna, parameter))
                for part, parameter in self._space.parameters.items()
                if part in suggestion.setting
                for name, given in _flat(part, parameter, suggestion.setting[part])
            }
            self._study.add_trial(
                self._optuna.trial.create_trial(
                    params={name: given for name, (given, _) in flat.items()},
                    distributions={name: kind for name, (_, kind) in flat.items()},
                    value=value,
                )
            )

    def _setting(self, trial: Any) -> Setting:
        chosen: Setting = {}
        for name in self._space.parents_first:
            if self._space.active_in(name, chosen):
                parameter = self._space.parameters[name]
                names = [flat for flat, _ in _flat(name, parameter, parameter.default)]
                values = [_suggest(self._optuna, trial, parameter, flat) for flat in names]
                chosen[name] = _whole(parameter, values)
        return {name: chosen[name] for name in self._space.parameters if name in chosen}


def _flat(name: str, parameter: Parameter, value: Any) -> list[tuple[str, Any]]:
    """A parameter's value as Optuna's: several of them for orders and subsets."""
    if isinstance(parameter, (Permutation, Subset)):
        genes = parameter.genes(value)
        subset = isinstance(parameter, Subset)
        return [
            (f"{name}:{item}", bool(gene) if subset else gene)
            for item, gene in zip(parameter.items, genes, strict=True)
        ]
    return [(name, value)]


def _whole(parameter: Parameter, values: list[Any]) -> Any:
    if isinstance(parameter, (Permutation, Subset)):
        return parameter.value([float(value) for value in values])
    return values[0]


def _distribution(optuna: Any, parameter: Parameter) -> Any:
    kinds = optuna.distributions
    if isinstance(parameter, Categorical):
        return kinds.CategoricalDistribution(parameter.values)
    if isinstance(parameter, Integer):
        return kinds.IntDistribution(parameter.low, parameter.high, log=parameter.log)
    if isinstance(parameter, Real):
        return kinds.FloatDistribution(parameter.low, parameter.high, log=parameter.log)
    if isinstance(parameter, Subset):
        return kinds.CategoricalDistribution((False, True))
    return kinds.FloatDistribution(0.0, 1.0)


def _suggest(optuna: Any, trial: Any, parameter: Parameter, name: str) -> Any:
    if isinstance(parameter, Categorical):
        return trial.suggest_categorical(name, parameter.values)
    if isinstance(parameter, Integer):
        return trial.suggest_int(name, parameter.low, parameter.high, log=parameter.log)
    if isinstance(parameter, Real):
        return trial.suggest_float(name, parameter.low, parameter.high, log=parameter.log)
    if isinstance(parameter, Subset):
        return trial.suggest_categorical(name, (False, True))
    return trial.suggest_float(name, 0.0, 1.0)
