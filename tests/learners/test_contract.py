"""Every learner against the contract; and the contract against learners that break it."""

from typing import Any, ClassVar

import numpy as np
import pytest
from plain_ridge import PlainRidge, PlainRidgeLearner

import acumen.learners
from acumen import _native
from acumen.learners import EpsilonGreedy, VowpalWabbit
from acumen.testing import LearnerContract, discover_learners
from acumen.testing.learners import answers, lessons, teach
from acumen.testing.worlds import World, linear_world

SHAPE = (5, 4, 0)


class NativeContract(LearnerContract):
    """What the learners written here keep beyond acumen.core.Learner."""

    spec: ClassVar[Any]

    def test_distributions_sum_to_one(self) -> None:
        for shape in self.shapes:
            learner = self.spec.build(*shape)
            teach(learner, shape, count=100, seed=1)
            for x, features, _ in lessons(shape, count=20, seed=2):
                assert abs(learner.distribution(x, features).sum() - 1) < 1e-4

    def test_no_preference_before_the_first_lesson(self) -> None:
        np.testing.assert_allclose(answers(self.spec.build(*SHAPE), SHAPE), 0.25, atol=1e-3)

    def test_rewards_of_any_size(self) -> None:
        """The unit of the reward changes no decision: nanoseconds, seconds or bytes."""
        world = linear_world(3)
        plain = world.run(self.spec.build(*SHAPE), 300, seed=4)
        for unit, zero in [(1e-6, 0.012), (1e6, 0.0), (1e8, 1e9)]:
            scaled = World(4, 4, 0, scaled_rewards(world, unit, zero), noise=world.noise * unit)
            regrets = scaled.run(self.spec.build(*SHAPE), 300, seed=4) / unit
            assert abs(regrets.mean() - plain.mean()) < 0.25 * plain.mean() + 0.05

    def test_hostile_lessons_are_refused(self) -> None:
        """NaN and infinity do not get in, and nothing has changed afterwards."""
        learner = self.spec.build(*SHAPE)
        x = np.array([1.0, 0.5, -0.5, 2.0, 0.0], np.float32)
        for bad in (np.nan, np.inf, -np.inf):
            assert not learner.learn(x, 0, 0.5, bad)
            assert not learner.learn(x, 0, bad, 1.0)
            broken = x.copy()
            broken[2] = bad
            assert not learner.learn(broken, 0, 0.5, 1.0)
        assert not learner.learn(x, 4, 0.5, 1.0)
        assert not learner.learn(x, 0, 0.0, 1.0)
        assert learner.version == 0

    def test_contexts_beyond_the_usual_are_borne(self) -> None:
        learner = self.spec.build(*SHAPE)
        for i, (x, _, lesson) in enumerate(lessons(SHAPE, count=700, seed=2)):
            extreme = x.copy()
            extreme[1:] *= [1.0, 1e3, 1e-38][i % 3]
            assert learner.learn(extreme, *lesson[1:])
        assert np.isfinite(answers(learner, SHAPE)).all()

    def test_states_are_bit_identical(self) -> None:
        """After a round trip, after reset(), and after a broken state was refused."""
        one, two, fresh = (self.spec.build(*SHAPE) for _ in range(3))
        teach(one, SHAPE, count=500, seed=3)
        two.restore(one.state())
        for learner in (one, two):
            teach(learner, SHAPE, count=100, seed=4)
        assert identical(one.state(), two.state())
        assert answers(one, SHAPE).tobytes() == answers(two, SHAPE).tobytes()
        state = one.state()
        name = next(n for n, a in state.items() if a.dtype.kind == "f")
        retyped = {**state, name: np.zeros(len(state[name]), np.int32)}
        for bad in (retyped, {**state, "more": state[name]}):
            with pytest.raises(ValueError):
                one.restore(bad)
            assert identical(one.state(), state)
        one.reset()
        assert identical(one.state(), fresh.state())

    def test_everything_is_offered(self) -> None:
        learner = self.spec.build(*SHAPE)
        assert isinstance(learner, _native.Learner)
        assert learner.memory_bytes > 0
        assert learner.merge(self.spec.build(*SHAPE)) in (True, False)


def scaled_rewards(world: World, unit: float, zero: float) -> Any:
    return lambda x, features, time: world.rewards(x, features, time) * unit + zero


def identical(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    return {k: v.tobytes() for k, v in ours.items()} == {k: v.tobytes() for k, v in theirs.items()}


for _learner in discover_learners(acumen.learners):
    _name = f"Test{_learner.__name__}"
    globals()[_name] = type(_name, (NativeContract,), {"spec": _learner()})


def test_learners_are_found() -> None:
    assert len(discover_learners(acumen.learners)) >= 6


class TestPlainPython(LearnerContract):
    """Whoever keeps to acumen.core.Learner passes; nothing else is needed."""

    spec = PlainRidge()
    seeds = 4
    steps = 800
    shapes: ClassVar = [(5, 4, 0), (1, 3, 0), (5, 6, 3)]


class TestVowpalWabbit(LearnerContract):
    """Somebody else's learner: slower, so fewer worlds; and rewards of an ordinary size."""

    spec = VowpalWabbit()
    seeds = 3
    steps = 800
    draws = 1000
    reward_limit = 1e3

    @pytest.fixture(autouse=True)
    def needs_vw(self) -> None:
        pytest.importorskip("vowpalwabbit")


class Broken(PlainRidge):
    """Builds a learner that breaks the contract in the way it is given."""

    def __init__(self, **changes: Any) -> None:
        self.changes = changes

    def build(self, dimension: int, arms: int, features: int) -> PlainRidgeLearner:
        return type("Broken", (PlainRidgeLearner,), self.changes)(dimension, arms, features)


def dice(learner: PlainRidgeLearner, x: Any, features: Any = None) -> Any:
    count = learner.models if features is None else len(features)
    return np.random.default_rng().random(count)


def nothing(learner: PlainRidgeLearner, *_: Any) -> None:
    pass


def live_state(learner: PlainRidgeLearner) -> dict[str, Any]:
    state = {"squares": learner.squares.reshape(-1), "products": learner.products.reshape(-1)}
    return {"version": np.array([learner.version], np.uint64), **state}


CARELESS = EpsilonGreedy(epsilon=0.9)
NAN = Broken(distribution=lambda learner, x, features=None: np.full(learner.models, np.nan))


@pytest.mark.parametrize(
    ("spec", "broken"),
    [
        (CARELESS, "beats_every_single_arm_and_the_context_free_learner"),
        (CARELESS, "beats_the_context_free_learner_on_candidates"),
        (CARELESS, "tracks_a_drift"),
        (NAN, "distributions_are_probabilities"),
        (NAN, "hostile_input_never_reaches_it"),
        (Broken(distribution=dice), "asking_changes_nothing"),
        (Broken(distribution=dice), "same_seed_same_choices"),
        (Broken(distribution=dice), "frequency_is_propensity"),
        (Broken(learn=nothing), "it_is_a_learner"),
        (Broken(restore=nothing), "state_round_trip"),
        (Broken(restore=nothing), "broken_states_are_refused"),
        (Broken(state=live_state), "states_are_snapshots"),
        (Broken(reset=nothing), "reset_forgets_everything"),
        (Broken(merge=lambda learner, other: True), "merge_adds_lessons_up"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_the_contract_can_be_broken(spec: Any, broken: str) -> None:
    contract: Any = type("Contract", (LearnerContract,), {"spec": spec, "steps": 1000})()
    with pytest.raises(AssertionError):
        getattr(contract, f"test_{broken}")()
