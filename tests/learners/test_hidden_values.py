"""Action values with a hidden layer, and those of arms with features."""

from typing import Any

import numpy as np
import pytest

import acumen
from acumen.learners import ActorCritic, QLambda, SarsaLambda
from acumen.testing import SequenceLearnerContract
from acumen.testing.decision_processes import signposts
from acumen.testing.worlds import probabilities

FRESH = range(5000, 5012)  # nothing was chosen on these


class TestSarsaLambdaHidden(SequenceLearnerContract):
    spec = SarsaLambda(hidden=32)
    seeds = 12


class TestQLambdaHidden(SequenceLearnerContract):
    spec = QLambda(hidden=32)
    seeds = 12


def fractions(spec: Any, seeds: range = FRESH) -> Any:
    process = signposts()
    runs = []
    for seed in seeds:
        learner = spec.build(process.contexts.shape[1], process.arms, 0)
        process.teach(learner, 1000, seed)
        runs.append(process.fraction(process.policy_of(learner)))
    return np.array(runs)


def test_no_line_gets_past_three_of_four_signs() -> None:
    """The bound that the next test refers to: every linear threshold, room by room."""
    process = signposts(rooms=1)
    corners = np.hstack([np.ones((4, 1)), process.rows[:, 1:]])
    rng = np.random.default_rng(0)
    doors = (rng.standard_normal((20_000, 3)) @ corners.T > 0).astype(int)
    assert max(process.value(np.eye(2)[row]) for row in np.unique(doors, axis=0)) == 0.75


@pytest.mark.parametrize("spec", [SarsaLambda(hidden=32), QLambda(hidden=32)], ids=repr)
def test_hidden_units_tell_apart_what_no_line_can(spec: Any) -> None:
    """Rooms with two signs: (3/4)³ at the most for a line, 1 at the best."""
    process = signposts()
    chance, best = (process.value(np.full((process.states, 2), 0.5)), process.optimum())
    line = (0.75**3 - chance) / (best - chance)
    runs = fractions(spec)
    assert best == pytest.approx(1.0)
    assert runs.mean() - 3 * runs.std(ddof=1) / np.sqrt(len(runs)) > 0.6 > line + 0.2, runs
    lines = fractions(type(spec)(), FRESH[:4])
    assert lines.max() <= line + 1e-6


STEPS, DIMENSION, ARMS, UNITS = 12, 5, 3, 6
PADDED = 8


def episode(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    xs = rng.standard_normal((STEPS, DIMENSION)).astype(np.float32)
    xs[:, 0] = 1.0
    return {
        "xs": xs,
        "arms": rng.integers(0, ARMS, STEPS).astype(np.uint32),
        "propensities": np.full(STEPS, 0.5, np.float32),
        "rewards": rng.standard_normal(STEPS).astype(np.float32),
        "discount": 0.9,
        "ended": bool(seed % 2),
    }


class Reference:
    """The same steps in double, on the gradient as one flat vector; see action_values.hpp."""

    def __init__(self, state: Any, rate: float, trace: float, best: bool) -> None:
        self.rate, self.trace, self.best = rate, trace, best
        self.w = state["action_weights"].astype(float).reshape(ARMS, 2 * PADDED)
        self.u = state["hidden_weights"].astype(float).reshape(UNITS, PADDED)
        self.scale = state["reward_scale"].astype(float)

    def values(self, x: Any) -> Any:
        return self.w @ np.concatenate([x, np.tanh(self.u @ x), np.zeros(2)])

    def unit(self) -> float:
        weight, mean, squares = self.scale[:3]
        variance = max(squares / weight, 1e-12 * mean**2) if squares > 0 else mean**2
        return float(np.sqrt(variance + mean**2))

    def add(self, target: float) -> None:
        decay = 2 ** (-1 / 500)
        self.scale[0] = self.scale[0] * decay + 1
        change = target - self.scale[1]
        self.scale[1] += change / self.scale[0]
        self.scale[2] = self.scale[2] * decay + change * (target - self.scale[1])

    def learn(self, lesson: dict[str, Any]) -> None:
        xs = np.zeros((STEPS, PADDED))
        xs[:, :DIMENSION] = lesson["xs"]
        arms, fade = lesson["arms"].astype(int), lesson["discount"] * self.trace
        trace, before = np.zeros(self.w.size + self.u.size), None
        for t in range(STEPS if lesson["ended"] else STEPS - 1):
            q = self.values(xs[t])[arms[t]]
            later = self.values(xs[t + 1]) if t + 1 < STEPS else np.zeros(ARMS)
            taken = later[arms[t + 1]] if t + 1 < STEPS else 0.0
            target = lesson["rewards"][t] + lesson["discount"] * (
                later.max() if self.best else taken
            )
            self.add(target)
            h = np.tanh(self.u @ xs[t])
            gradient_w = np.zeros_like(self.w)
            gradient_w[arms[t]] = np.concatenate([xs[t], h, np.zeros(2)])
            slopes = self.w[arms[t], PADDED : PADDED + UNITS] / self.unit()
            assert np.abs(slopes).max() < 4  # nothing is cut off here
            gradient = np.concatenate(
                [gradient_w.ravel(), np.outer(slopes * (1 - h**2), xs[t]).ravel()]
            )
            rate = self.rate / max(gradient @ gradient, 1.0)
            before = q if before is None else before
            trace = fade * trace + rate * (1 - fade * trace @ gradient) * gradient
            error, back, split = target - before, rate * (q - before), self.w.size
            change = error * trace[:split] - back * gradient[:split]
            self.w += change.reshape(self.w.shape)
            error, back = (np.clip(value / self.unit(), -4, 4) for value in (error, back))
            change = error * trace[split:] - back * gradient[split:]
            self.u += change.reshape(self.u.shape)
            before = taken
            if self.best and taken < later.max():
                trace, before = np.zeros_like(trace), None


@pytest.mark.parametrize("spec", [SarsaLambda, QLambda])
def test_steps_are_those_of_the_reference(spec: Any) -> None:
    """Against plain arithmetic in double, with gradients written out in full."""
    learner = spec(hidden=UNITS, seed=5, settling=0.0, rate=0.3, trace=0.8)
    native = learner.build(DIMENSION, ARMS, 0)
    for seed in range(30):
        reference = Reference(native.state(), 0.3, 0.8, spec is QLambda)
        native.learn_episode(**episode(seed))
        if seed == 0:
            continue  # the scale of values has only begun
        reference.learn(episode(seed))
        state = native.state()
        for mine, theirs in (
            (reference.w, state["action_weights"]),
            (reference.u, state["hidden_weights"]),
        ):
            np.testing.assert_allclose(theirs, mine.ravel(), atol=2e-4)


def test_the_first_weights_follow_from_the_seed() -> None:
    states = [SarsaLambda(hidden=8, seed=seed).build(4, 2, 0).state() for seed in (1, 1, 2)]
    first = [state["hidden_weights"].tobytes() for state in states]
    assert first[0] == first[1] != first[2]
    learner = SarsaLambda(hidden=8, seed=1).build(4, 2, 0)
    for _ in range(50):
        learner.learn(np.array([1, 2, 0, -1], np.float32), 0, 0.5, 1.0)
        learner.learn(np.array([1, -2, 0, 1], np.float32), 0, 0.5, -1.0)
    assert learner.state()["hidden_weights"].tobytes() != first[0]
    learner.reset()
    assert learner.state()["hidden_weights"].tobytes() == first[0]


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_the_unit_of_rewards_changes_nothing(scale: float) -> None:
    """Hidden weights move alike in nanoseconds and in seconds."""
    states = []
    for unit in (1.0, scale):
        learner = SarsaLambda(hidden=8).build(DIMENSION, ARMS, 0)
        for seed in range(40):
            lesson = episode(seed)
            lesson["rewards"] = lesson["rewards"] * np.float32(unit)
            learner.learn_episode(**lesson)
        states.append(learner.state()["hidden_weights"])
    np.testing.assert_allclose(states[0], states[1], atol=1e-3)


def test_broken_hidden_weights_are_refused() -> None:
    learner = SarsaLambda(hidden=3).build(2, 2, 0)
    state = learner.state()
    for value in (np.nan, 1e9):
        with pytest.raises(ValueError):
            learner.restore({**state, "hidden_weights": np.full(24, value, np.float32)})
    assert learner.state()["hidden_weights"].tobytes() == state["hidden_weights"].tobytes()


@pytest.mark.parametrize("arms", [acumen.Candidates(2), acumen.Range(1, 64, log=True)], ids=repr)
@pytest.mark.parametrize("spec", [ActorCritic(), QLambda(), QLambda(hidden=4)], ids=repr)
def test_who_cannot_take_arms_with_features_says_so(spec: Any, arms: Any) -> None:
    with pytest.raises(ValueError, match=r"only the one taken is kept: take SarsaLambda"):
        acumen.Choice(
            "c",
            arms,
            context={"x": float},
            default=0 if isinstance(arms, acumen.Candidates) else 1,
            metric=acumen.maximize("reward"),
            learner=spec,
        )


class Fork:
    """Three candidates, drawn anew: [price, goods]. The dearest pays at once; the one with the
    most goods pays twice as much a step later, whatever is taken then.

    Every candidate's Q is linear: 2 · goods - price.
    """

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def play(self, choice: acumen.Choice, episodes: int) -> Any:
        earned = np.zeros(episodes)
        for i in range(episodes):
            with choice.episode() as walk:
                offers = self.rng.uniform(0, 1, (3, 2)).astype(np.float32)
                first = walk.choose_row((0.0,), offers).index
                walk.reward(reward=-float(offers[first, 0]))
                walk.choose_row((1.0,), np.zeros((3, 2), np.float32))
                walk.feedback(reward=2.0 * float(offers[first, 1]))
            worth = offers @ [-1.0, 2.0]
            earned[i] = (worth[first] - worth.mean()) / (worth.max() - worth.mean())
        return earned


def fork_choice(spec: Any, seed: int) -> acumen.Choice:
    return acumen.Choice(
        "fork",
        acumen.Candidates(2, most=3),
        context={"late": float},
        default=0,
        metric=acumen.maximize("reward"),
        learner=spec,
        holdback=0.0,
        seed=seed,
    )


@pytest.mark.parametrize("spec", [SarsaLambda(), SarsaLambda(hidden=16)], ids=repr)
def test_candidates_are_chosen_for_what_comes_late(spec: Any) -> None:
    late = []
    for seed in FRESH[:8]:
        late.append(Fork(seed).play(fork_choice(spec, seed), 800)[-200:].mean())
    # What candidates bring at once, their price, says the opposite in half of all cases.
    assert np.mean(late) - 3 * np.std(late, ddof=1) / np.sqrt(len(late)) > 0.8, late


def test_a_range_is_learned_in_sequence() -> None:
    """The point taken first is paid for when the second has been taken."""
    late = []
    for seed in FRESH[:6]:
        choice = acumen.Choice(
            "threads",
            acumen.Range(1, 64, log=True),
            context={"second": float},
            default=1,
            metric=acumen.maximize("reward"),
            learner=SarsaLambda(),
            holdback=0.0,
            seed=seed,
        )
        losses = []
        for _ in range(500):
            with choice.episode() as walk:
                miss = abs(np.log2(walk.choose(second=0.0).arm) - 4.0)
                walk.choose(second=1.0)
                walk.feedback(reward=-miss)
            losses.append(miss)
        late.append(np.mean(losses[-150:]))
    # By chance the miss is 2.2 doublings.
    assert np.mean(late) + 3 * np.std(late, ddof=1) / np.sqrt(len(late)) < 1.0, late


def test_features_of_an_episode_are_checked() -> None:
    learner = SarsaLambda().build(2, 4, 3)
    steps: dict[str, Any] = {
        "xs": np.ones((2, 2), np.float32),
        "arms": np.zeros(2, np.uint32),
        "propensities": np.ones(2, np.float32),
        "rewards": np.ones(2, np.float32),
        "discount": 1.0,
        "ended": True,
    }
    with pytest.raises(ValueError, match="need features"):
        learner.learn_episode(**steps)
    with pytest.raises(ValueError, match="one row a step"):
        learner.learn_episode(**steps, features=np.ones((3, 3), np.float32))
    assert not learner.learn_episode(**steps, features=np.full((2, 3), np.nan, np.float32))
    assert learner.version == 0
    assert learner.learn_episode(**steps, features=np.ones((2, 3), np.float32))
    p = probabilities(learner, np.ones(2, np.float32), np.eye(4, 3, dtype=np.float32))
    assert p.shape == (4,)
    with pytest.raises(ValueError, match="no features"):
        SarsaLambda().build(2, 4, 0).learn_episode(**steps, features=np.ones((2, 3), np.float32))
