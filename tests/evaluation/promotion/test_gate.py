"""The gate's way up and down, what stops it, and what stands on record of it."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from gated import gate_of, go_to, live, make, modes_in, nothing

import acumen
from acumen.evaluation.off_policy import Limits
from acumen.evaluation.promotion.evidence import gather, judge


def test_a_better_candidate_goes_all_the_way(tmp_path: Path) -> None:
    choice, rng = make(tmp_path), np.random.default_rng(1)
    gate = gate_of(choice, probe=0.1)
    assert choice.mode == "canary"  # the probe
    while not gate.step().promoted:
        live(choice, rng, 500, gap=0.8)
        assert choice.counters()["learned"] < 20_000
    assert choice.mode == "on"
    status = gate.status()
    assert [t.after for t in status.transitions] == ["canary 0.1", "canary 0.5", "on"]
    assert status.transitions[0].why.startswith("off-policy estimate")
    assert "learned is better" in status.transitions[1].why
    assert status.waiting == ""
    assert "[on]" in str(gate)
    assert choice.journal is not None
    assert choice.journal.flush()
    events = modes_in(tmp_path)
    assert [e["stage"] for e in events] == ["shadow", "canary 0.1", "canary 0.5", "on"]
    assert [e["mode"] for e in events] == ["canary", "canary", "canary", "on"]
    assert all(e["by"].startswith("acumen.Promotion") for e in events)
    assert events[-1]["why"] == status.transitions[-1].why


def test_a_shadow_alone_says_nothing(tmp_path: Path) -> None:
    choice, rng = make(tmp_path), np.random.default_rng(1)
    gate = gate_of(choice)
    live(choice, rng, 3000, gap=1.0)
    status = gate.step()
    assert (status.stage, choice.mode) == ("shadow", "shadow")
    assert "probe=" in status.waiting
    assert "waiting: no estimate" in str(gate)


def test_too_few_decisions_are_refused(tmp_path: Path) -> None:
    choice, rng = make(tmp_path), np.random.default_rng(1)
    gate = gate_of(choice, probe=0.05, limits=Limits(effective_sample_size=400))
    live(choice, rng, 1500, gap=5.0)
    status = gate.step()
    assert status.stage == "shadow"
    assert "the estimator refuses: candidate: not enough data" in status.waiting
    go_to(gate, 1)
    live(choice, rng, 500, gap=5.0)
    assert "of the 200 needed of each" in gate.step().waiting


def test_a_log_from_elsewhere_opens_the_way() -> None:
    """What an exploring system wrote is enough; the candidate is the policy as it is now."""
    other, rng = make(mode="on", holdback=0.3), np.random.default_rng(2)
    live(other, rng, 4000, gap=1.0)
    records = other.records()
    choice = make(seed=7, mode="on")
    live(choice, rng, 2000, gap=1.0)
    gate = gate_of(choice, evidence=lambda: records)
    assert "does not tell what the default" in gate.status().waiting
    told = records.append_column("default_arm", [[0] * len(records)])
    gate = gate_of(choice, evidence=told)
    assert gate.status().stage == "canary 0.1"
    for broken, why in ((lambda: 1 / 0, "ZeroDivisionError"), (nothing, "default")):
        gate = gate_of(make(), evidence=broken)
        assert gate.status().stage == "shadow"
        assert why in gate.status().waiting


def test_a_regression_takes_it_back(tmp_path: Path) -> None:
    choice, rng = make(tmp_path), np.random.default_rng(3)
    gate = gate_of(choice)
    go_to(gate, 3)
    assert choice.mode == "on"
    live(choice, rng, 1000, gap=0.5)
    assert gate.step().promoted
    for _ in range(40):
        live(choice, rng, 500, gap=-1.5)
        if not gate.step().promoted:
            break
    status = gate.status()
    assert (status.stage, choice.mode, status.attempt) == ("shadow", "shadow", 2)
    assert status.transitions[-1].why.startswith("regression: learned is worse")
    assert "cooling down" in gate.step().waiting


def test_watching_begins_anew_when_it_has_seen_enough() -> None:
    """Or a late regression would have to outweigh all the good that was before it."""
    choice, rng = make(), np.random.default_rng(4)
    gate = gate_of(choice, window=5000)
    go_to(gate, 3)
    for _ in range(30):
        live(choice, rng, 1000, gap=0.5)
        assert gate.step().promoted
    assert gate._state.window > 3
    bad = 0
    while gate.step().promoted:
        live(choice, rng, 500, gap=-1.0)
        bad += 500
        assert bad < 15_000  # half of what was good


def test_a_broken_guardrail_takes_it_back() -> None:
    choice, rng = make(), np.random.default_rng(5)
    gate = gate_of(choice, guardrails=[acumen.at_most("errors", 0.05)])
    go_to(gate, 2)
    while gate.step().stage == "canary 0.5":
        live(choice, rng, 500, gap=1.0, errors=0.3)  # better, but for its errors
        assert gate.status().attempt == 1
    status = gate.status()
    assert status.stage == "shadow"
    assert status.transitions[-1].why.startswith("guardrail errors <= 0.05: broken")


def test_a_kept_guardrail_lets_it_pass_and_one_not_kept_does_not() -> None:
    for errors, stage in ((0.02, "on"), (0.09, "canary 0.5")):
        choice, rng = make(mode="on"), np.random.default_rng(6)
        live(choice, rng, 500, gap=1.0)  # it knows arm b
        gate = gate_of(choice, guardrails=[acumen.at_most("errors", 0.05)])
        go_to(gate, 2)
        for _ in range(3):
            live(choice, rng, 500, gap=1.0, errors=errors)
            status = gate.step()
        assert status.stage == stage, status
    assert "guardrail errors <= 0.05: not kept on average" in status.waiting


def test_a_margin_lets_an_equal_candidate_pass() -> None:
    stages = []
    for margin in (0.0, 0.4):
        choice, rng = make(), np.random.default_rng(7)
        gate = gate_of(choice, margin=margin)
        go_to(gate, 1)
        for _ in range(16):
            live(choice, rng, 500, gap=0.0)
            gate.step()
        stages.append(gate.status().stage)
    assert stages == ["canary 0.1", "on"]


def test_lost_decisions_hold_it_up() -> None:
    """Rewards that never come may be the worst: a candidate that loses more does not go on."""
    choice, rng = make(pending_max=512), np.random.default_rng(8)
    gate = gate_of(choice)
    go_to(gate, 1)
    for _ in range(20):
        made = choice.choose_many(rng.standard_normal((500, 1)))
        b = made.indices == 1
        heard = ~(b & (rng.random(500) < 0.5))
        gain = rng.standard_normal(500) + 2.0 * b
        choice.feedback_many(made.ids[heard], gain=gain[heard])
        status = gate.step()
    assert status.stage == "canary 0.1"
    assert "one side loses more" in status.waiting


def test_it_cools_down_longer_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1e9]
    monkeypatch.setattr(time, "time", lambda: now[0])
    choice = make()
    gate = gate_of(choice, cooldown=100.0, probe=0.05)
    assert choice.mode == "canary"
    for turn, seconds in enumerate((100, 200, 400)):
        gate.rollback("too bold")
        assert choice.mode == "shadow"
        now[0] += seconds - 1
        assert "cooling down for another 1 s" in gate.step().waiting
        assert choice.mode == "shadow"
        now[0] += 2
        gate.step()
        assert choice.mode == "canary"
        assert gate.status().attempt == turn + 2
    assert gate.status().transitions[-1].why == "by hand: too bold"
    # Each attempt has less to err with, and all together no more than was said.
    spent = [gate.settings.step_error(attempt) for attempt in range(1, 2000)]
    assert sum(spent) * 3 < gate.settings.error
    assert spent[0] > 3 * spent[1]


def test_a_person_goes_before_the_gate(tmp_path: Path) -> None:
    choice, rng = make(tmp_path), np.random.default_rng(9)
    gate = gate_of(choice)
    go_to(gate, 1)
    choice.set_mode("off", why="incident 42", by="ann")
    live(choice, rng, 500, gap=1.0)
    status = gate.step()
    assert (choice.mode, status.stage) == ("off", "canary 0.1")
    assert "set to 'off' by hand" in status.waiting
    gate.resume()
    assert choice.mode == "canary"
    choice.kill(why="incident 43", by="ann")
    live(choice, rng, 500, gap=1.0)
    assert gate.step().waiting == "the kill switch is set"
    choice.revive(by="ann")
    for _ in range(30):
        live(choice, rng, 500, gap=1.0)
        gate.step()
    assert gate.status().promoted
    said = [(e.get("why"), e.get("by")) for e in modes_in(tmp_path)]
    assert ("incident 42", "ann") in said
    assert ("incident 43", "ann") in said
    assert (None, "ann") in said


def test_another_objective_is_another_candidate() -> None:
    choice, rng = make(), np.random.default_rng(10)
    gate = gate_of(choice)
    go_to(gate, 2)
    live(choice, rng, 500, gap=1.0)
    choice.objective = acumen.minimize("errors")
    status = gate.step()
    assert (status.stage, status.attempt) == ("shadow", 2)
    assert "objective" in status.transitions[-1].why


def test_looks_are_few() -> None:
    """A look at a log costs error: the next one waits until there is half as much again."""
    choice, rng = make(seed=7, mode="on"), np.random.default_rng(2)
    live(choice, rng, 2000, gap=0.0)
    records = choice.records()
    told = records.append_column("default_arm", [[0] * len(records)])
    gate = gate_of(make(), evidence=told)
    assert gate._state.looks == 1
    status = gate.step()
    assert gate._state.looks == 1
    assert "the next look is at" in status.waiting


def test_hostile_settings() -> None:
    choice = make()
    for bad, wrong in (
        ({"canary": ()}, "canary"),
        ({"canary": (0.5, 0.1)}, "canary"),
        ({"canary": (0.5, 1.0)}, "canary"),
        ({"canary": (float("nan"),)}, "canary"),
        ({"probe": 0.2}, "probe"),
        ({"margin": -1.0}, "margin"),
        ({"margin": float("nan")}, "margin"),
        ({"error": 0.0}, "error"),
        ({"alarm": 1.0}, "alarm"),
        ({"decisions": 3}, "decisions"),
        ({"cooldown": -1.0}, "cooldown"),
        ({"window": 1}, "window"),
        ({"guardrails": [acumen.minimize("errors")]}, "no limit"),
        ({"guardrails": [acumen.at_most("other", 1.0)]}, "does not record"),
        ({"guardrails": [acumen.at_most("errors", 1.0)] * 2}, "one guardrail"),
        ({"evidence": None}, "journal"),
    ):
        with pytest.raises(ValueError, match=wrong):
            gate_of(choice, **bad)
    with pytest.raises(TypeError, match="at_most"):
        gate_of(choice, guardrails=["errors < 1"])
    with pytest.raises(TypeError, match="Choice"):
        acumen.Promotion("codec")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="holdback"):
        gate_of(make(holdback=0.0))
    assert choice.mode == "shadow"


def test_hostile_metrics_break_nothing() -> None:
    choice, rng = make(), np.random.default_rng(11)
    gate = gate_of(choice, guardrails=[acumen.at_most("errors", 0.5)])
    go_to(gate, 2)
    made = choice.choose_many(rng.standard_normal((2000, 1)))
    errors = np.where(np.arange(2000) % 7 == 0, 1e300, 0.0)
    errors[::5] = np.nan
    gain = np.where(np.arange(2000) % 11 == 0, -1e17, 1.0)
    choice.feedback_many(made.ids, gain=gain, errors=errors)
    for _ in range(3):
        status = gate.step()
    assert status.problem == ""
    assert "e+" in str(status.guardrails[0]) or status.stage == "shadow"


def test_old_evidence_does_not_count_after_a_rollback(tmp_path: Path) -> None:
    choice, rng = make(tmp_path), np.random.default_rng(12)
    gate = gate_of(choice, probe=0.1, cooldown=0.0)
    live(choice, rng, 4000, gap=1.0)
    assert gate.step().stage == "canary 0.1"
    gate.rollback("for a test")
    status = gate.step()
    assert status.stage == "shadow"
    assert "no decision yet in which a coin took part" in status.waiting
    live(choice, rng, 4000, gap=1.0)
    assert gate.step().stage == "canary 0.1"


def test_the_candidate_is_judged_as_it_was(tmp_path: Path) -> None:
    """Its probability of the arm follows from propensity, share and the default's arm."""
    choice, rng = make(tmp_path, mode="on"), np.random.default_rng(13)
    live(choice, rng, 1000, gap=0.5)
    choice.set_mode("canary", 0.3)
    since = time.time()
    rows = rng.standard_normal((3000, 1))
    made = choice.choose_many(rows)
    was = choice.distributions(rows)[np.arange(3000), made.indices]
    choice.feedback_many(made.ids, gain=rng.standard_normal(3000), errors=np.zeros(3000))
    assert choice.journal is not None
    assert choice.journal.flush()
    found = gather(choice, None, since)
    assert found.rows == 3000
    np.testing.assert_allclose(found.candidate, was, atol=1e-5)


def test_estimates_from_the_journal_hold(tmp_path: Path) -> None:
    """90 % intervals for learned minus default, whose truth is known, in 120 journals."""
    missed = 0
    for seed in range(120):
        choice, rng = make(tmp_path / str(seed), seed=seed, mode="on"), np.random.default_rng(seed)
        live(choice, rng, 200, gap=0.5)
        choice.set_mode("canary", 0.2)
        since = time.time()
        rows = rng.standard_normal((2000, 1))
        made = choice.choose_many(rows)
        truth = 0.5 * choice.distributions(rows)[:, 1].mean()
        gain = 20.0 + 0.5 * (made.indices == 1) + rng.standard_normal(2000)
        choice.feedback_many(made.ids, gain=gain, errors=np.zeros(2000))
        assert choice.journal is not None
        assert choice.journal.flush()
        told = judge(gather(choice, None, since), 0.05, None)
        assert told.low is not None
        assert told.high is not None
        missed += not told.low <= truth <= told.high
        choice.journal.close()
    assert missed <= 12 + 3 * np.sqrt(120 * 0.1 * 0.9)


def test_a_long_reason_does_not_spoil_the_state(tmp_path: Path) -> None:
    gate = gate_of(make(tmp_path), cooldown=0.0)
    for _ in range(60):
        gate.rollback("x" * 100_000)
    assert (tmp_path / "codec" / "promotion.json").stat().st_size < 1 << 17
    status = gate_of(make(tmp_path)).status()
    assert status.problem == ""
    assert (len(status.transitions), status.attempt) == (50, 61)
