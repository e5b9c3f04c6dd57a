"""Drift: few false alarms on any stationary stream, early alarms on others."""

import math
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

import acumen
from acumen.core import DriftDetector, DriftMonitor, Schema

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Floats]

STATIONARY: dict[str, Draw] = {
    "normal": lambda rng, n: rng.standard_normal(n),
    "cauchy": lambda rng, n: rng.standard_cauchy(n),
    "pareto": lambda rng, n: rng.pareto(0.5, n),
    "lognormal": lambda rng, n: rng.lognormal(0, 3, n),
    "clicks": lambda rng, n: (rng.random(n) < 0.01).astype(float),
    "few values": lambda rng, n: rng.integers(3, size=n).astype(float),
    "mostly missing": lambda rng, n: np.where(rng.random(n) < 0.9, np.nan, rng.random(n)),
    "constant": lambda rng, n: np.full(n, 7.0),
}


@pytest.mark.parametrize("name", STATIONARY)
@pytest.mark.parametrize("categories", [False, True])
def test_false_alarms_are_as_rare_as_promised(name: str, categories: bool) -> None:
    """10 streams of 50,000 values with one alarm in 25,000 allowed: 20 alarms expected at most."""
    alarms = 0
    for seed in range(10):
        values = STATIONARY[name](np.random.default_rng(seed), 50_000)
        detector = DriftDetector(records_per_alarm=25_000, categories=categories, seed=seed)
        alarms += len(detector.update(values))
    # Alarms come no faster than a Poisson process of this rate: 38 or more once in 4,000 times.
    assert alarms <= 37


def test_a_long_stream_of_heavy_tails_is_quiet() -> None:
    rng = np.random.default_rng(1)
    # One alarm in 50 such streams, at most.
    detector = DriftDetector(records_per_alarm=1e8)
    for _ in range(20):
        assert detector.update(rng.standard_cauchy(100_000)) == []
    assert detector.records == 2_000_000 - 256
    assert detector.evidence < 1.0


@pytest.mark.parametrize(
    ("before", "after", "kind", "most"),
    [
        ("normal", lambda rng, n: rng.standard_normal(n) + 1.0, "higher", 120),
        ("normal", lambda rng, n: rng.standard_normal(n) - 0.5, "lower", 400),
        ("normal", lambda rng, n: rng.standard_normal(n) * 3.0, "wider", 200),
        ("normal", lambda rng, n: rng.standard_normal(n) / 3.0, "narrower", 200),
        ("cauchy", lambda rng, n: rng.standard_cauchy(n) + 2.0, "higher", 120),
        ("pareto", lambda rng, n: rng.pareto(0.5, n) * 4, "higher", 250),
        ("clicks", lambda rng, n: (rng.random(n) < 0.05).astype(float), "higher", 1500),
        ("normal", lambda rng, n: np.full(n, np.nan), "higher", 40),
    ],
)
def test_changes_are_noticed(before: str, after: Draw, kind: str, most: int) -> None:
    delays, kinds = [], []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        detector = DriftDetector(name="x", seed=seed)
        assert detector.update(STATIONARY[before](rng, 20_000)) == []
        alarms = detector.update(after(rng, 20_000))
        assert alarms
        kinds.append(alarms[0].kind)
        assert alarms[0].name == "x"
        assert alarms[0].records == 20_000 - 256 + alarms[0].index + 1
        delays.append(alarms[0].index)
    assert max(delays) < most
    # A handful of values may have come at one end by chance.
    assert kinds.count(kind) >= 4


def test_after_an_alarm_the_new_world_is_the_normal_one() -> None:
    rng = np.random.default_rng(2)
    detector = DriftDetector()
    detector.update(rng.standard_normal(5000))
    assert len(detector.update(rng.standard_normal(50_000) + 3.0)) == 1
    (alarm,) = detector.update(rng.standard_normal(5000))
    assert alarm.kind == "lower"


def test_one_value_at_a_time_is_the_same() -> None:
    rng = np.random.default_rng(3)
    values = np.r_[rng.standard_normal(3000), rng.standard_normal(3000) + 1]
    whole = DriftDetector(seed=5).update(values)
    single = DriftDetector(seed=5)
    found = [i for i, value in enumerate(values) if single.update(value)]
    assert found == [alarm.index for alarm in whole]
    assert len(found) == 1


def test_memory_is_constant() -> None:
    detector = DriftDetector()
    values = np.random.default_rng(4).standard_normal(100_000)
    detector.update(values)
    tracemalloc.start()
    try:
        detector.update(values)
        assert tracemalloc.get_traced_memory()[1] < 10_000
    finally:
        tracemalloc.stop()


def test_a_monitor_names_what_moved() -> None:
    rng = np.random.default_rng(5)
    schema = Schema({"size": float, "kind": str, "hot": bool})

    def rows(n: int, kinds: int = 16, hot: float = 0.5) -> Floats:
        return np.column_stack(
            [rng.lognormal(size=n), rng.integers(kinds, size=n), rng.random(n) < hot]
        )

    monitor = DriftMonitor(schema)
    assert monitor.update(rows(20_000), rng.standard_normal(20_000)) == []
    assert {a.name for a in monitor.update(rows(2000, kinds=6))} == {"kind"}
    assert monitor.update(rows(20_000, kinds=6)) == []
    assert {a.name for a in monitor.update(rows(2000, kinds=6, hot=0.1))} == {"hot"}
    (alarm,) = monitor.update(rows(0), rng.standard_normal(2000) - 1)
    assert (alarm.name, alarm.kind) == ("reward", "lower")


def test_a_monitor_shares_its_allowance() -> None:
    monitor = DriftMonitor(Schema({f"x{i}": float for i in range(9)}), records_per_alarm=1000)
    assert {d.records_per_alarm for d in monitor.detectors} == {10_000}
    with pytest.raises(ValueError, match=r"shape \(3, 2\), not \(n, 9\)"):
        monitor.update(np.zeros((3, 2)))


def test_it_reads_what_a_choice_remembers() -> None:
    choice = acumen.Choice(
        "c", ["a", "b"], context={"x": float, "k": str}, default="a", metric=acumen.maximize("r")
    )
    rng = np.random.default_rng(6)
    for i in range(4000):
        choice.choose(x=rng.standard_normal() + (i >= 3000), k="u").feedback(1.0)
    table = choice.records()
    rows = np.column_stack([table["context.x"].to_numpy(), table["context.k"].to_numpy()])
    alarms = DriftMonitor(choice.schema).update(rows, table["metric.r"].to_numpy())
    assert [alarm.name for alarm in alarms] == ["x"]
    assert 3000 < alarms[0].index < 3200


@pytest.mark.parametrize("rate", [0, -1, math.nan, math.inf])
def test_impossible_allowances(rate: float) -> None:
    with pytest.raises(ValueError, match="records_per_alarm"):
        DriftDetector(records_per_alarm=rate)
