"""One model from many streams: exact with one; what comes twice, late or mixed does no harm."""

import itertools
import json
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from journaled import differences, live, make

import acumen
from acumen.core import journal_tail
from acumen.core.early_feedback import EARLY_MAX, EarlyFeedback
from acumen.core.journal import EventBatch
from acumen.core.journal_segments import folder_of, newest_info
from acumen.core.journal_tail import JournalTail
from acumen.core.trainer import Trainer
from acumen.core.twin import twin, types_of
from acumen.learners.described import choice_of_journal

KINDS: list[dict[str, Any]] = [
    {},
    {"learner": acumen.learners.LinUCB(half_life=500.0)},
    {"learner": acumen.learners.SoftmaxGradient()},
    {"arms": acumen.Candidates(features=2, most=8), "default": 0},
    {"arms": acumen.Range(1, 64, log=True, points=7), "default": 5},
    {"timeout_reward": -9.0, "timeout": 1e-4},
    {"pending_max": 600},
]


def batches(folder: Path, choice: str = "codec") -> list[EventBatch]:
    return list(acumen.Journal(folder).events(choice))


def pieces(batch: EventBatch, size: int) -> list[EventBatch]:
    """The same events in batches of `size`."""
    numbers = batch.rows.column("sequence").to_pylist()
    return [
        EventBatch(
            batch.info,
            batch.first if i == 0 else numbers[i],
            numbers[min(i + size, len(numbers)) - 1],
            batch.rows.slice(i, size),
        )
        for i in range(0, len(numbers), size)
    ]


def slices(folder: Path, size: int) -> list[EventBatch]:
    """All events of a directory, in small batches."""
    return [part for batch in batches(folder) for part in pieces(batch, size)]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_one_stream_makes_the_very_model(tmp_path: Path, kind: dict[str, Any]) -> None:
    choice = make(tmp_path, **kind)
    live(choice, 1500)
    choice.objective = acumen.minimize("bytes") + acumen.observe("seconds")
    live(choice, 300, seed=1)
    choice.forget(keep=100, reason="the world is another")
    live(choice, 200, seed=2)
    assert choice.journal is not None
    assert choice.journal.close()
    info = newest_info(folder_of(tmp_path, "codec"))
    assert info is not None
    # Taught alike: a choice made from this one, and one that is made from what the journal says.
    made = choice_of_journal(info)
    made.objective = acumen.minimize("seconds") + acumen.observe("bytes")
    first = twin(choice)
    first.objective = made.objective
    for taught in (first, made):
        trainer = Trainer(taught)
        assert {trainer.take(batch) for batch in slices(tmp_path, 97)} == {"applied"}
        assert differences(choice, taught) == []
        assert trainer.report.unjoined == trainer.report.refused == 0
    counted = choice.counters()
    timeouts = counted["timed_out"] if "timeout_reward" in kind else 0
    forgettings = 1  # counts as a lesson: another model came of it
    assert sum(trainer.lessons.values()) == counted["feedback_learned"] + timeouts + forgettings


def test_what_comes_twice_late_or_out_of_order_changes_nothing(tmp_path: Path) -> None:
    choice = make(tmp_path)
    live(choice, 900)
    assert choice.journal is not None
    assert choice.journal.flush()
    order = random.Random(5)
    mixed = 3 * slices(tmp_path, 50)
    order.shuffle(mixed)
    trainer = Trainer(twin(choice))
    rounds = 0
    while trainer.positions.get(choice.journal.stream, 0) < choice.journal.sequence:
        outcomes = [trainer.take(batch) for batch in mixed]
        assert "foreign" not in outcomes
        rounds += 1
        assert rounds < 100
    # Other cuts of the same events.
    for size in (33, 1000):
        for batch in slices(tmp_path, size):
            trainer.take(batch)
    assert differences(choice, trainer.choice) == []
    assert trainer.report.duplicates > 0
    assert trainer.report.early > 0


def test_many_streams_interleaved_lose_no_lesson(tmp_path: Path) -> None:
    choices = [make(tmp_path, seed=i) for i in range(4)]
    for part in range(6):
        for i, choice in enumerate(choices):
            live(choice, 60, seed=10 * part + i)
    for choice in choices:
        assert choice.journal is not None
        assert choice.journal.close()
    wanted = sum(choice.counters()["feedback_learned"] for choice in choices)
    by_stream: dict[str, list[EventBatch]] = {}
    for batch in slices(tmp_path, 29):
        by_stream.setdefault(batch.info.stream, []).append(batch)
    order = random.Random(3)
    turns = [stream for stream, parts in by_stream.items() for _ in parts]
    order.shuffle(turns)
    trainer = Trainer(twin(choices[0]))
    for stream in turns:
        assert trainer.take(by_stream[stream].pop(0)) == "applied"
    assert trainer.report.lessons == wanted == trainer.choice.counters()["feedback_learned"]
    assert trainer.report.unjoined == 0
    assert len(trainer.lessons) == 4


def test_eight_replicas_make_the_model_of_all_records(tmp_path: Path) -> None:
    """With scales that are settled, sums do not depend on who tells first."""
    linear = {"learner": acumen.learners.LinUCB(), "pending_max": 1 << 14}
    start = make(tmp_path / "start", **linear)
    live(start, 700)
    assert start.journal is not None
    assert start.journal.close()
    replicas = [make(tmp_path / "all", seed=i, **linear) for i in range(8)]
    for i, choice in enumerate(replicas):
        live(choice, 150, seed=100 + i)
        assert choice.journal is not None
        assert choice.journal.close()
    results = []
    for seed in (1, 2):
        trainer = Trainer(twin(start))
        for batch in batches(tmp_path / "start"):
            trainer.take(batch)
        parts: dict[str, list[EventBatch]] = {}
        for batch in slices(tmp_path / "all", 40):
            parts.setdefault(batch.info.stream, []).append(batch)
        turns = [stream for stream, p in parts.items() for _ in p]
        if seed == 2:  # the first takes one stream after the other
            random.Random(seed).shuffle(turns)
        for stream in turns:
            trainer.take(parts[stream].pop(0))
        results.append(trainer.choice)
    one, other = (choice.learner.state() for choice in results)
    assert results[0].model_version == results[1].model_version > 800
    # The last of them sums up how wrong predictions were, which is a matter of what came before.
    one["reward_scale"], other["reward_scale"] = one["reward_scale"][:4], other["reward_scale"][:4]
    for name in ("sums", "products", "counts", "reward_scale"):
        scale = np.abs(one[name]).max()
        assert np.abs(one[name] - other[name]).max() <= 1e-9 * scale, name


def test_feedback_counts_whichever_process_heard_it(tmp_path: Path) -> None:
    asked, told = make(tmp_path), make(tmp_path, seed=2)
    ids = [asked.choose(size=float(i), kind="x", level=1.0, hot=True).id for i in range(50)]
    assert asked.journal is not None
    assert told.journal is not None
    assert asked.journal.close()
    for number in ids:
        assert not told.feedback(number, seconds=1.0, bytes=1.0)  # not its own
    assert told.journal.close()
    trainer = Trainer(twin(asked))
    for batch in batches(tmp_path):
        trainer.take(batch)
    assert trainer.report.lessons == 50

    assert trainer._early.arrays()[0] == []  # nothing waits that has been joined


def test_forgetting_keeps_the_latest_decisions_of_all(tmp_path: Path) -> None:
    """A trainer's ring holds decisions of many processes."""
    choices = [make(tmp_path, seed=i, learner=acumen.learners.LinUCB()) for i in range(2)]
    for part in range(20):
        for i, choice in enumerate(choices):
            live(choice, 30, seed=10 * part + i)
            assert choice.journal is not None
            assert choice.journal.flush()
    choices[0].forget(keep=200)
    for choice in choices:
        assert choice.journal is not None
        assert choice.journal.close()
    trainer = Trainer(twin(choices[0]))
    parts = slices(tmp_path, 29)
    parts.sort(key=lambda batch: batch.rows.column("time")[-1].value)
    for batch in parts:
        assert trainer.take(batch) == "applied"
    ids = trainer.choice._records()["id"][-200:]
    done = trainer.choice._records()["state"][-200:] == 2
    assert len(np.unique(ids >> np.uint64(40))) == 2
    assert trainer.choice._state()["counts"].sum() == done.sum() > 50


def test_feedback_may_come_before_its_decision(tmp_path: Path) -> None:
    """From another process, read first; the checkpoint in between has it, too."""
    asked, told = make(tmp_path), make(tmp_path, seed=2)
    ids = [asked.choose(size=float(i), kind="x", level=1.0, hot=True).id for i in range(50)]
    live(told, 20)
    for i, number in enumerate([*ids, *ids[:5], 99]):
        assert not told.feedback(number, seconds=float(i), bytes=1.0)
    own = told.counters()["feedback_learned"]
    for choice in (asked, told):
        assert choice.journal is not None
        assert choice.journal.close()
    assert asked.journal is not None
    assert told.journal is not None
    parts = {stream: [] for stream in (asked.journal.stream, told.journal.stream)}
    for batch in slices(tmp_path, 17):
        parts[batch.info.stream].append(batch)
    in_order, early = Trainer(twin(asked)), Trainer(twin(asked))
    for batch in [*parts[asked.journal.stream], *parts[told.journal.stream]]:
        in_order.take(batch)
    for batch in parts[told.journal.stream]:
        early.take(batch)
    assert early.report.lessons == own
    successor = Trainer(twin(asked))
    successor.resume(early.publish((1, 1), whole=True))
    for batch in [*parts[asked.journal.stream], *parts[told.journal.stream]]:
        successor.take(batch)
    assert successor.report.early_feedback == 50
    assert successor.choice.model_version == in_order.choice.model_version == own + 50
    assert successor.lessons == in_order.lessons == {told.journal.stream: own + 50}
    assert successor.report.unjoined == 0


def test_early_feedback_is_bounded() -> None:
    early = EarlyFeedback(2)
    for part in range(40):
        ids = np.arange(1000, dtype=np.uint64) + np.uint64(1000 * part)
        early.keep("s", ids, np.full((1000, 2), float(part)))
    assert len(early) == EARLY_MAX
    assert early.due(np.arange(1000, dtype=np.uint64)) == {}  # the oldest have gone
    again = EarlyFeedback(2)
    again.restore(*early.arrays())
    (found,) = again.due(np.array([39_999], np.uint64)).values()
    assert found[1].tolist() == [[39.0, 39.0]]
    with pytest.raises(ValueError, match="no sense"):
        EarlyFeedback(3).restore(*early.arrays())


def test_another_kind_of_choice_is_left_out(tmp_path: Path) -> None:
    ours = make(tmp_path)
    for changes in (
        {"arms": ["a", "b"]},
        {"context": {"size": float}},
        {"learner": acumen.learners.LinUCB()},
    ):
        other = make(tmp_path, **changes)
        other.choose(size=1.0)
        assert other.journal is not None
        assert other.journal.close()
    live(ours, 50)
    assert ours.journal is not None
    assert ours.journal.close()
    trainer = Trainer(twin(ours))
    outcomes = [trainer.take(batch) for batch in batches(tmp_path)]
    assert outcomes.count("foreign") == 3
    assert sorted(trainer.report.foreign.values())[0].startswith("its arms differ")
    assert differences(ours, trainer.choice) == []


@pytest.mark.parametrize("learner", [None, acumen.learners.LinUCB()], ids=str)
def test_a_successor_goes_on_where_the_checkpoint_was(tmp_path: Path, learner: Any) -> None:
    choices = [make(tmp_path, seed=i, learner=learner) for i in range(3)]
    for i, choice in enumerate(choices):
        live(choice, 300, seed=i)
        assert choice.journal is not None
        assert choice.journal.close()
    parts = slices(tmp_path, 61)
    random.Random(1).shuffle(parts)
    through, stopped = Trainer(twin(choices[0])), Trainer(twin(choices[0]))
    for _ in range(20):
        for batch in parts[: len(parts) // 2]:
            through.take(batch)
            stopped.take(batch)
    successor = Trainer(twin(choices[0]))
    successor.resume(stopped.publish((1, 1), whole=True))
    assert successor.positions == through.positions
    for _ in range(40):
        for batch in parts:
            assert through.take(batch) == successor.take(batch)
    assert differences(through.choice, successor.choice) == []
    assert through.lessons == successor.lessons


def test_a_checkpoint_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    choice = make(tmp_path)
    live(choice, 100)
    assert choice.journal is not None
    assert choice.journal.close()
    trainer = Trainer(twin(choice))
    for batch in batches(tmp_path):
        trainer.take(batch)
    good = trainer.publish((1, 1), whole=True)
    for key, value in (
        ("runs", 7),
        ("kind", "other"),
        ("lessons", None),
        ("next", "x"),
        ("episodes", {"x": 3}),
    ):
        header = good.header | {"trainer": good.header["trainer"] | {key: value}}
        with pytest.raises(ValueError):
            Trainer(twin(choice)).resume(type(good)(good.stamp, header, good.arrays))
    with pytest.raises(ValueError):  # the model alone is no checkpoint
        Trainer(twin(choice)).resume(trainer.publish((1, 1)))


def test_only_choices_that_nobody_asks_are_taught(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="without a journal"):
        Trainer(make(tmp_path))
    asked = make()
    live(asked, 1)
    with pytest.raises(ValueError, match="nobody has asked"):
        Trainer(asked)


def test_types_say_what_the_schema_says() -> None:
    schema = make().schema
    assert type(schema)(types_of(schema)).version == schema.version


# Tailing.


def test_a_tail_sees_every_event_once_while_it_is_written(tmp_path: Path) -> None:
    choice = make(acumen.Journal(tmp_path, segment_bytes=1 << 14, commit_seconds=0.001))
    tail = JournalTail(folder_of(tmp_path, "codec"))
    assert choice.journal is not None
    positions: dict[str, int] = {}
    seen = 0

    def look() -> None:
        nonlocal seen
        for batch in tail.read(positions):
            known = positions.get(batch.info.stream, 0)
            assert batch.first == known + 1
            numbers = batch.rows.column("sequence").to_pylist()
            assert numbers == list(range(known + 1, batch.last + 1))
            positions[batch.info.stream] = batch.last
            seen += len(numbers)

    for part in range(30):
        live(choice, 40, seed=part)
        if part % 3:
            assert choice.journal.flush()
        look()
    assert choice.journal.health.sealed > 2
    assert choice.journal.close()
    look()
    assert seen == choice.journal.sequence
    assert not tail.problems


def test_missing_events_are_waited_for_and_then_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_tail, "HOLE_SECONDS", 1e9)
    choice = make(acumen.Journal(tmp_path, segment_bytes=1 << 14, commit_seconds=0.001))
    assert choice.journal is not None
    for part in range(12):
        live(choice, 60, seed=part)
        assert choice.journal.flush(60)
    assert choice.journal.close(60)
    segments = sorted((tmp_path / "codec").glob("*.arrow"))
    assert len(segments) > 3
    away = segments[1].rename(tmp_path / "away")
    tail, positions = JournalTail(folder_of(tmp_path, "codec")), {}
    for batch in tail.read(positions):
        positions[batch.info.stream] = batch.last
    short = positions[choice.journal.stream]
    assert short < choice.journal.sequence
    assert tail.has_holes
    away.rename(segments[1])  # it was only being renamed
    for batch in tail.read(positions):
        positions[batch.info.stream] = batch.last
    assert positions == {choice.journal.stream: choice.journal.sequence}
    assert not tail.problems
    segments[1].unlink()
    tail, positions = JournalTail(folder_of(tmp_path, "codec")), {}
    for patience in (1e9, 0.0):  # the last look is one after its time
        monkeypatch.setattr(journal_tail, "HOLE_SECONDS", patience)
        for _ in range(2):
            for batch in tail.read(positions):
                positions[batch.info.stream] = batch.last
        waited = positions[choice.journal.stream] == short
        assert waited == (patience > 0)
    assert positions == {choice.journal.stream: choice.journal.sequence}
    assert [p for p in tail.problems if "are missing" in p]


def test_one_drift_is_forgotten_once_whoever_is_read_first(tmp_path: Path) -> None:
    """Three watches see two drifts, one watch after the other."""
    choices = [make(tmp_path, seed=i, learner=acumen.learners.LinUCB()) for i in range(3)]
    for drift in range(2):
        for choice in choices:
            live(choice, 40, seed=drift)
        began_s = time.time()
        for choice in choices:
            live(choice, 10, seed=drift)
            choice.forget(keep=10, began_s=began_s)
    for choice in choices:
        assert choice.journal is not None
        assert choice.journal.close()
    streams: dict[str, list[EventBatch]] = {}
    for batch in slices(tmp_path, 7):
        streams.setdefault(batch.info.stream, []).append(batch)
    turns = [stream for stream, batches in streams.items() for _ in batches]
    orders = [list(order) for order in itertools.permutations(streams)]
    orders = [[s for s in order for _ in streams[s]] for order in orders]  # one after the other
    orders += [random.Random(seed).sample(turns, len(turns)) for seed in range(20)]
    for order in orders:
        trainer = Trainer(twin(choices[0]))
        left = {stream: iter(batches) for stream, batches in streams.items()}
        assert {trainer.take(next(left[stream])) for stream in order} == {"applied"}
        assert (trainer.report.forgotten, trainer.report.same_drift) == (2, 4)


def test_what_a_trainer_forgot_its_successor_knows(tmp_path: Path) -> None:
    choice = make(tmp_path, learner=acumen.learners.LinUCB())
    trainer = Trainer(twin(choice))

    def take_all() -> tuple[int, int]:
        assert choice.journal is not None
        assert choice.journal.flush()
        for batch in acumen.Journal(tmp_path).events("codec", after=trainer.positions):
            assert trainer.take(batch) == "applied"
        return trainer.report.forgotten, trainer.report.same_drift

    live(choice, 50)
    began_s = time.time()
    choice.forget(keep=10, began_s=began_s)
    assert take_all() == (1, 0)
    live(choice, 50)
    successor = Trainer(twin(choice))
    successor.resume(trainer.publish((1, 1), whole=True))
    trainer = successor
    assert take_all() == (0, 0)
    model = trainer.choice._state()
    choice.forget(keep=10, began_s=began_s)
    assert take_all() == (0, 1)
    assert all(np.array_equal(a, trainer.choice._state()[n]) for n, a in model.items())
    choice.forget(keep=1000)  # somebody wants it: no watch
    assert take_all() == (1, 1)
    # Whose clock is ahead does not speak for what is still to come.
    said = {"forget": {"keep": 0, "began_s": time.time()}}
    trainer._forget_lessons(said, "1" * 12 + "-" + "2" * 6, time.time() + 3600)
    choice.forget(began_s=time.time())
    assert take_all() == (3, 1)


@pytest.mark.parametrize("began_s", ["soon", [], float("nan")])
def test_a_drift_that_makes_no_sense_is_refused(tmp_path: Path, began_s: Any) -> None:
    choice = make(tmp_path)
    choice._relearn(0, json.dumps({"forget": {"keep": 0, "began_s": began_s}}))
    assert choice.journal is not None
    assert choice.journal.close()
    trainer = Trainer(twin(choice))
    for batch in acumen.Journal(tmp_path).events("codec"):
        assert trainer.take(batch) == "applied"
    assert (trainer.report.refused, trainer.report.forgotten) == (1, 0)


def test_a_time_out_that_comes_after_feedback_is_in_order(tmp_path: Path) -> None:
    """The process could not know: another one has heard it."""
    patient, other = make(tmp_path, timeout=1e-3), make(tmp_path, timeout=1e-3, seed=2)
    decisions = [patient.choose(size=float(i), kind="x", level=1.0, hot=True) for i in range(9)]
    for decision in decisions[:5]:
        other.feedback(decision.id, seconds=1.0, bytes=1.0)
    time.sleep(0.01)
    patient.choose(size=0.0, kind="x", level=1.0, hot=True)
    assert patient.counters()["timed_out"] == 9
    for choice in (patient, other):
        assert choice.journal is not None
        assert choice.journal.close()
    whole = {batch.info.stream: batch for batch in batches(tmp_path)}
    assert patient.journal is not None
    mine = pieces(whole.pop(patient.journal.stream), 1)
    kinds = [batch.rows.column("kind")[0].as_py() for batch in mine]
    late = kinds.index("timeout")
    trainer = Trainer(twin(patient))
    for batch in [*mine[:late], *whole.values(), *mine[late:]]:
        assert trainer.take(batch) == "applied"
    report = trainer.report
    assert (report.timeouts, report.overtaken, report.refused) == (4, 5, 0)
    assert report.lessons == 5
