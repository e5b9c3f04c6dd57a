"""Logs from records: what a choice remembers, and what a journal's table says."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import acumen
from acumen.evaluation.off_policy import (
    IPS,
    SNIPS,
    DecisionLog,
    LogError,
    PolicyError,
    compare,
    estimate,
    read_records,
)


def served(decisions: int = 3000, mode: str = "on", **options: Any) -> acumen.Choice:
    """A choice between three arms; the best depends on the kind."""
    rng = np.random.default_rng(1)
    choice = acumen.Choice(
        "codec",
        arms=["none", "fast", "small"],
        context={"size": float, "kind": str},
        default="small",
        metric=acumen.minimize("seconds") + acumen.observe("bytes"),
        holdback=0.3,
        learner=acumen.learners.EpsilonGreedy(epsilon=0.5),
        seed=5,
        mode=mode,
        pending_max=8192,
        **options,
    )
    for _ in range(decisions):
        kind = str(rng.choice(["json", "png"]))
        size = float(rng.lognormal(0, 0.5))
        decision = choice.choose(size=size, kind=kind)
        cost = {"none": 2.0, "fast": 1.0 if kind == "json" else 3.0, "small": 2.0}[decision.arm]
        decision.feedback(seconds=cost + rng.normal(0, 0.3), bytes=size)
    return choice


@pytest.fixture(scope="module")
def choice() -> acumen.Choice:
    return served()


def test_what_a_choice_remembers(choice: acumen.Choice) -> None:
    log = read_records(choice.records(), acumen.minimize("seconds"))
    assert len(log) == 3000
    assert log.schema.version == choice.schema.version
    assert log.reward.mean() < -1
    logged = estimate(log, "logged")
    assert logged.value == pytest.approx(log.reward.mean())
    # What was learned is better than what was done on the way there.
    assert compare(log, choice).verdict == "better"
    by_hand = estimate(
        log, lambda context: 1 if context["kind"] == choice.code("kind", "json") else 2
    )
    assert by_hand.low is not None
    assert by_hand.high is not None
    assert by_hand.low < -1.5 < by_hand.high


def test_another_objective_from_the_same_records(choice: acumen.Choice) -> None:
    table = choice.records()
    log = read_records(table, acumen.maximize("bytes") + acumen.at_most("seconds", 2.5))
    metrics = {
        "bytes": table["metric.bytes"].to_numpy(),
        "seconds": table["metric.seconds"].to_numpy(),
    }
    over = np.maximum(metrics["seconds"] - 2.5, 0) / 2.5
    assert log.reward == pytest.approx(metrics["bytes"] - 10 * over)


def test_decisions_without_a_coin_are_left_out() -> None:
    choice = served(200)
    choice.set_mode("off")
    for _ in range(30):
        choice.choose(size=1.0, kind="json").feedback(seconds=1.0, bytes=1.0)
    choice.set_mode("shadow")
    for _ in range(40):
        choice.choose(size=1.0, kind="json").feedback(seconds=1.0, bytes=1.0)
    choice.set_mode("canary", 0.5)
    choice.choose(size=float("nan"), kind="json")
    choice.choose(size=1.0, kind="json")
    log = read_records(choice.records(), acumen.minimize("seconds"))
    assert dict(log.excluded) == {"bad_context": 1, "off": 30, "shadow": 40}
    assert len(log) == 201
    assert np.isnan(log.reward).sum() == 1
    assert estimate(log, 0).excluded == 71


def test_time_outs_may_have_a_reward() -> None:
    table = plain(6).set_column(
        5, "state", pa.array(["done", "timed_out", "waiting", "done", "timed_out", "done"])
    )
    seconds = pa.array([1.0, None, None, 1.0, None, 1.0])
    table = table.set_column(table.column_names.index("metric.seconds"), "metric.seconds", seconds)
    log = read_records(table, acumen.minimize("seconds"))
    assert np.isnan(log.reward).sum() == 3
    log = read_records(table, acumen.minimize("seconds"), timeout_reward=-9.0)
    assert log.reward[[1, 4]].tolist() == [-9.0, -9.0]
    assert np.isnan(log.reward[2])


def plain(n: int = 1000, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    kind = rng.choice(["json", "png"], n)
    arm = rng.integers(3, size=n)
    return pa.table(
        {
            "id": np.arange(n, dtype=np.uint64),
            "model_version": np.zeros(n, np.uint64),
            "arm": arm.astype(np.int32),
            "propensity": np.full(n, 1 / 3, np.float32),
            "reason": pa.array(["learned"] * n).dictionary_encode(),
            "state": pa.array(["done"] * n).dictionary_encode(),
            "context.kind": kind,
            "context.size": rng.normal(size=n),
            "metric.seconds": np.where((kind == "json") == (arm == 1), 1.0, 2.0)
            + rng.normal(0, 0.1, n),
        }
    )


def test_texts_are_categories_and_heuristics_see_them() -> None:
    log = read_records(plain(), acumen.minimize("seconds"))
    assert log.levels == {"kind": ("json", "png")}
    result = estimate(log, lambda context: 1 if context["kind"] == "json" else 0)
    assert result.low is not None
    assert result.high is not None
    assert result.low <= -1.0 <= result.high
    choice = served(500)
    assert estimate(log, choice).value is not None


def test_a_stream_of_batches_and_repeated_rows() -> None:
    table = plain()
    twice = pa.concat_tables([table, table.slice(0, 100)])
    reader = pa.RecordBatchReader.from_batches(table.schema, twice.to_batches(max_chunksize=128))
    log = read_records(reader, acumen.minimize("seconds"))
    once = read_records(table, acumen.minimize("seconds"))
    assert log.duplicates == 100
    assert np.array_equal(log.reward, once.reward)
    assert estimate(log, 0) == DataclassLike(estimate(once, 0), duplicates=100)


class DataclassLike:
    """Equal to an estimate that differs in these fields only."""

    def __init__(self, other: Any, **changes: Any) -> None:
        self.expected = {**other.as_dict(), **changes}

    def __eq__(self, other: object) -> bool:
        return bool(other.as_dict() == self.expected)  # type: ignore[attr-defined]

    __hash__ = None  # type: ignore[assignment]


def test_what_a_table_says_of_its_choice() -> None:
    said = {
        "arms": ["'none'", "'fast'", "'small'", "'never'"],
        "features": 0,
        "objective": [{"metric": "seconds", "weight": -1.0}],
    }
    table = plain().append_column("default_arm", pa.array(np.full(1000, 2, np.int32)))
    table = table.replace_schema_metadata({"acumen": json.dumps(said)})
    log = read_records(table)
    assert log.arms == 4
    assert log.labels == ("'none'", "'fast'", "'small'", "'never'")
    names = estimate(log, lambda context: "small", estimator=SNIPS())
    assert names.value == estimate(log, "default", estimator=SNIPS()).value
    assert names.value == estimate(log, 2, estimator=SNIPS()).value
    broken = table.replace_schema_metadata({"acumen": b"\xff{", "schema": b"\xff"})
    with pytest.raises(LogError, match="name no objective"):
        read_records(broken)
    assert read_records(broken, acumen.minimize("seconds")).arms == 3


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("arm", None, "no column 'arm'"),
        ("id", None, "no column 'id'"),
        ("propensity", None, "no column 'propensity'"),
        ("metric.seconds", None, "no column 'metric.seconds'"),
        ("arm", ["a", "b", "c"], "column 'arm' holds no numbers"),
        ("arm", [0.0, 0.5, 1.0], "column 'arm' must hold indices"),
        ("arm", [0.0, None, 1.0], "column 'arm' must hold indices"),
        ("id", ["x", "y", "z"], "column 'id' must hold decision ids"),
        ("id", [1, None, 3], "column 'id' must hold decision ids"),
        ("propensity", [0.5, None, 0.5], "no probability"),
        ("reason", [[1], [2], [3]], "column 'reason' is no text"),
        ("context.size", [[1], [2], [3]], "column 'context.size' holds no numbers"),
    ],
)
def test_unusable_columns(column: str, values: Any, message: str) -> None:
    table = plain(3)
    at = table.column_names.index(column)
    table = table.remove_column(at)
    if values is not None:
        table = table.add_column(at, column, pa.array(values))
    with pytest.raises(LogError, match=message):
        read_records(table, acumen.minimize("seconds"))


def test_choices_that_do_not_fit() -> None:
    log = read_records(plain(), acumen.minimize("seconds"))
    other = acumen.Choice(
        "other", ["a", "b"], context={"size": float}, default="a", metric=acumen.minimize("seconds")
    )
    with pytest.raises(PolicyError, match="has 2 arms, the log 3"):
        estimate(log, other)
    deeper = acumen.Choice(
        "deeper", [0, 1, 2], context={"depth": float}, default=0, metric=acumen.minimize("seconds")
    )
    with pytest.raises(PolicyError, match="needs 'depth', the log lacks it"):
        estimate(log, deeper)
    candidates = acumen.Choice(
        "many",
        acumen.Candidates(features=2),
        context={"size": float},
        metric=acumen.minimize("seconds"),
    )
    with pytest.raises(PolicyError, match="fixed arms"):
        estimate(log, candidates)


def test_an_empty_table() -> None:
    log = read_records(plain(0), acumen.minimize("seconds"), arms=3)
    assert isinstance(log, DecisionLog)
    assert estimate(log, 0, estimator=IPS()).verdict == "not enough data: no rewards"
