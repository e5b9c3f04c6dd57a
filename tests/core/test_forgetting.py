"""Forgetting: what is kept, and that a replay forgets at the same place."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from journaled import differences, events, live, make
from test_replay import ARMS, LEARNERS, Sums

import acumen


def weights(choice: acumen.Choice) -> dict[str, Any]:
    return {n: a for n, a in choice.learner.state().items() if a.size}


@pytest.mark.parametrize("arms", ARMS, ids=["fixed", "candidates", "range"])
@pytest.mark.parametrize("learner", [*LEARNERS, Sums()], ids=lambda spec: type(spec).__name__)
def test_a_replay_forgets_too(tmp_path: Path, learner: Any, arms: dict[str, Any]) -> None:
    shape = {"learner": learner, "pending_max": 512, **arms}
    choice = make(tmp_path, **shape)
    live(choice, 900)
    choice.forget(keep=100, reason="the world is another")
    live(choice, 300, seed=1)
    choice.forget()
    live(choice, 50, seed=2)
    assert choice.journal is not None
    assert choice.journal.flush()
    again = make(**{**shape, "learner": Sums()} if isinstance(learner, Sums) else shape)
    report = again.replay(tmp_path)
    assert report.exact, report
    assert differences(choice, again) == []
    said = [e["text"] for e in events(tmp_path) if e["kind"] == "objective"]
    assert said == [
        '{"forget": {"keep": 100, "reason": "the world is another"}}',
        '{"forget": {"keep": 0, "reason": ""}}',
    ]


def test_what_is_kept_is_learned_anew() -> None:
    """After forgetting all but n decisions, the model is one that only those have taught."""
    arguments: dict[str, Any] = {
        "arms": ["a", "b"],
        "context": {"x": float},
        "default": "a",
        "metric": acumen.maximize("r"),
        "learner": acumen.learners.EpsilonGreedy(epsilon=0.5),
    }
    choice = acumen.Choice("c", seed=1, **arguments)
    rng = np.random.default_rng(1)
    for _ in range(2000):
        x = float(rng.standard_normal())
        decision = choice.choose(x=x)
        decision.feedback(x if decision.arm == "a" else -x)
    told = choice.distributions([[1.0], [-1.0]])
    assert told[0, 0] > told[0, 1]
    assert told[1, 1] > told[1, 0]
    for _ in range(300):  # the other way round
        x = float(rng.standard_normal())
        decision = choice.choose(x=x)
        decision.feedback(-x if decision.arm == "a" else x)
    assert choice.comparison().default_decisions > 0
    choice.forget(keep=300)
    told = choice.distributions([[1.0], [-1.0]])
    assert told[0, 1] > told[0, 0]
    assert told[1, 0] > told[1, 1]
    choice.forget()
    fresh = weights(acumen.Choice("c", seed=1, **arguments))
    for name, array in weights(choice).items():
        np.testing.assert_array_equal(array, fresh[name], err_msg=name)
    version = choice.model_version
    assert version == 2300  # lessons are still counted
    choice.choose(x=1.0).feedback(1.0)
    assert choice.model_version == version + 1


def test_the_comparison_is_of_the_policy_that_serves() -> None:
    """In the old world learned was better by 1, in the new one it is worse; and that is said."""
    choice = acumen.Choice(
        "c",
        ["a", "b"],
        context={"x": float},
        default="a",
        metric=acumen.maximize("r"),
        learner=acumen.learners.EpsilonGreedy(epsilon=0.02, decay=0.0),
        holdback=0.3,
        seed=1,
    )
    rng = np.random.default_rng(1)

    def live(decisions: int, gap: float) -> None:
        made = choice.choose_many(rng.standard_normal((decisions, 1)))
        choice.feedback_many(made.ids, r=gap * (made.indices == 1) + rng.standard_normal(decisions))

    for _ in range(40):
        live(100, gap=1.0)
    assert choice.comparison().verdict == "better"
    waiting = [choice.choose(x=0.0) for _ in range(50)]
    choice.forget(keep=200)  # what taught that b is better
    told = choice.comparison()
    assert (told.learned_decisions, told.default_decisions) == (0, 0)
    for decision in waiting:  # made by the policy before
        assert decision.feedback(r=100.0)
    live(60, gap=-1.0)
    told = choice.comparison()
    assert told.learned_decisions + told.default_decisions == 60
    assert max(told.learned_mean, told.default_mean) < 10
    assert (told.learned_lost, told.default_lost) == (0, 0)
    live(3000, gap=-1.0)
    assert choice.comparison().difference < 0


def test_keeping_more_than_there_is_keeps_all() -> None:
    choice = acumen.Choice(
        "c", ["a", "b"], context={"x": float}, default="a", metric=acumen.maximize("r"), seed=1
    )
    rng = np.random.default_rng(1)
    for _ in range(400):
        choice.choose(x=rng.standard_normal()).feedback(rng.standard_normal())
    probe = np.linspace(-2, 2, 9)[:, None]
    kept = choice.distributions(probe)
    choice.forget(keep=1 << 40)
    np.testing.assert_allclose(choice.distributions(probe), kept, atol=5e-3)
    choice.forget()
    assert np.abs(choice.distributions(probe) - kept).max() > 0.05


def test_impossible_numbers() -> None:
    with pytest.raises(ValueError, match="keep must be 0 or more"):
        make().forget(keep=-1)


@pytest.mark.parametrize("said", ['{"forget": {"keep": -1}}', '{"forget": 3}', '{"forget": null}'])
def test_a_damaged_event_is_reported(tmp_path: Path, said: str) -> None:
    from acumen.core.journal_format import KIND_CODES

    choice = make(tmp_path)
    live(choice, 50)
    choice._note(KIND_CODES["objective"], said)
    assert choice.journal is not None
    assert choice.journal.flush()
    report = make().replay(tmp_path)
    assert not report.exact
    assert "makes no sense" in report.notes[0]
