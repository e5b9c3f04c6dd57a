"""Vowpal Wabbit as a learner: proof that the interface carries other people's learners."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class VowpalWabbit:
    """Ask and teach a Vowpal Wabbit contextual bandit (``--cb_explore_adf``).

    When to use it: for what Vowpal Wabbit has and Acumen has not (its many reductions,
    interactions and exploration rules), or to go on with settings that are proven there. It costs
    some 100 µs a decision, a hundred times a native learner, because every call builds an example.

    The context is namespace ``x``, an arm is namespace ``a`` (its features, or where it has none
    its index). Vowpal Wabbit's probabilities are what the choice draws from, so they are the
    recorded propensities; it learns the cost ``-reward`` under the propensity that was recorded,
    which includes the holdback. Of arms with features it is told the one that was taken, which is
    all that ``--cb_type mtr``, its default, needs.

    A model is stored as Vowpal Wabbit's own bytes, and its own native reader parses them again. It
    may not withstand bytes made to break it: a model file's checksum protects against damage, not
    against whoever wrote the file. Load such models only from where you would load code.

    Args:
        arguments: Vowpal Wabbit's command line. A ``--random_seed`` is not needed: the choice
            draws.

    Raises:
        ValueError: ``--cb_explore_adf`` is missing, or ``build`` finds the arguments unusable.
        ImportError: ``build`` does not find the package; it comes with ``acumen[vw]``.

    Example:
        >>> import numpy as np
        >>> learner = VowpalWabbit().build(dimension=1, arms=2, features=0)
        >>> bias = np.ones(1, np.float32)
        >>> for _ in range(200):
        ...     learner.learn(bias, 0, 0.5, 1.0)
        ...     learner.learn(bias, 1, 0.5, 3.0)
        >>> bool(learner.distribution(bias)[1] > 0.8)
        True

    References:
        Bietti, Agarwal & Langford, "A contextual bandit bake-off", JMLR 2021;
        https://vowpalwabbit.org.
    """

    arguments: str = "--cb_explore_adf --squarecb --quadratic xa"

    def __post_init__(self) -> None:
        if "--cb_explore_adf" not in self.arguments.split():
            raise ValueError(f"the arguments need --cb_explore_adf: {self.arguments!r}")

    def build(self, dimension: int, arms: int, features: int) -> VowpalWabbitLearner:
        """Build the learner; the package is imported here and nowhere else."""
        return VowpalWabbitLearner(self.arguments, arms, features)


class VowpalWabbitLearner:
    """A `Learner` around one Vowpal Wabbit workspace; made by `VowpalWabbit.build`."""

    def __init__(self, arguments: str, arms: int, features: int) -> None:
        self.kind = f"vowpal_wabbit {arguments}"
        self.version = 0
        self._arguments = f"{arguments} --quiet"
        self._arms = [f"|a arm{i}" for i in range(arms)] if features == 0 else []
        self._workspace = _workspace(self._arguments)

    def distribution(self, x: Floats, features: Floats | None = None, /) -> list[float]:
        """Vowpal Wabbit's probabilities of the arms."""
        arms = self._arms if features is None else [_arm(row) for row in features]
        answer: list[float] = self._workspace.predict("\n".join([_shared(x), *arms]))
        return answer

    def learn(
        self,
        x: Floats,
        arm: int,
        propensity: float,
        reward: float,
        features: Floats | None = None,
        /,
    ) -> None:
        """Takes one lesson."""
        arms = list(self._arms) if features is None else [_arm(features)]
        place = arm if features is None else 0
        arms[place] = f"0:{-reward:.9g}:{propensity:.9g} {arms[place]}"
        self._workspace.learn("\n".join([_shared(x), *arms]))
        self.version += 1

    def reset(self) -> None:
        """Forgets every lesson."""
        self._replace(_workspace(self._arguments))
        self.version = 0

    def state(self) -> dict[str, NDArray[Any]]:
        """Vowpal Wabbit's model file, in words of eight bytes."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model")
            self._workspace.save(str(path))
            contents = path.read_bytes()
        padded = contents + bytes(-len(contents) % 8)
        return {
            "counts": np.array([self.version, len(contents)], dtype=np.uint64),
            "model": np.frombuffer(padded, dtype="<u8").astype(np.uint64),
        }

    def restore(self, arrays: dict[str, NDArray[Any]], /) -> None:
        """Becomes the snapshot; ValueError if it does not fit."""
        if set(arrays) != {"counts", "model"} or len(arrays["counts"]) != 2:
            raise ValueError("no state of a Vowpal Wabbit learner")
        version, length = (int(n) for n in arrays["counts"])
        contents = arrays["model"].astype("<u8").tobytes()
        if not len(contents) - 8 < length <= len(contents):
            raise ValueError(f"{len(contents)} bytes cannot hold a model of {length}")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model")
            path.write_bytes(contents[:length])
            self._replace(_workspace(f"{self._arguments} --initial_regressor {path}"))
        self.version = version

    def _replace(self, workspace: Any) -> None:
        old, self._workspace = self._workspace, workspace
        old.finish()


def _workspace(arguments: str) -> Any:
    try:
        from vowpalwabbit import Workspace
    except ImportError as error:
        message = "VowpalWabbit needs the package vowpalwabbit: pip install 'acumen[vw]'"
        raise ImportError(message) from error
    try:
        return Workspace(arguments)
    except RuntimeError as error:
        raise ValueError(f"Vowpal Wabbit refuses {arguments!r}: {error}") from None


def _shared(x: Floats) -> str:
    # The bias is Vowpal Wabbit's own constant; zeros say nothing.
    values = [f"{i}:{v:.9g}" for i, v in enumerate(x.tolist()) if i > 0 and v != 0.0]
    return "shared |x " + " ".join(f"x{value}" for value in values)


def _arm(features: Floats) -> str:
    return "|a " + " ".join(f"c{i}:{v:.9g}" for i, v in enumerate(features.tolist()))
