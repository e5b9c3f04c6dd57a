"""The contract of a learner of sequences: what it keeps, and how near it comes to the optimum."""

from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from acumen.core import LearnerSpec, SequenceLearner
from acumen.testing.decision_processes import PROCESSES, delayed_consequence
from acumen.testing.worlds import probabilities

Episode = tuple[Any, Any, Any, Any, float, bool]


def discover_sequence_learners(package: ModuleType) -> list[type[Any]]:
    """Every public class of a package that builds a learner of sequences.

    Example:
        >>> import acumen.learners
        >>> [c.__name__ for c in discover_sequence_learners(acumen.learners)]
        ['ActorCritic', 'QLambda', 'SarsaLambda']
    """
    named = [getattr(package, name) for name in package.__all__]
    specs = [c for c in named if isinstance(c, type) and hasattr(c, "build")]
    return [c for c in specs if isinstance(c().build(1, 2, 0), SequenceLearner)]


class SequenceLearnerContract:
    """Inherit from this, set ``spec``, and let pytest collect the class.

    Everything is seeded. How near a learner comes to the optimum is exact, by dynamic programming
    over what it would do in every state, exploration included; over ``seeds`` runs, the lower
    bound of three standard errors counts.

    Attributes:
        spec: What is tested.
        seeds: Runs in each decision process.
        first_seed: Of these runs. Constants of the learners in `acumen.learners` were chosen on
            seeds below 2006; what is measured here is on fresh ones.
        episodes: Episodes in each run.
        fraction_least: Of the way from chance (0) to the optimum (1), the least there may be.
        reward_limit: The largest reward that it must withstand.

    Example:
        >>> from acumen.learners import SarsaLambda
        >>> class TestMine(SequenceLearnerContract):
        ...     spec = SarsaLambda(trace=0.8)
    """

    spec: ClassVar[LearnerSpec]
    seeds: ClassVar[int] = 20
    first_seed: ClassVar[int] = 5000
    episodes: ClassVar[int] = 600
    fraction_least: ClassVar[float] = 0.6
    reward_limit: ClassVar[float] = 1e18

    def test_it_nears_the_optimum(self) -> None:
        """In every process: chain, cliff, slippery grid, delayed consequence."""
        for name, make in PROCESSES.items():
            process = make()
            fractions = []
            for seed in self._fresh(self.seeds):
                learner = self._build(process.contexts.shape[1], process.arms)
                process.teach(learner, self.episodes, seed)
                fractions.append(process.fraction(process.policy_of(learner)))
            low = np.mean(fractions) - 3 * np.std(fractions, ddof=1) / np.sqrt(self.seeds)
            assert low > self.fraction_least, (name, fractions)

    def test_it_learns_inside_a_choice(self) -> None:
        """A choice's episodes teach it what comes late, the default's share notwithstanding."""
        process = delayed_consequence()
        late = []
        for seed in self._fresh(self.seeds // 3):
            choice = process.choice(self.spec, seed=seed, holdback=0.02)
            returns, _ = process.act(choice, 600, seed=seed)
            late.append(returns[-200:].mean())
            assert choice.counters()["episodes_ended"] == 600
        bound = np.mean(late) - 3 * np.std(late, ddof=1) / np.sqrt(len(late))
        assert bound > 0.3 + self.fraction_least * 0.7, late

    def test_same_seed_same_choices(self) -> None:
        """A choice with a seed repeats itself; another seed differs."""
        process = delayed_consequence()
        runs = [process.act(process.choice(self.spec, seed), 60, seed=0)[1] for seed in (1, 1, 2)]
        assert runs[0] == runs[1]
        assert runs[0] != runs[2]

    def test_saved_choices_go_on_as_they_were(self, tmp_path: Path) -> None:
        """Through a model file: the other choice gives the same answers, and learns alike."""
        process = delayed_consequence()
        one, two = process.choice(self.spec, 1), process.choice(self.spec, 2)
        process.act(one, 150, seed=0)
        one.save(tmp_path / "model")
        two.load(tmp_path / "model")
        for _ in range(2):
            for x in process.contexts:
                ours, theirs = (probabilities(choice.learner, x) for choice in (one, two))
                np.testing.assert_allclose(ours, theirs, atol=1e-4)
            for choice in (one, two):
                choice.learner.learn_episode(*_episode(10, seed=4))  # type: ignore[attr-defined]

    def test_state_round_trip(self) -> None:
        """A restored learner answers and goes on learning like the one that was saved."""
        one, two = self._build(10, 2), self._build(10, 2)
        for seed in range(20):
            one.learn_episode(*_episode(10, seed))
        two.restore(one.state())
        assert two.version == one.version
        for seed in range(20):
            for x in _episode(10, seed)[0]:
                ours, theirs = probabilities(one, x), probabilities(two, x)
                np.testing.assert_allclose(ours, theirs, atol=1e-4)
            one.learn_episode(*_episode(10, seed))
            two.learn_episode(*_episode(10, seed))

    def test_extreme_episodes_leave_it_usable(self) -> None:
        """Huge, tiny and alternating rewards, wild contexts, no steps at all, cut off or not."""
        largest = self.reward_limit
        values = [largest, -largest, 1e-40, 0.0, 1e-18, 1e4, -1.0]
        learner = self._build(10, 2)
        for seed in range(300):
            xs, arms, propensities, rewards, discount, _ = _episode(10, seed)
            xs = np.clip(xs * [1.0, 1e3, 1e-38][seed % 3], -8, 8).astype(np.float32)
            rewards[:] = values[seed % 7]
            rewards[::2] *= -1.0
            propensities[:] = 1e-6
            kept = slice(seed % 8)  # none, one …
            xs, arms, propensities, rewards = (
                xs[kept],
                arms[kept],
                propensities[kept],
                rewards[kept],
            )
            learner.learn_episode(xs, arms, propensities, rewards, discount, seed % 4 == 0)
            probabilities(learner, _episode(10, seed)[0][0])

    def test_hostile_reports_never_reach_it(self) -> None:
        """NaN and infinity: nothing is learned, and the episode goes on."""
        process = delayed_consequence()
        choice = process.choice(self.spec, 1)
        with choice.episode() as episode:
            assert episode.choose_row(np.full(process.states, np.nan)).reason == "bad_context"
            episode.choose_row(np.eye(process.states)[0])
            for bad in (np.nan, np.inf, -np.inf, 1e300):
                assert not episode.reward(reward=bad)
                assert not episode.feedback(reward=bad)
            assert choice.learner.version == 0
            assert episode.feedback(reward=1.0)
        assert choice.learner.version == 1

    def test_lone_lessons_teach(self) -> None:
        """As a learner of single choices: the reward is the return."""
        learner = self._build(1, 2)
        bias = np.ones(1, np.float32)
        for _ in range(300):
            learner.learn(bias, 0, 0.5, 0.0)
            learner.learn(bias, 1, 0.5, 1.0)
        assert probabilities(learner, bias)[1] > 0.8
        learner.reset()
        assert learner.version == 0
        np.testing.assert_allclose(probabilities(learner, bias), 0.5, atol=1e-6)

    def _fresh(self, count: int) -> range:
        return range(self.first_seed, self.first_seed + count)

    def _build(self, dimension: int, arms: int) -> SequenceLearner:
        learner = self.spec.build(dimension, arms, 0)
        assert isinstance(learner, SequenceLearner)
        return learner


def _episode(dimension: int, seed: int) -> Episode:
    rng = np.random.default_rng(seed)
    steps = 8
    xs = rng.standard_normal((steps, dimension)).astype(np.float32)
    xs[:, 0] = 1.0
    arms = rng.integers(0, 2, steps).astype(np.uint32)
    rewards = rng.standard_normal(steps).astype(np.float32)
    return xs, arms, np.full(steps, 0.5, np.float32), rewards, 0.9, bool(seed % 2)
