"""A journal that is judged as it grows: as if it were read whole, in bounded memory and time."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from gated import gate_of, go_to, live, make

import acumen
from acumen.core.journal_segments import segments_in
from acumen.evaluation.off_policy import SNIPS, DecisionLog, compare
from acumen.evaluation.promotion import gate as gates
from acumen.evaluation.promotion import journal_evidence
from acumen.evaluation.promotion.evidence import EvidenceError, Gatherer
from acumen.evaluation.promotion.journal_evidence import JournalEvidence, as_it_was
from acumen.evaluation.promotion.pooled import Pooled
from acumen.evaluation.promotion.store import LastTransition

Arrays = tuple[DecisionLog, np.ndarray]


def tossed(rng: np.random.Generator, n: int, missing: float = 0.1) -> Arrays:
    """Decisions of a canary: arm 1 brings half more; the candidate takes it more or less often."""
    share, learned_one = 0.2, rng.uniform(0.5, 0.9, n)
    ones = rng.random(n) < share * learned_one
    learned = np.where(ones, learned_one, 1 - learned_one)
    propensity = np.where(ones, share * learned_one, 1 - share + share * (1 - learned_one))
    reward = 10 + 0.5 * ones + rng.standard_normal(n)
    reward[rng.random(n) < missing] = np.nan
    log = DecisionLog.of(ones.astype(int), propensity, reward, arms=2)
    object.__setattr__(log, "default", np.zeros(n, np.int64))
    return log, learned


def part(log: DecisionLog, learned: np.ndarray, rows: np.ndarray) -> Arrays:
    return log.take(rows), learned[rows]


def test_sums_of_single_decisions_say_what_rows_say() -> None:
    log, learned = tossed(np.random.default_rng(0), 3000)
    pooled = Pooled()
    for rows in np.array_split(np.arange(3000), 7):
        pooled.add(*part(log, learned, rows))
    mine = pooled.compare(0.9).as_dict()
    theirs = compare(log, learned, "default", estimator=SNIPS(), confidence=0.9).as_dict()
    for a, b in ((mine, theirs), *((mine[n], theirs[n]) for n in ("candidate", "baseline"))):
        numbers = [name for name, value in b.items() if isinstance(value, float | int)]
        assert len(numbers) >= 5
        assert [a[n] for n in numbers] == pytest.approx([b[n] for n in numbers], rel=1e-6)
        assert [a[n] for n in ("refusal", "verdict")] == [b[n] for n in ("refusal", "verdict")]


def test_added_up_neighbours_give_the_same_estimate_and_as_wide_an_interval() -> None:
    log, learned = tossed(np.random.default_rng(1), 10_007)
    fine, coarse = Pooled(), Pooled(groups_max=512)
    for rows in np.array_split(np.arange(len(log)), 13):
        fine.add(*part(log, learned, rows))
        coarse.add(*part(log, learned, rows))
    assert (fine.group, coarse.group) == (1, 32)
    assert coarse._sums.shape[0] == 512
    a, b = fine.compare(0.95), coarse.compare(0.95)
    assert (b.value, b.candidate.value) == pytest.approx((a.value, a.candidate.value))
    assert b.candidate.effective_sample_size == pytest.approx(a.candidate.effective_sample_size)
    assert b.standard_error == pytest.approx(a.standard_error, rel=0.15)
    assert coarse.plus(*part(log, learned, np.arange(100))).rows > coarse.rows == fine.rows


def test_intervals_of_added_up_neighbours_hold() -> None:
    """90 % intervals in 300 logs, each decision of which was added up with 15 to 31 others."""
    missed = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        log, learned = tossed(rng, 3000)
        pooled = Pooled(groups_max=128)
        pooled.add(log, learned)
        told = pooled.compare(0.9)
        assert told.low is not None, told
        assert told.high is not None
        missed += not told.low <= 0.5 * 0.7 <= told.high  # its mean probability of arm 1
    assert missed <= 30 + 3 * np.sqrt(300 * 0.1 * 0.9)


@pytest.mark.parametrize("small", [False, True])
def test_reading_on_says_what_reading_all_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: bool
) -> None:
    """Two processes, late feedback, some from the other process, some that never comes."""
    if small:
        monkeypatch.setattr(journal_evidence, "PIECE_EVENTS", 100)
    choices = [make(tmp_path, seed=s, mode="on") for s in (1, 2)]
    rng = np.random.default_rng(3)
    evidence = JournalEvidence(choices[0], 0.0)
    waiting: list[int] = []
    for turn in range(6):
        for choice in choices:
            choice.set_mode("canary", 0.3)
            made = choice.choose_many(rng.standard_normal((200, 1)))
            gain = rng.standard_normal(200) + made.indices
            now = rng.random(200) < 0.6
            choice.feedback_many(made.ids[now], gain=gain[now], errors=np.zeros(now.sum()))
            waiting += made.ids[~now].tolist()
        for choice in choices:
            some, waiting = waiting[:60], waiting[60:]
            for number in some:
                choice.feedback(number, gain=1.0, errors=0.0)
            assert choice.journal is not None
            assert choice.journal.flush()
        if turn % 2:
            evidence.read(0.0 if small else 60.0)
    for _ in range(100):
        evidence.read(0.0)
    found = evidence.now()
    assert choices[0].journal is not None
    table = choices[0].journal.journal.decisions()
    log, learned = as_it_was(table, choices[0])
    whole = compare(log, learned, "default", estimator=SNIPS())
    assert 0 < found.rows == whole.candidate.records < len(log) == len(found) == 2400
    told = found.compare(0.95)
    assert (told.low, told.high) == pytest.approx((whole.low, whole.high), rel=1e-6)
    assert told.candidate.missing_z == pytest.approx(whole.candidate.missing_z)


def test_what_waits_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_evidence, "WAITING_MAX", 50)
    choice = make(tmp_path, mode="on")
    choice.set_mode("canary", 0.5)
    made = choice.choose_many(np.zeros((300, 1)))
    assert choice.journal is not None
    assert choice.journal.flush()
    evidence = JournalEvidence(choice, 0.0)
    evidence.read(60.0)
    assert evidence._carried is not None
    assert len(evidence._carried) == 50
    choice.feedback_many(made.ids, gain=np.zeros(300), errors=np.zeros(300))
    assert choice.journal.flush()
    evidence.read(60.0)
    assert (len(evidence.now()), evidence.now().rows) == (300, 50)
    assert len(evidence._carried) == 0


def test_what_was_read_need_not_be_there_any_more(tmp_path: Path) -> None:
    """A look reads what is new; what it has seen, retention may have."""
    journal = acumen.Journal(tmp_path, segment_bytes=4096)
    choice, rng = make(journal), np.random.default_rng(1)
    choice.set_mode("canary", 0.3)
    log = Gatherer(choice, None)
    for turn in range(1, 4):
        live(choice, rng, 1000, gap=0.5)
        assert log.gather(0.0).rows == 1000 * turn
        for segment in segments_in(tmp_path / "codec"):
            if segment.sealed:
                segment.path.unlink()
    with pytest.raises(EvidenceError, match="no decision yet"):
        log.gather(time.time() + 1)


def test_where_it_stood_is_looked_for_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile the default is served, and nobody waits."""
    choice, rng = make(tmp_path), np.random.default_rng(1)
    go_to(gate_of(choice), 2)
    for _ in range(6):
        live(choice, rng, 50, gap=0.1)
    (tmp_path / "codec" / "promotion.json").unlink()
    last, reads = LastTransition(choice), 1
    while not last.read(0.0):
        reads += 1
    assert reads > 3
    assert last.state is not None
    assert last.state.stage == 2
    again = make(tmp_path)
    monkeypatch.setattr(gates, "READ_SECONDS", 0.0)
    monkeypatch.setattr(gates, "LOCK_SECONDS", 0.0)
    gate = gate_of(again)
    assert (gate.status().stage, again.mode) == ("shadow", "shadow")
    assert "looking where it stood" in gate.status().waiting
    for _ in range(20):
        gate.step()
    assert (gate.status().stage, again.mode, gate.status().attempt) == ("canary 0.5", "canary", 2)
