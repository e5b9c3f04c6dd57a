"""The Gymnasium adapter: choices in environments, and environments around a choice's place."""

from typing import Any

import numpy as np
import pytest

import acumen
from acumen.learners import ActorCritic, BinnedAdditive, QLambda, SarsaLambda

gymnasium = pytest.importorskip("gymnasium")
gym = pytest.importorskip("acumen.gym")


def lower(values: Any) -> float:
    return float(np.mean(values) - 3 * np.std(values, ddof=1) / np.sqrt(len(values)))


def test_cliff_walking() -> None:
    """The shortest way costs 13, the safe one 17; chance takes thousands."""
    env = gymnasium.make("CliffWalking-v1", max_episode_steps=500)
    choice = gym.choice_for(env, learner=QLambda(), holdback=0.0, seed=0)
    late = gym.play(choice, env, episodes=400, seed=0)[-100:].mean()
    print(late)
    assert late > -45, late


def test_frozen_lake() -> None:
    """Without ice; chance reaches the goal in 1.4 % of all episodes."""
    late = []
    for seed in range(4):
        env = gymnasium.make("FrozenLake-v1", is_slippery=False)
        choice = gym.choice_for(env, learner=SarsaLambda(), holdback=0.0, seed=seed)
        late.append(gym.play(choice, env, episodes=800, seed=seed, discount=0.95)[-100:].mean())
    print(late)
    assert lower(late) > 0.5, late


@pytest.mark.parametrize("learner", [ActorCritic(), BinnedAdditive()], ids=repr)
def test_cart_pole(learner: Any) -> None:
    """Chance balances for 22 steps on average."""
    late = []
    for seed in range(3):
        env = gymnasium.make("CartPole-v1")
        choice = gym.choice_for(env, learner=learner, holdback=0.0, seed=seed, pending_max=1 << 14)
        late.append(gym.play(choice, env, episodes=150, seed=seed, discount=0.98)[-50:].mean())
    print(late)
    assert min(late) > 50, late


def test_playing_is_repeatable() -> None:
    env = gymnasium.make("CartPole-v1")
    runs = [
        gym.play(gym.choice_for(env, seed=seed), env, episodes=10, seed=0) for seed in (1, 1, 2)
    ]
    assert runs[0].tolist() == runs[1].tolist() != runs[2].tolist()


def test_spaces_that_no_choice_acts_in() -> None:
    with pytest.raises(TypeError, match="Discrete"):
        gym.choice_for(gymnasium.make("Pendulum-v1"))


def make_choice() -> acumen.Choice:
    return acumen.Choice(
        "retry",
        arms=["wait", "go"],
        context={"load": float, "kind": acumen.Category(4), "age": float | None, "hot": bool},
        default="go",
        metric=acumen.minimize("seconds"),
    )


def program(place: Any) -> None:
    """Three choices; going while the load is high costs a second."""
    with place.episode() as episode:
        for _ in range(3):
            load = float(place.random.random())
            decision = episode.choose(load=load, kind="a", age=None, hot=load > 0.5)
            episode.reward(seconds=float((decision.arm == "go") == (load > 0.5)))
        episode.feedback()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_place_is_an_environment() -> None:
    from gymnasium.utils.env_checker import check_env

    env = gym.environment(program, make_choice())
    check_env(env, skip_render_check=True)
    observation, _ = env.reset(seed=3)
    assert observation.shape == (1 + 4 + 2 + 1,)
    assert observation[1:5].sum() == 1
    assert observation[5:7].tolist() == [0, 1]
    total, ended, steps = 0.0, False, 0
    while not ended:
        observation, reward, ended, truncated, _ = env.step(int(observation[-1] == 0))
        total += reward
        steps += 1
        assert not truncated
    assert (total, steps) == (0.0, 3)
    with pytest.raises(RuntimeError, match="reset"):
        env.step(0)


def test_a_choice_drives_a_place() -> None:
    """Both directions at once: what one choice learns in the place of another."""
    env = gym.environment(program, make_choice())
    choice = gym.choice_for(env, learner=SarsaLambda(), holdback=0.0, seed=1)
    returns = gym.play(choice, env, episodes=300, seed=1)
    env.close()
    assert lower(returns[-100:]) > -0.5


def test_what_the_program_raises_and_what_it_leaves_out() -> None:
    def broken(place: Any) -> None:
        place.choose(load=1.0, kind="a", hot=True)
        raise KeyError("x")

    env = gym.environment(broken, make_choice())
    env.reset()
    with pytest.raises(KeyError):
        env.step(0)
    for wrong in ({"load": 1.0}, {"load": 1.0, "kind": "a", "hot": True, "other": 1}):
        env = gym.environment(lambda place, wrong=wrong: place.choose(**wrong), make_choice())
        with pytest.raises(ValueError, match=r"missing|unknown"):
            env.reset()
    with pytest.raises(RuntimeError, match="chose nothing"):
        gym.environment(lambda place: None, make_choice()).reset()


def test_a_reset_abandons_the_run() -> None:
    left = []

    def patient(place: Any) -> None:
        try:
            while True:
                place.choose(load=1.0, kind="a", hot=True)
        finally:
            left.append(True)

    env = gym.environment(patient, make_choice())
    env.reset()
    env.step(0)
    env.reset()
    assert left == [True]
    env.close()
    env.close()
    assert left == [True, True]
