"""The contract of a learner: what every one of them keeps, whoever wrote it."""

import dataclasses
from types import ModuleType
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from acumen import _native
from acumen.testing.worlds import World, candidate_world, drifting_world, linear_world

Array = NDArray[np.float32]


class LearnerSpec(Protocol):
    """What a learner's description has to offer."""

    def build(self, dimension: int, arms: int, features: int) -> _native.Learner:
        """Build a learner for this shape; ``dimension`` counts the bias."""
        ...


def discover_learners(package: ModuleType) -> list[type[Any]]:
    """Every public learner class of a package; there is no list to keep by hand.

    Example:
        >>> import acumen.learners
        >>> [c.__name__ for c in discover_learners(acumen.learners)][:2]
        ['BinnedAdditive', 'EpsilonGreedy']
    """
    names = [getattr(package, name) for name in package.__all__]
    return [c for c in names if isinstance(c, type) and hasattr(c, "build")]


def upper_bound(values: NDArray[np.float64]) -> float:
    """Return the mean plus three standard errors."""
    return float(values.mean() + 3.0 * values.std(ddof=1) / np.sqrt(len(values)))


class LearnerContract:
    """Inherit from this, set ``spec``, and let pytest collect the class.

    Everything is seeded. What is random is asserted on a bound of three standard errors over
    ``seeds`` independent worlds.

    Example:
        >>> from acumen.learners import SquareCB
        >>> class TestMine(LearnerContract):
        ...     spec = SquareCB(gamma=3.0)
    """

    spec: ClassVar[LearnerSpec]
    seeds: ClassVar[int] = 8
    steps: ClassVar[int] = 1500
    shapes: ClassVar[list[tuple[int, int, int]]] = [(5, 4, 0), (1, 3, 0), (5, 6, 3), (40, 4, 6)]

    def test_distributions_are_probabilities(self) -> None:
        """Finite, non-negative, summing to one, before any lesson and after many."""
        for shape in self.shapes:
            learner = self.spec.build(*shape)
            for x, features, lesson in _lessons(shape, count=300, seed=1):
                p = learner.distribution(x, features)
                assert p.shape == (shape[1],)
                assert np.isfinite(p).all()
                assert (p >= 0).all()
                assert abs(p.sum() - 1) < 1e-4
                assert learner.learn(*lesson)
            assert learner.version == 300

    def test_no_preference_before_the_first_lesson(self) -> None:
        """All arms are equal as long as nothing is known."""
        learner = self.spec.build(5, 4, 0)
        np.testing.assert_allclose(learner.distribution(_context(5, 0)), 0.25, atol=1e-3)

    def test_rewards_of_any_size(self) -> None:
        """The unit of the reward changes no decision: nanoseconds, seconds or bytes."""
        world = linear_world(3)
        plain = world.run(self.spec.build(5, 4, 0), 300, seed=4)
        for unit, zero in [(1e-6, 0.012), (1e6, 0.0), (1e8, 1e9)]:
            scaled = World(4, 4, 0, _scaled(world, unit, zero), noise=world.noise * unit)
            regrets = scaled.run(self.spec.build(5, 4, 0), 300, seed=4) / unit
            assert abs(regrets.mean() - plain.mean()) < 0.25 * plain.mean() + 0.05

    def test_hostile_input_is_refused(self) -> None:
        """NaN and infinity do not get in, and nothing has changed afterwards."""
        learner = self.spec.build(5, 4, 0)
        x = _context(5, 0)
        for bad in (np.nan, np.inf, -np.inf):
            assert not learner.learn(x, 0, 0.5, bad)
            assert not learner.learn(x, 0, bad, 1.0)
            broken = x.copy()
            broken[2] = bad
            assert not learner.learn(broken, 0, 0.5, 1.0)
        assert not learner.learn(x, 4, 0.5, 1.0)
        assert not learner.learn(x, 0, 0.0, 1.0)
        assert learner.version == 0

    def test_extreme_input_stays_finite(self) -> None:
        """Huge, tiny, denormal and alternating lessons leave a usable learner."""
        values = [1e18, -1e18, 1e-40, 0.0, 1e-18, 1e4, -1.0]
        for shape in self.shapes:
            learner = self.spec.build(*shape)
            for i, (x, features, lesson) in enumerate(_lessons(shape, count=700, seed=2)):
                extreme = x.copy()
                extreme[1:] *= [1.0, 1e3, 1e-38][i % 3]
                arm, row = lesson[1], lesson[4]
                assert learner.learn(extreme, arm, 1e-6, values[i % 7], row)
                p = learner.distribution(x, features)
                assert np.isfinite(p).all()
                assert abs(p.sum() - 1) < 1e-3

    def test_beats_every_single_arm_and_the_context_free_learner(self) -> None:
        """On a contextual problem, context pays."""
        gaps_single, gaps_blind = [], []
        for seed in range(self.seeds):
            world = linear_world(seed)
            mine = world.run(self.spec.build(5, 4, 0), self.steps, seed).mean()
            blind = world.run(self.spec.build(1, 4, 0), self.steps, seed).mean()
            gaps_single.append(mine - world.single_arm_regrets(self.steps, seed).min())
            gaps_blind.append(mine - blind)
        assert upper_bound(np.array(gaps_single)) < 0
        assert upper_bound(np.array(gaps_blind)) < 0

    def test_beats_the_context_free_learner_on_candidates(self) -> None:
        """The worth of a candidate's features depends on the context."""
        gaps = []
        for seed in range(self.seeds):
            world = candidate_world(seed)
            mine = world.run(self.spec.build(4, 6, 3), self.steps, seed).mean()
            blind = world.run(self.spec.build(1, 6, 3), self.steps, seed).mean()
            gaps.append(mine - blind)
        assert upper_bound(np.array(gaps)) < 0

    def test_tracks_a_drift(self) -> None:
        """With a half-life, the end of a changed world is better than the best single arm's."""
        if "half_life" not in getattr(self.spec, "__dataclass_fields__", {}):
            return
        spec: Any = self.spec
        tracking = dataclasses.replace(spec, half_life=150.0)
        late = self.steps // 4
        gaps = []
        for seed in range(self.seeds):
            world = drifting_world(seed)
            regrets = world.run(tracking.build(4, 3, 0), self.steps, seed)
            single = world.single_arm_regrets(self.steps, seed).min()
            gaps.append(regrets[-late:].mean() - 0.5 * single)
        assert upper_bound(np.array(gaps)) < 0

    def test_state_round_trip_is_bit_identical(self) -> None:
        """A restored learner answers and goes on learning like the one that was saved."""
        for shape in self.shapes:
            one, two = self.spec.build(*shape), self.spec.build(*shape)
            for _, _, lesson in _lessons(shape, count=500, seed=3):
                one.learn(*lesson)
            two.restore(one.state())
            assert two.version == one.version
            for x, features, lesson in _lessons(shape, count=100, seed=4):
                ours, theirs = one.distribution(x, features), two.distribution(x, features)
                assert ours.tobytes() == theirs.tobytes()
                one.learn(*lesson)
                two.learn(*lesson)
            for name, array in one.state().items():
                assert array.tobytes() == two.state()[name].tobytes(), name

    def test_broken_states_are_refused(self) -> None:
        """Missing, extra, resized, retyped or non-finite arrays: ValueError, nothing changed."""
        learner = self.spec.build(5, 4, 0)
        for _, _, lesson in _lessons((5, 4, 0), count=50, seed=5):
            learner.learn(*lesson)
        state = learner.state()
        name = next(n for n, a in state.items() if a.dtype.kind == "f" and a.size > 4)
        ill = state[name].copy()
        ill[0] = np.nan
        other = np.zeros(len(ill), np.int32)
        broken = [{k: v for k, v in state.items() if k != name}, {**state, "more": ill}]
        broken += [{**state, name: array} for array in (ill, ill[:-1], other)]
        for bad in broken:
            try:
                learner.restore(bad)
            except ValueError:
                pass
            else:
                raise AssertionError("a broken state was accepted")
            after = learner.state()
            assert all(after[k].tobytes() == v.tobytes() for k, v in state.items())

    def test_merge_adds_lessons_up(self) -> None:
        """Where merge() is offered, halves together are the whole; where not, it says so."""
        for shape in self.shapes:
            one, two, whole = (self.spec.build(*shape) for _ in range(3))
            for i, (_, _, lesson) in enumerate(_lessons(shape, count=400, seed=6)):
                (one, two)[i % 2].learn(*lesson)
                whole.learn(*lesson)
            before = one.state()
            if one.merge(two):
                assert one.version == 400
                for x, features, _ in _lessons(shape, count=20, seed=7):
                    ours, theirs = one.distribution(x, features), whole.distribution(x, features)
                    np.testing.assert_allclose(ours, theirs, atol=0.05)
            else:
                assert all(one.state()[k].tobytes() == v.tobytes() for k, v in before.items())

    def test_reset_forgets_everything(self) -> None:
        """After reset() a learner is as new, and memory has not grown."""
        learner, fresh = self.spec.build(5, 4, 0), self.spec.build(5, 4, 0)
        memory = learner.memory_bytes
        for _, _, lesson in _lessons((5, 4, 0), count=200, seed=8):
            learner.learn(*lesson)
        assert learner.memory_bytes == memory
        learner.reset()
        assert all(learner.state()[k].tobytes() == v.tobytes() for k, v in fresh.state().items())


Lesson = tuple[Array, int, float, float, Array | None]


def _lessons(
    shape: tuple[int, int, int], count: int, seed: int
) -> list[tuple[Array, Array | None, Lesson]]:
    """Draw contexts, arm features, and a lesson in each: linear in the context plus noise."""
    dimension, arms, features = shape
    rng = np.random.default_rng(seed)
    worth = np.random.default_rng(0).standard_normal((arms, dimension))
    drawn = []
    for _ in range(count):
        x = rng.standard_normal(dimension).astype(np.float32)
        x[0] = 1.0
        rows = rng.standard_normal((arms, features)).astype(np.float32) if features else None
        arm = int(rng.integers(arms))
        row = None if rows is None else rows[arm]
        reward = worth[arm] @ x if row is None else float(row.sum()) * worth[0] @ x
        lesson = (x, arm, 1.0 / arms, float(reward + 0.3 * rng.standard_normal()), row)
        drawn.append((x, rows, lesson))
    return drawn


def _context(dimension: int, seed: int) -> Array:
    x = np.random.default_rng(seed).standard_normal(dimension).astype(np.float32)
    x[0] = 1.0
    return x


def _scaled(world: World, unit: float, zero: float) -> Any:
    return lambda x, features, time: world.rewards(x, features, time) * unit + zero
