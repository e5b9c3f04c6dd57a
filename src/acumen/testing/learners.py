"""The contract of a learner: what every one of them keeps, whoever wrote it."""

import dataclasses
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from acumen.core import Choice, Learner, LearnerSpec, SequenceLearner, maximize
from acumen.testing.worlds import candidate_world, drifting_world, linear_world, probabilities

Array = NDArray[np.float32]


def discover_learners(package: ModuleType) -> list[type[Any]]:
    """Every public class of a package for learners of single choices; no list is kept by hand.

    Learners of sequences have a contract of their own, `SequenceLearnerContract`.

    Example:
        >>> import acumen.learners
        >>> [c.__name__ for c in discover_learners(acumen.learners)][:2]
        ['Apprentice', 'BinnedAdditive']
    """
    named = [getattr(package, name) for name in package.__all__]
    specs = [c for c in named if isinstance(c, type) and hasattr(c, "build")]
    return [c for c in specs if not isinstance(c().build(1, 2, 0), SequenceLearner)]


def upper_bound(values: NDArray[np.float64]) -> float:
    """Return the mean plus three standard errors."""
    return float(values.mean() + 3.0 * values.std(ddof=1) / np.sqrt(len(values)))


class LearnerContract:
    """Inherit from this, set ``spec``, and let pytest collect the class.

    What it asks of a learner is `acumen.core.Learner`, and that it learns: less than half of the
    regret of the best single arm, and of the same learner without the context. What a learner
    may offer beyond that (``merge``, ``memory_bytes``, a ``half_life`` among the parameters) is
    tested where it is offered.

    Everything is seeded. What is random is asserted on a bound of three standard errors over
    ``seeds`` independent worlds.

    Attributes:
        spec: What is tested.
        seeds: Worlds that the learner is let loose in, of every kind.
        steps: Choices in each of them.
        draws: Decisions in one context whose frequencies are counted.
        shapes: (dimension, arms, features) that it is built for.
        reward_limit: The largest reward that it must withstand.

    Example:
        >>> from acumen.learners import SquareCB
        >>> class TestMine(LearnerContract):
        ...     spec = SquareCB(gamma=3.0)
    """

    spec: ClassVar[LearnerSpec]
    seeds: ClassVar[int] = 8
    steps: ClassVar[int] = 1500
    draws: ClassVar[int] = 4000
    shapes: ClassVar[list[tuple[int, int, int]]] = [(5, 4, 0), (1, 3, 0), (5, 6, 3), (40, 4, 6)]
    reward_limit: ClassVar[float] = 1e18

    def test_it_is_a_learner(self) -> None:
        """What is built has every method, and counts its lessons."""
        learner = self.spec.build(5, 4, 0)
        assert isinstance(learner, Learner)
        assert learner.version == 0
        teach(learner, (5, 4, 0), count=20, seed=9)
        assert learner.version == 20

    def test_distributions_are_probabilities(self) -> None:
        """One finite, non-negative number an arm, before any lesson and after many."""
        for shape in self.shapes:
            learner = self.spec.build(*shape)
            for x, features, lesson in lessons(shape, count=300, seed=1):
                assert probabilities(learner, x, features).shape == (shape[1],)
                learner.learn(*lesson)

    def test_asking_changes_nothing(self) -> None:
        """The same context gives the same distribution until there is another lesson."""
        for shape in self.shapes:
            learner = self.spec.build(*shape)
            teach(learner, shape, count=50, seed=1)
            asked = lessons(shape, count=10, seed=2)
            first = [probabilities(learner, x, features) for x, features, _ in asked]
            again = [probabilities(learner, x, features) for x, features, _ in asked]
            np.testing.assert_allclose(again, first, atol=1e-6)

    def test_extreme_input_stays_finite(self) -> None:
        """Huge, tiny, denormal and alternating lessons leave a usable learner."""
        largest = self.reward_limit
        values = [largest, -largest, 1e-40, 0.0, 1e-18, 1e4, -1.0]
        for shape in self.shapes:
            learner = self.spec.build(*shape)
            for i, (x, features, lesson) in enumerate(lessons(shape, count=700, seed=2)):
                extreme = np.clip(x * [1.0, 1e3, 1e-38][i % 3], -8, 8).astype(np.float32)
                extreme[0] = 1.0
                learner.learn(extreme, lesson[1], 1e-6, values[i % 7], lesson[4])
                probabilities(learner, x, features)

    def test_hostile_input_never_reaches_it(self) -> None:
        """NaN and infinity: the default is served and nothing is learned; huge values are borne."""
        choice = self._choice(seed=1)
        _play(choice, steps=50, seed=0)
        version = choice.learner.version
        for bad in (np.nan, np.inf, -np.inf):
            assert choice.choose(x=bad, y=0.0).reason == "bad_context"
            assert not choice.choose(x=0.0, y=0.0).feedback(bad)
        assert choice.learner.version == version
        for huge in (1e300, -1e300, 1e-310):
            reward = float(np.clip(huge, -self.reward_limit, self.reward_limit))
            choice.choose(x=huge, y=-huge).feedback(reward)
        _play(choice, steps=50, seed=1)
        assert choice.counters()["learner_failed"] == 0

    def test_same_seed_same_choices(self) -> None:
        """A choice with a seed repeats itself, arms and propensities; another seed differs."""
        taken = [_play(self._choice(seed=seed), steps=700, seed=0) for seed in (1, 1, 2)]
        assert taken[0] == taken[1]
        assert taken[0] != taken[2]

    def test_frequency_is_propensity(self) -> None:
        """An arm is served as often as its recorded propensity says, in every context."""
        n = self.draws
        for mode in ("on", "canary"):
            choice = self._choice(seed=1, mode=mode, canary=0.6, holdback=0.2)
            _play(choice, steps=600, seed=0)
            for x in (-1.0, 0.2, 1.5):
                decisions = choice.choose_many(np.full((n, 2), x))  # nothing is learned meanwhile
                stated: dict[int, float] = {}
                for arm, p in zip(decisions.indices, decisions.propensities, strict=True):
                    assert abs(stated.setdefault(int(arm), float(p)) - p) < 1e-6
                for arm, p in stated.items():
                    count = np.count_nonzero(decisions.indices == arm)
                    assert abs(count - n * p) <= 4 * np.sqrt(n * p * (1 - p)) + 1, (mode, x, arm)
                # Arms that were never served have next to no probability between them.
                assert 1 - 12 / n < sum(stated.values()) < 1 + 1e-5

    def test_beats_every_single_arm_and_the_context_free_learner(self) -> None:
        """On a contextual problem, context pays: once learned, it halves the regret at least."""
        late = self.steps // 2
        gaps_single, gaps_blind = [], []
        for seed in range(self.seeds):
            world = linear_world(seed)
            mine = world.run(self.spec.build(5, 4, 0), self.steps, seed)[late:].mean()
            blind = world.run(self.spec.build(1, 4, 0), self.steps, seed, inputs=0)[late:].mean()
            gaps_single.append(mine - 0.5 * world.single_arm_regrets(self.steps, seed).min())
            gaps_blind.append(mine - 0.5 * blind)
        assert upper_bound(np.array(gaps_single)) < 0
        assert upper_bound(np.array(gaps_blind)) < 0

    def test_beats_the_context_free_learner_on_candidates(self) -> None:
        """The worth of a candidate's features depends on the context."""
        late = self.steps // 2
        gaps = []
        for seed in range(self.seeds):
            world = candidate_world(seed, spread=1.0)
            mine = world.run(self.spec.build(4, 6, 3), self.steps, seed)[late:].mean()
            blind = world.run(self.spec.build(1, 6, 3), self.steps, seed, inputs=0)[late:].mean()
            gaps.append(mine - 0.5 * blind)
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
            world = drifting_world(seed, spread=1.0)
            regrets = world.run(tracking.build(4, 3, 0), self.steps, seed)
            single = world.single_arm_regrets(self.steps, seed).min()
            gaps.append(regrets[-late:].mean() - 0.5 * single)
        assert upper_bound(np.array(gaps)) < 0

    def test_state_round_trip(self) -> None:
        """A restored learner answers and goes on learning like the one that was saved."""
        for shape in self.shapes:
            one, two = self.spec.build(*shape), self.spec.build(*shape)
            teach(one, shape, count=500, seed=3)
            two.restore(one.state())
            assert two.version == one.version
            for x, features, lesson in lessons(shape, count=100, seed=4):
                ours, theirs = probabilities(one, x, features), probabilities(two, x, features)
                np.testing.assert_allclose(ours, theirs, atol=1e-4)
                one.learn(*lesson)
                two.learn(*lesson)

    def test_states_are_snapshots(self) -> None:
        """One-dimensional arrays, which later lessons leave as they are."""
        learner = self.spec.build(5, 4, 0)
        teach(learner, (5, 4, 0), count=100, seed=3)
        state, asked = learner.state(), answers(learner, (5, 4, 0))
        copies = {name: array.copy() for name, array in state.items()}
        teach(learner, (5, 4, 0), count=100, seed=4)
        for name, array in state.items():
            assert array.ndim == 1, name
            assert array.tobytes() == copies[name].tobytes(), name
        learner.restore(state)
        np.testing.assert_allclose(answers(learner, (5, 4, 0)), asked, atol=1e-4)

    def test_broken_states_are_refused(self) -> None:
        """Missing, shortened or non-finite arrays: ValueError, and nothing has changed."""
        learner = self.spec.build(5, 4, 0)
        teach(learner, (5, 4, 0), count=50, seed=5)
        state, asked = learner.state(), answers(learner, (5, 4, 0))
        for name, array in state.items():
            broken = [{k: v for k, v in state.items() if k != name}]
            if array.size:
                broken.append({**state, name: array[:-1]})
            if array.size and array.dtype.kind == "f":
                broken.append({**state, name: np.full_like(array, np.nan)})
            for bad in broken:
                try:
                    learner.restore(bad)
                except ValueError:
                    pass
                else:
                    raise AssertionError(f"a state with a broken {name!r} was accepted")
                assert learner.version == 50
                np.testing.assert_allclose(answers(learner, (5, 4, 0)), asked, atol=1e-6)

    def test_saved_choices_go_on_as_they_were(self, tmp_path: Path) -> None:
        """Through a model file: the other choice has the same lessons and the same answers."""
        one, two = self._choice(seed=1), self._choice(seed=2)
        _play(one, steps=600, seed=0)
        one.save(tmp_path / "model")
        two.load(tmp_path / "model")
        assert two.learner.version == one.learner.version > 0
        ours, theirs = (answers(choice.learner, (3, 3, 0)) for choice in (one, two))
        np.testing.assert_allclose(ours, theirs, atol=1e-4)

    def test_reset_forgets_everything(self) -> None:
        """After reset() a learner is as new, and memory, where it is told, has not grown."""
        learner: Any = self.spec.build(5, 4, 0)
        memory = getattr(learner, "memory_bytes", None)
        fresh = answers(learner, (5, 4, 0))
        teach(learner, (5, 4, 0), count=200, seed=8)
        assert getattr(learner, "memory_bytes", None) == memory
        learner.reset()
        assert learner.version == 0
        np.testing.assert_allclose(answers(learner, (5, 4, 0)), fresh, atol=1e-6)

    def test_merge_adds_lessons_up(self) -> None:
        """Where merge() is offered, halves together are the whole; False changes nothing."""
        for shape in self.shapes:
            learners: list[Any] = [self.spec.build(*shape) for _ in range(3)]
            one, two, whole = learners
            if not hasattr(one, "merge"):
                return
            for i, (_, _, lesson) in enumerate(lessons(shape, count=400, seed=6)):
                (one, two)[i % 2].learn(*lesson)
                whole.learn(*lesson)
            before = answers(one, shape)
            merged = one.merge(two)
            assert one.version == (400 if merged else 200)
            expected = answers(whole, shape) if merged else before
            np.testing.assert_allclose(answers(one, shape), expected, atol=0.05)

    def _choice(self, seed: int, **options: Any) -> Choice:
        return Choice(
            "contract",
            ["a", "b", "c"],
            context={"x": float, "y": float},
            default="b",
            metric=maximize("reward"),
            learner=self.spec,
            seed=seed,
            **options,
        )


Lesson = tuple[Array, int, float, float, Array | None]


def _play(choice: Choice, steps: int, seed: int) -> list[tuple[int, float]]:
    """Choose and tell; which arm is best depends on x. Returns arms and propensities."""
    rng = np.random.default_rng(seed)
    taken = []
    for x, y, noise in rng.standard_normal((steps, 3)).tolist():
        decision = choice.choose(x=x, y=y)
        taken.append((decision.index, decision.propensity))
        decision.feedback((decision.index - 1) * x + 0.3 * noise)
    return taken


def teach(learner: Learner, shape: tuple[int, int, int], count: int, seed: int) -> None:
    """Teach the lessons that the seed draws."""
    for _, _, lesson in lessons(shape, count, seed):
        learner.learn(*lesson)


def answers(learner: Learner, shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """Return its distributions in twenty contexts, one a row."""
    asked = lessons(shape, count=20, seed=7)
    return np.array([probabilities(learner, x, features) for x, features, _ in asked])


def lessons(
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
