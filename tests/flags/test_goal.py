"""Metrics, where they come from, and limits on them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from acumen.evaluation.programs.run import Runner
from acumen.flags import GoalError, make_goal
from acumen.flags.goal import parse_amount, parse_limit


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    with Runner() as made:
        yield made


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("2G", 2e9),
        ("1.5GiB", 1.5 * 2**30),
        ("20ms", 0.02),
        ("300", 300.0),
        ("1e3", 1e3),
        ("3min", 180),
    ],
)
def test_amounts(text: str, amount: float) -> None:
    assert parse_amount(text) == pytest.approx(amount)


@pytest.mark.parametrize("text", ["", "G", "1 apple", "1e", "--1"])
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(GoalError):
        parse_amount(text)


def test_limits() -> None:
    limit = parse_limit("peak_memory=2G")
    assert limit.holds(2e9)
    assert not limit.holds(2.1e9)
    assert not limit.holds(float("nan"))
    assert parse_limit("tps>=100").holds(100)
    assert not parse_limit("tps >= 100").holds(99)
    assert parse_limit("file_size:a/b.zst<=10k").metric == "file_size:a/b.zst"
    for text in ("peak_memory", "a<3", "=3", "a=b"):
        with pytest.raises(GoalError):
            parse_limit(text)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"minimize": "a", "maximize": "b"}, "one metric"),
        ({"minimize": "tps"}, "no metric 'tps'"),
        ({"limits": ["tps=3"]}, "no metric 'tps'"),
        ({"maximize": "tps", "regex": "tps=[0-9]+"}, "needs a group"),
        ({"maximize": "tps", "regex": "tps=([0-9]+"}, "the expression for tps"),
        ({"regex": "([0-9]+)"}, "time is measured from outside"),
    ],
)
def test_what_is_not_understood_is_explained(asked: dict[str, object], message: str) -> None:
    with pytest.raises(GoalError) as error:
        make_goal(**asked)  # type: ignore[arg-type]
    assert message in str(error.value)


def test_numbers_are_found_in_the_output(runner: Runner, tmp_path: Path) -> None:
    goal = make_goal(
        maximize="tps", regex=r"tps=([0-9.,]+)", more={"p99": "p99: (.*)"}, limits=["p99=5"]
    )
    run = runner.run(["printf", "tps=1\ntps=1,234.5\np99: 7\n"])
    found = goal.metrics([run], None)
    assert (found["tps"], found["p99"]) == (1234.5, 7.0)
    assert goal.broken(found) == "p99 = 7, but p99 <= 5 is wanted"
    with pytest.raises(GoalError, match="found no number"):
        goal.metrics([runner.run(["echo", "nothing"])], None)


def test_the_last_command_counts_unless_all_do(runner: Runner, tmp_path: Path) -> None:
    big = [sys.executable, "-I", "-S", "-c", "x = bytearray(b'x') * 100_000_000"]
    runs = [runner.run(big), runner.run(["sleep", "0.05"])]
    last, whole = make_goal().metrics(runs, None), make_goal(whole=True).metrics(runs, None)
    assert last["time"] == runs[1].seconds
    assert last["peak_memory"] < 50e6
    assert whole["time"] == pytest.approx(runs[0].seconds + runs[1].seconds)
    assert whole["peak_memory"] > 100e6


def test_sizes(runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(bytes(321))
    run = runner.run(["printf", "12345"])
    goal = make_goal(minimize="file_size:out", limits=["output_size=4"])
    found = goal.metrics([run], tmp_path)
    assert (found["file_size:out"], found["output_size"]) == (321.0, 5.0)
    assert goal.broken(found) == "output_size = 5, but output_size <= 4 is wanted"
    with pytest.raises(GoalError, match="No such file"):
        goal.metrics([run], tmp_path / "nowhere")
