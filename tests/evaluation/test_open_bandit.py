"""The format of the Open Bandit Dataset; its sample where the package that ships it is there."""

from __future__ import annotations

import importlib.util
import re
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acumen.evaluation.off_policy import (
    IPS,
    SNIPS,
    DoublyRobust,
    Limits,
    LogError,
    estimate,
    estimates,
)
from acumen.evaluation.open_bandit import bernoulli_thompson, read_open_bandit

ITEMS, POSITIONS = 6, 3


def write_log(path: Path, rows: int, seed: int, policy: np.ndarray) -> np.ndarray:
    """A log of a policy in the data set's format; returns the true click rates."""
    rng = np.random.default_rng(seed)
    rates = np.linspace(0.05, 0.3, ITEMS) * np.array([[1.0], [0.8], [0.6]])
    users = rng.choice(["a1f", "b2e", "c3d"], rows)
    position = rng.integers(POSITIONS, size=rows)
    item = (policy[position].cumsum(1) > rng.random((rows, 1))).argmax(1)
    click = rng.random(rows) < rates[position, item]
    names = ["", "timestamp", "item_id", "position", "click", "propensity_score", "user_feature_0"]
    names += [f"user-item_affinity_{i}" for i in range(ITEMS)]
    lines = [",".join(names)]
    for i in range(rows):
        affinity = ",".join(f"{v:.1f}" for v in rng.integers(3, size=ITEMS))
        lines.append(
            f"{i},2019-11-24 00:00:{i % 60:02}.5+00:00,{item[i]},{position[i] + 1},{int(click[i])},"
            f"{policy[position[i], item[i]]:.6g},{users[i]},{affinity}"
        )
    path.write_text("\n".join(lines) + "\n")
    return rates


def test_a_log_in_that_format(tmp_path: Path) -> None:
    path = tmp_path / "random.csv"
    rates = write_log(path, 6000, 1, np.full((POSITIONS, ITEMS), 1 / ITEMS))
    read = read_open_bandit(path, affinity=True)
    assert (len(read.log), read.log.arms, read.positions) == (6000, ITEMS, POSITIONS)
    assert read.log.schema.names[:3] == ("position", "user_feature_0", "user_item_affinity_0")
    assert read_open_bandit(path).log.schema.names == ("position", "user_feature_0")
    # Another distribution at each position.
    policy = np.array([[0, 0, 0, 0, 0, 1.0], [0, 0, 0, 0, 1.0, 0], [0.5, 0.5, 0, 0, 0, 0]])
    truth = (policy * rates).sum(1).mean()
    for e in estimates(read.log, read.at_positions(policy), [IPS(), SNIPS(), DoublyRobust()]):
        assert e.low is not None
        assert e.high is not None
        assert e.low <= truth <= e.high
    with pytest.raises(ValueError, match="not \\(3, 6\\)"):
        read.at_positions(policy[:2])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("item_id,position,click\n1,1,0\n", "no column 'propensity_score'"),
        ("item_id,position,click,propensity_score\n1,0,0,0.5\n", "positions count from 1"),
        ("item_id,position,click,propensity_score\n1,1,0,0\n", "no probability"),
        ("item_id,position,click,propensity_score\n1,1,x,0.5\n", "'click' holds no numbers"),
        ("item_id,position,click,propensity_score\n-1,1,0,0.5\n", "no index"),
        ("item_id,position,click,propensity_score\n1,1,0\n", "CSV"),
        ("", "CSV"),
    ],
)
def test_unusable_files(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(text)
    with pytest.raises(LogError, match=message):
        read_open_bandit(path)


COLUMNS = ["item_id", "position", "click", "propensity_score", "user_feature_0",
           "user-item_affinity_0"]  # fmt: skip
GOOD = ["0", "1", "0", "0.5", "a", "1"]
CELLS = st.sampled_from(
    ["", "1", "2e9", "0.5", "-1", "nan", "inf", "1e300", "9" * 25, "2019-11-24", "true", '"', "a,b",
     "\x00", *COLUMNS]
) | st.text(max_size=4)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    rows=st.integers(0, 3),
    changes=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), CELLS), max_size=2),
    bytes_at=st.integers(0, 150),
    garbage=st.sampled_from([b"", b"\xff", b"\n", b","]),
)
def test_any_file_is_read_or_refused_in_words(
    rows: int, changes: list[tuple[int, int, str]], bytes_at: int, garbage: bytes
) -> None:
    cells = [COLUMNS[:], *([*GOOD] for _ in range(rows))]
    for row, column, cell in changes:
        cells[min(row, rows)][column] = cell
    contents = "\n".join(",".join(row) for row in cells).encode()
    contents = contents[:bytes_at] + garbage + contents[bytes_at:]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        path = Path(folder) / "log.csv"
        path.write_bytes(contents)
        try:
            read = read_open_bandit(path, affinity=True)
        except LogError:
            return
        assert len(read.position) == len(read.log) == len(read.log.context)
        assert ((read.position >= 0) & (read.position < read.positions)).all()


def test_thompson_sampling_by_its_definition() -> None:
    shown = bernoulli_thompson([1, 1, 1], [1, 1, 1], positions=3, draws=30_000, seed=1)
    assert shown == pytest.approx(np.full((3, 3), 1 / 3), abs=0.02)
    # Of Beta(2, 1) and Beta(1, 1), the former is larger with probability 2/3.
    shown = bernoulli_thompson([2, 1], [1, 1], positions=2, draws=30_000, seed=2)
    assert shown[0] == pytest.approx([2 / 3, 1 / 3], abs=0.02)
    assert shown.sum(1) == pytest.approx(1.0)


def sample() -> Path | None:
    """Where the package `obp` keeps its sample of the data set; it is not imported."""
    spec = importlib.util.find_spec("obp")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "dataset" / "obd"


needs_sample = pytest.mark.skipif(sample() is None, reason="obp, which ships a sample, is missing")


@needs_sample
@pytest.mark.parametrize("campaign", ["all", "men", "women"])
def test_the_sample_of_the_data_set(campaign: str) -> None:
    folder = sample()
    assert folder is not None
    uniform = read_open_bandit(folder / "random" / campaign / f"{campaign}.csv")
    thompson = read_open_bandit(
        folder / "bts" / campaign / f"{campaign}.csv", items=uniform.log.arms
    )
    assert len(uniform.log) == len(thompson.log) == 10_000
    assert uniform.positions == 3
    assert uniform.log.propensity == pytest.approx(1 / uniform.log.arms)
    # The policy as its own log shows it: how often each item stood at each position.
    policy = np.zeros((3, uniform.log.arms))
    np.add.at(policy, (thompson.position, thompson.log.arm), 1.0)
    policy /= policy.sum(1, keepdims=True)
    truth = estimate(thompson.log, "logged")
    assert truth.low is not None
    assert truth.high is not None
    # Some forty clicks are what both policies have to show: too few for what is asked by default.
    target, limits = uniform.at_positions(policy), Limits(deviating_size=5.0)
    for e in estimates(uniform.log, target, [IPS(), SNIPS(), DoublyRobust()], limits=limits):
        assert e.low is not None, e.verdict
        assert e.high is not None
        # Two intervals of 95 % that share no value would be wrong once in two hundred times.
        assert e.low <= truth.high
        assert truth.low <= e.high


@needs_sample
def test_the_published_priors_of_thompson_sampling() -> None:
    folder = sample()
    assert folder is not None
    text = (folder.parents[1] / "policy" / "conf" / "prior_bts.yaml").read_text()
    block = re.search(r"^men:\n(.*?)(?=^\S|\Z)", text, re.S | re.M)
    assert block is not None
    a, b = ([float(v) for v in re.findall(r"- ([\d.]+)", t)] for t in block[1].split("beta:"))
    policy = bernoulli_thompson(a, b)
    log = read_open_bandit(folder / "bts" / "men" / "men.csv")
    # It went on learning, so that its log agrees with where it began only roughly.
    mine = log.at_positions(policy)[np.arange(10_000), log.log.arm]
    assert np.corrcoef(mine, log.log.propensity)[0, 1] > 0.4
