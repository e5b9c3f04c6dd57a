"""A gate before an apprentice: nobody is served an imitation that has not been examined."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gated import gate_of, go_to, make, modes_in

import acumen
from acumen.evaluation.promotion.imitation import chernoff, imitation_of
from acumen.learners import Apprentice


def heuristic(context: dict[str, float]) -> str:
    return "a" if context["x"] > 0.3 else "b"


def apprentice(journal: Any = None, **changes: Any) -> acumen.Choice:
    return make(journal, learner=Apprentice(), default=heuristic, **changes)


def live(choice: acumen.Choice, rng: np.random.Generator, decisions: int) -> None:
    made = choice.choose_many(rng.standard_normal((decisions, 1)))
    choice.feedback_many(made.ids, gain=rng.standard_normal(decisions), errors=np.zeros(decisions))
    if choice.journal is not None:
        assert choice.journal.flush()


def test_no_probe_before_the_imitation_is_proven(tmp_path: Path) -> None:
    choice, rng = apprentice(tmp_path), np.random.default_rng(1)
    gate = gate_of(choice, probe=0.1, margin=10.0)
    assert choice.mode == "shadow"  # not the probe
    assert "has seen nothing yet" in gate.status().waiting
    live(choice, rng, 100)
    status = gate.step()
    assert (status.stage, status.mode) == ("shadow", "shadow")
    assert "the apprentice does what the default does in" in status.waiting
    assert "90% wanted: not proven yet" in status.waiting
    assert choice.counters()["learned"] == 0
    for _ in range(40):
        live(choice, rng, 100)
        gate.step()
        if choice.mode == "canary":
            break
    assert choice.learner.share > 0
    assert choice.mode == "canary"
    assert "(" in gate.status().imitation
    assert "apprentice: does what" in str(gate)
    while not gate.step().promoted:  # and goes on as any other: nobody is better here
        live(choice, rng, 500)
        assert choice.counters()["learned"] < 20_000
    assert choice.journal is not None
    assert choice.journal.flush()
    first, probe = modes_in(tmp_path)[:2]
    assert first["why"] == "the gate begins"
    assert (probe["mode"], probe["stage"]) == ("canary", "shadow")
    assert probe["why"].startswith("it does what the default does in")


@pytest.mark.parametrize("stage", [1, 3])
def test_after_a_restart_it_learns_before_it_serves(tmp_path: Path, stage: int) -> None:
    """The stage is on record, what the model had learned is not there."""
    first = apprentice(tmp_path, name="first")
    go_to(gate_of(first, state=tmp_path / "state"), stage)
    again, rng = apprentice(tmp_path, name="first", seed=2), np.random.default_rng(1)
    gate = gate_of(again, state=tmp_path / "state")
    assert gate.status().stage == gate.stages[stage]
    assert again.mode == "shadow"
    while again.mode == "shadow":
        live(again, rng, 100)
        gate.step()
        assert again.counters()["learned"] == 0 or again.mode != "shadow"
        assert again.learner.demonstrations < 10_000
    assert again.learner.share > 0
    assert again.mode == ("on" if stage == 3 else "canary")


def test_what_was_proven_once_has_to_be_so_still() -> None:
    """The heuristic is replaced by one that nobody can foresee: no step up on what it was."""
    rng, ways = np.random.default_rng(1), {"now": heuristic}
    choice = make(learner=Apprentice(), default=lambda context: ways["now"](context))
    for _ in range(30):
        live(choice, rng, 100)
    known = imitation_of(choice)
    assert known is not None
    assert known.kept
    ways["now"] = lambda context: "ab"[int(rng.integers(2))]
    blocks = choice.learner.examinations
    while choice.learner.examinations < blocks + 2:
        live(choice, rng, 100)
    known = imitation_of(choice)
    assert known is not None
    assert known.proven
    assert not known.kept
    assert known.high < known.wanted
    gate = gate_of(choice)
    assert "proven once, but no longer so" in gate.status().waiting
    assert gate.status().stage == "shadow"


def test_others_are_no_apprentices() -> None:
    assert imitation_of(make()) is None
    on = apprentice(mode="on")  # it begins without a log, and imitates nobody
    live(on, np.random.default_rng(1), 50)
    assert imitation_of(on) is None
    assert gate_of(on, canary=(0.5,), probe=0.2).status().mode == "canary"


def test_the_interval_is_what_it_says() -> None:
    """Its ends are where n · KL is as large as alpha allows; each errs as seldom as it says."""
    low, high = chernoff(0.9, 500, 0.01)
    for end in (low, high):
        kl = 0.9 * math.log(0.9 / end) + 0.1 * math.log(0.1 / (1 - end))
        assert 500 * kl == pytest.approx(-math.log(0.01), rel=1e-6)
    assert chernoff(0.0, 0, 0.01) == (0.0, 1.0)
    assert chernoff(1.0, 100, 0.05) == (pytest.approx(0.05 ** (1 / 100)), pytest.approx(1.0))
    assert chernoff(0.0, 100, 0.05)[0] == pytest.approx(0.0, abs=1e-12)
    shares = np.random.default_rng(1).binomial(200, 0.9, 4000) / 200
    ends = {share: chernoff(share, 200, 0.05) for share in set(shares.tolist())}
    wrong = [
        np.mean([ends[s][0] > 0.9 for s in shares]),
        np.mean([ends[s][1] < 0.9 for s in shares]),
    ]
    assert max(wrong) < 0.05
    assert all(a[0] <= b[0] for a, b in itertools.pairwise(ends[s] for s in sorted(ends)))
