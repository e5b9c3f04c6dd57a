"""What the page says of a journal is what the choice that wrote it says."""

from __future__ import annotations

import json
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from traffic import close, flush, live, make, note, switch

import acumen
from acumen import _native
from acumen.core.journal_format import FATES, KINDS
from acumen.watch.happenings import describe
from acumen.watch.joining import StreamJoin
from acumen.watch.series import SPANS, Series
from acumen.watch.snapshot import ON_THE_WAY_S, details
from acumen.watch.view import ARMS_MAX, ChoiceView
from acumen.watch.watcher import Watcher


def look(watcher: Watcher, *choices: acumen.Choice) -> None:
    """Polls until all that is durable is there: once, unless a segment is just being sealed.

    What is renamed between listing and reading is read at the next look; and a hole is believed at
    the second look only.
    """
    deadline = time.monotonic() + 20
    while True:
        watcher.poll()
        views = {f.view.name: f.view for f in watcher._choices.values()}
        writers = [(choice.name, choice.journal) for choice in choices]
        if all(
            writer is not None
            and name in views
            and writer.stream in views[name].streams
            and views[name].streams[writer.stream].last >= writer.durable_sequence
            for name, writer in writers
        ):
            return
        assert time.monotonic() < deadline, views


def view_of(watcher: Watcher, name: str = "codec") -> ChoiceView:
    found = watcher._by_name(name)
    assert found is not None
    return found.view


def agree(view: ChoiceView, *choices: acumen.Choice) -> None:
    """Counts, and for a single process the comparison to the last bit."""
    counted = [choice.counters() for choice in choices]
    for i, reason in enumerate(_native.REASONS):
        if reason != "busy":
            assert view.reasons[i] == sum(c[reason] for c in counted), reason
    for i, fate in enumerate(FATES):
        assert view.fates[i] == sum(c[f"feedback_{fate}"] for c in counted), fate
    assert view.timeouts == sum(c["timed_out"] for c in counted)
    if len(choices) == 1:
        assert view.comparison == choices[0].comparison()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"mode": "canary", "canary": 0.5},
        {"mode": "shadow"},
        {"pending_max": 512},
        {"timeout": 0.02},
        {"timeout": 0.02, "timeout_reward": -3.0},
    ],
    ids=str,
)
def test_the_comparison_is_the_engines_own(tmp_path: Path, changes: dict[str, Any]) -> None:
    choice = make(tmp_path, **changes)
    watcher = Watcher(tmp_path)
    for i in range(12):
        live(choice, 400, i, answered=0.95 if i % 2 else 0.6)
        flush(choice)
        if i % 3 == 1:
            look(watcher, choice)  # while it is written
    close(choice)
    look(watcher, choice)
    view = view_of(watcher)
    agree(view, choice)
    again = Watcher(tmp_path)
    again.poll()  # all at once, sealed
    agree(view_of(again), choice)
    if changes.get("mode") != "shadow":
        assert choice.comparison().learned_decisions > 150
    if "timeout" in changes:
        assert view.timeouts > 100


def test_a_changed_objective_begins_anew_as_in_the_engine(tmp_path: Path) -> None:
    choice = make(tmp_path)
    watcher = Watcher(tmp_path)
    for i in range(9):
        if i in (3, 6):
            choice.objective = acumen.maximize("bytes") if i == 3 else acumen.minimize("seconds")
        live(choice, 500, i)
        flush(choice)
        look(watcher, choice)
        agree(view_of(watcher), choice)
    titles = [h.title for h in view_of(watcher).happenings]
    assert titles.count("objective changed") == 2
    assert "minimize seconds" in view_of(watcher).happenings[-1].why
    close(choice)


def test_processes_are_added_up(tmp_path: Path) -> None:
    choices = [make(tmp_path, seed=seed) for seed in (1, 2, 3)]
    watcher = Watcher(tmp_path)
    for i in range(6):
        for choice in choices:
            live(choice, 300, i, answered=1)
        flush(*choices)
        look(watcher, *choices)
    close(*choices)
    look(watcher, *choices)
    view = view_of(watcher)
    agree(view, *choices)
    assert view.stream_count == 3
    both = view.comparison
    assert both.learned_decisions == sum(c.comparison().learned_decisions for c in choices)
    state = details(view, "5m", time.time() + ON_THE_WAY_S)  # the newest are not shown before
    assert sum(map(sum, state["arm_counts"])) == view.decisions
    assert sum(arm["decisions"] for arm in state["arms"]) == view.decisions
    assert {arm["name"] for arm in state["arms"]} == {"none", "lz4", "zstd"}
    assert state["default"] == "zstd"
    assert sum(state["propensities"]) == view.decisions
    learned = state["rewards"]["learned"]
    assert sum(learned["count"]) == both.learned_decisions  # all within five minutes
    means = [m * n for m, n in zip(learned["mean"], learned["count"], strict=True) if n]
    assert sum(means) / both.learned_decisions == pytest.approx(both.learned_mean, rel=1e-4)
    assert json.dumps(state, allow_nan=False)


def test_more_processes_than_can_be_joined_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acumen.watch.view.JOINS_KEPT", 2)
    choices = [make(tmp_path, seed=seed) for seed in range(4)]
    for choice in choices:
        live(choice, 50)
    close(*choices)
    watcher = Watcher(tmp_path)
    look(watcher, *choices)
    assert watcher.state("codec", "5m")["selected"]["crowded"]
    agree(view_of(watcher), *choices)


def test_dropped_events_are_told(tmp_path: Path) -> None:
    small = acumen.Journal(tmp_path, ring_bytes=1 << 14, commit_seconds=0.3)
    choice = make(tmp_path, journal=small)
    live(choice, 3000)
    flush(choice)
    watcher = Watcher(tmp_path)
    look(watcher, choice)
    assert choice.journal is not None
    assert view_of(watcher).dropped == choice.journal.dropped > 0
    assert any(h.kind == "gap" for h in view_of(watcher).happenings)
    close(choice)


def test_candidates_and_ranges_have_names(tmp_path: Path) -> None:
    place = acumen.Choice(
        "place", acumen.Candidates(features=2), context={"x": float}, default=0,
        metric=acumen.minimize("seconds"), journal=tmp_path, seed=1,
    )  # fmt: skip
    many = acumen.Choice(
        "many", list(range(200)), context={"x": float}, default=7,
        metric=acumen.minimize("seconds"), journal=tmp_path, seed=1,
        learner=acumen.learners.EpsilonGreedy(epsilon=1.0),
    )  # fmt: skip
    for i in range(400):
        place.choose(x=1.0, candidates=np.eye(2)[: 1 + i % 2]).feedback(seconds=1.0)
        many.choose(x=1.0).feedback(seconds=1.0)
    close(place, many)
    watcher = Watcher(tmp_path)
    look(watcher, place, many)
    later = time.time() + ON_THE_WAY_S  # the newest are not shown before
    shown = details(view_of(watcher, "place"), "5m", later)["arms"]
    assert shown[0]["name"] == "candidate 0"
    shown = details(view_of(watcher, "many"), "5m", later)["arms"]
    assert shown[-1]["name"] == "others"
    assert sum(arm["decisions"] for arm in shown) == 400
    assert len(shown) <= 9


def test_who_and_why(tmp_path: Path) -> None:
    choice = make(tmp_path, mode="shadow")
    live(choice, 100)
    switch(choice, "canary", "the gate", "the estimate says so")
    live(choice, 100)
    note(choice, json.dumps({"kind": "drift", "detector": "Page-Hinkley", "why": "reward fell"}))
    note(choice, "drift: the context has moved")
    said = {"stream": "size", "kind": "higher", "reaction": "explore", "reason": "size is higher"}
    note(choice, json.dumps({"drift": said}))
    note(choice, "deployed 4711")
    choice.kill()
    live(choice, 100)
    close(choice)
    watcher = Watcher(tmp_path)
    look(watcher, choice)
    told = [(h.kind, h.title, h.who, h.why) for h in view_of(watcher).happenings]
    assert ("mode", "canary 0.1", "the gate", "the estimate says so") in told
    assert [t[0] for t in told].count("mode") == 2  # that it says twice, is one switch
    assert ("drift", "drift alarm", "", "reward fell") in told
    assert ("drift", "drift alarm", "", "drift: the context has moved") in told
    assert ("drift", "drift: explore", "", "size is higher") in told
    assert ("note", "note", "", "deployed 4711") in told
    assert told[-1][1] == "killed (was canary)"
    assert watcher.overview()["choices"][0]["mode"] == "killed"
    assert watcher.overview()["choices"][0]["alarms"] == 3


@pytest.mark.parametrize("mode", ["off", "shadow", "canary", "on"])
def test_the_mode_follows_from_decisions_where_nobody_switched(tmp_path: Path, mode: str) -> None:
    choice = make(tmp_path, mode=mode)
    live(choice, 200)
    close(choice)
    watcher = Watcher(tmp_path)
    look(watcher, choice)
    assert watcher.overview()["choices"][0]["mode"] == mode


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["mode", "canary", "killed", "who", "why", "kind", "positions", "drift"])
        | st.text(max_size=5), inner, max_size=5),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(KINDS), st.text() | json_values.map(json.dumps), st.integers(-5, 2**63))
def test_any_text_may_stand_in_a_journal(kind: str, text: str, number: int) -> None:
    happening = describe(kind, text, number, 1.0, "stream")
    assert len(happening.title) <= 200
    assert len(happening.why) <= 500
    assert len(happening.who) <= 500
    json.dumps([happening.title, happening.who, happening.why])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 40_000_000), st.integers(0, 3)), min_size=1, max_size=60),
    st.integers(1, 20),
)
def test_series_count_what_lies_in_their_windows(events: list[tuple[int, int]], batch: int) -> None:
    series = Series(("count", "weight"), {"codes": 4})
    taken: list[tuple[int, int]] = []
    for i in range(0, len(events), batch):
        part = events[i : i + batch]
        times = np.array([t for t, _ in part], np.int64)
        codes = np.array([c for _, c in part], np.int64)
        series.add(times, {"count": 1, "weight": codes * 0.5}, {"codes": codes})
        taken += part
    newest = max(t for t, _ in taken)
    for span in SPANS:
        starts, found = series.read(span.name, newest)
        assert len(starts) == span.slots
        for start, count, weight, codes in zip(
            starts, found["count"], found["weight"], found["codes"], strict=True
        ):
            inside = [c for t, c in taken if start <= t < start + span.width_s]
            assert count == len(inside)
            assert weight == sum(inside) * 0.5
            assert codes.tolist() == [inside.count(c) for c in range(4)]


def test_memory_does_not_grow_with_the_journal(tmp_path: Path) -> None:
    choice = make(tmp_path)
    watcher = Watcher(tmp_path)

    def held() -> int:
        view = view_of(watcher)
        arrays = [r.values for r in view.series.rings.values()] + [view.arm_decisions]
        joined = [v for j in view._joins.values() for v in vars(j).values()]
        return sum(a.nbytes for a in [*arrays, *joined] if isinstance(a, np.ndarray))

    rows = np.random.default_rng(0).normal(size=(5000, 2))
    sizes = []
    for _ in range(6):
        decisions = choice.choose_many(np.abs(rows).round())
        choice.feedback_many(decisions.ids, seconds=1.0, bytes=1.0)
        flush(choice)
        look(watcher, choice)
        sizes.append(held())
    assert len(set(sizes)) == 1
    assert sizes[0] < 4 << 20
    assert view_of(watcher).decisions == 30_000
    assert len(view_of(watcher).arm_decisions) == ARMS_MAX + 1
    close(choice)


def test_a_stream_that_speaks_nonsense_does_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = make(tmp_path, "bad"), make(tmp_path, "good")
    assert bad._settings["pending_max"] == 4096
    for choice in (bad, good):
        live(choice, 100)
    close(bad, good)
    watcher = Watcher(tmp_path)
    take = ChoiceView.take

    def refuse(self: ChoiceView, batch: Any) -> None:
        if self.name == "bad":
            raise ValueError("pending_max is no number")
        take(self, batch)

    monkeypatch.setattr(ChoiceView, "take", refuse)
    look(watcher, good)
    health = watcher.state("bad", "5m")["selected"]["health"]
    assert health["refused"] >= 1
    assert "no number" in health["problems"][0]
    assert view_of(watcher, "good").decisions == 100


@pytest.mark.parametrize("jump", [1 << 24, (1 << 40) - 2])
def test_numbers_that_jump_are_not_counted_out(jump: int) -> None:
    """A forged id must not make the page look at all that would lie before it."""
    join = StreamJoin(1, 512, None, acumen.maximize("r"))
    ids = (np.uint64(1 << 40) | np.array([1, 2, jump, jump + 1], np.uint64)).astype(np.uint64)
    tossed, share = np.ones(4, bool), np.full(4, 0.5)
    tracemalloc.start()
    join.decide(ids, tossed, share, np.zeros(4, np.int64), np.zeros(4, np.int64))
    join.hear(ids[2:], np.ones((2, 1)), np.zeros(2, np.int64))
    found = join.advance()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.reward.tolist() == [1.0, 1.0]
    assert peak < 1 << 22
