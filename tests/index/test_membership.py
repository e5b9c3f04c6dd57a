"""Membership filters: no false negatives, the rate that was asked for, the fewest bytes, files."""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acumen.index import MembershipFilter
from acumen.index.membership_keys import key_batch
from acumen.index.membership_partition import Division, Segments, best_rates, sandwiches
from acumen.index.membership_rates import effective_trials, measured, wilson
from acumen.index.storage import IndexFileError, load_arrays, save_arrays

TEXTS = st.text(st.characters(), max_size=20)  # lone surrogates and NULs too
INTEGERS = st.one_of(
    st.integers(-10, 10), st.integers(-(1 << 70), 1 << 70), st.sampled_from([1 << 64, -1, 1 << 63])
)
KEYS = st.one_of(
    st.lists(TEXTS, max_size=50), st.lists(st.binary(max_size=20), max_size=50),
    st.lists(INTEGERS, max_size=50),
)  # fmt: skip


@given(KEYS, st.sampled_from([0.5, 0.1, 0.01, 1e-6]))
@settings(max_examples=150, deadline=None)
def test_every_key_is_inside(keys: list[Any], fpr: float) -> None:
    filter_ = MembershipFilter(keys, fpr)
    assert filter_.contains(keys).all()
    assert all(key in filter_ for key in keys)


@given(st.lists(TEXTS, max_size=60), st.lists(TEXTS, max_size=60), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_every_key_is_inside_whatever_was_learned(
    keys: list[str], negatives: list[str], seed: int
) -> None:
    keys = [*keys, *(f"{seed}/{i}" for i in range(600))]
    negatives = [*negatives, *(f"{seed}.{i}" for i in range(600))]
    filter_ = MembershipFilter(keys, 0.2, negatives, seed=seed)
    assert filter_.contains(keys).all()
    assert all(key in filter_ for key in keys[:50])


def words(rng: np.random.Generator, count: int, mark: str = "") -> list[str]:
    return [mark + "".join(chr(97 + c) for c in row) for row in rng.integers(0, 26, (count, 12))]


@pytest.fixture(scope="module")
def separable() -> tuple[list[str], list[str], list[str]]:
    """Keys, negatives, and more negatives that no filter has seen."""
    rng = np.random.default_rng(3)
    keys = [*words(rng, 5000, "login-"), *words(rng, 100)]
    return keys, words(rng, 6000, "shop-"), words(rng, 20_000, "shop-")


def test_learning_pays_where_keys_look_different(
    separable: tuple[list[str], list[str], list[str]],
) -> None:
    keys, negatives, unseen = separable
    learned = MembershipFilter(keys, 0.01, negatives)
    simple = MembershipFilter(keys, 0.01)
    assert learned.contains(keys).all()
    assert not learned.explain().chosen.startswith("binary fuse")
    assert learned.nbytes < simple.nbytes / 3
    passed = learned.contains(unseen)
    low, _ = wilson(float(passed.sum()), len(passed), 4.0)
    assert low <= 0.01
    assert "fewer bytes than binary fuse" in str(learned.explain())
    # All that lies in memory is counted: tables, their shapes, thresholds, weights.
    arrays = learned._arrays
    assert learned.nbytes == (
        arrays.tables.nbytes + arrays.shapes.nbytes + arrays.thresholds.nbytes
        + arrays.scorer.weights.nbytes
    )  # fmt: skip


def test_learning_does_not_pay_on_noise() -> None:
    rng = np.random.default_rng(4)
    keys, negatives = words(rng, 3000), words(rng, 3000)
    explanation = MembershipFilter(keys, 0.01, negatives).explain()
    assert explanation.chosen == "binary fuse"
    assert explanation.reason.startswith(("Learning does not pay here", "No learned candidate"))


def test_integers_are_learned_too() -> None:
    rng = np.random.default_rng(5)
    keys = rng.integers(0, 1 << 20, 4000) + (7 << 40)
    negatives = rng.integers(0, 1 << 60, 6000)
    filter_ = MembershipFilter(keys, 0.01, negatives)
    assert filter_.contains(keys).all()
    assert int(keys[5]) in filter_
    assert filter_.explain().chosen != "binary fuse"


@pytest.mark.parametrize("fpr", [0.3, 0.05, 0.01, 0.001])
def test_the_rate_is_what_was_asked_for(fpr: float) -> None:
    filter_ = MembershipFilter(np.arange(50_000), fpr)
    trials = 400_000
    passed = int(filter_.contains(np.arange(1 << 30, (1 << 30) + trials)).sum())
    low, high = wilson(passed, trials, 4.5)
    assert low <= fpr <= high
    rate = filter_.fpr_measured
    assert rate.low <= rate.rate <= rate.high
    assert rate.source == "random hashes"


def test_fractional_bits_are_stored() -> None:
    bits = {f: MembershipFilter(np.arange(50_000), f).nbytes * 8 / 50_000 for f in (1 / 64, 0.01)}
    assert 6.3 < bits[1 / 64] < 6.8
    # 6.64 bits times what a table of this size needs, and not 8 bits or 7.
    assert bits[1 / 64] * 1.08 < bits[0.01] < bits[1 / 64] * 1.15
    assert bits[0.01] < 6.644 * 1.14


@pytest.mark.parametrize("count", [0, 1, 2, 10])
def test_small_sets(count: int) -> None:
    filter_ = MembershipFilter([f"k{i}" for i in range(count)])
    assert filter_.contains([f"k{i}" for i in range(count)]).all()
    others = filter_.contains([f"other{i}" for i in range(1000)])
    assert others.mean() < 0.05
    assert filter_.nbytes < 200
    if count == 0:
        assert not others.any()
        assert "k0" not in filter_


def test_containers_give_the_same_keys() -> None:
    pd = pytest.importorskip("pandas")
    texts = ["a", "", "grün", "x" * 300, "n\0n"]
    filter_ = MembershipFilter(texts)
    batches = [
        np.array(texts, object), np.array(texts), pa.array(texts), pa.array(texts).slice(1),
        pa.array(texts, pa.large_string()), pa.array(texts, pa.string_view()),
        pa.chunked_array([texts[:2], texts[2:]]), pa.array(texts).dictionary_encode(),
        pd.Series(texts), tuple(texts), iter(texts), dict.fromkeys(texts),
    ]  # fmt: skip
    for batch in batches:
        assert filter_.contains(batch).all()
    numbers = MembershipFilter([3, 255, 7])
    for dtype in (np.uint8, np.int16, np.int32, np.uint64, np.float64):
        if dtype == np.float64:
            with pytest.raises(TypeError, match="float64"):
                numbers.contains(np.array([3, 255, 7], dtype))
        else:
            assert numbers.contains(np.array([3, 255, 7], dtype)).all()
            assert numbers.contains(pa.array(np.array([3, 255, 7], dtype))).all()
    strided = np.arange(20, dtype=">i4")[::2]
    assert MembershipFilter(strided).contains(list(range(0, 20, 2))).all()
    days = np.array(["2020-01-01", "2021-01-01"], "datetime64[D]")
    assert MembershipFilter(days).contains(days).all()


def test_polars() -> None:
    pl = pytest.importorskip("polars")
    texts = ["a", "", "grün", "x" * 300]
    assert MembershipFilter(pl.Series(texts)).contains(texts).all()
    assert MembershipFilter(pl.Series([1, -5])).contains([1, -5]).all()


def test_different_keys_of_one_look() -> None:
    filter_ = MembershipFilter(np.array([(1 << 64) - 1], np.uint64), 1e-6)
    assert (1 << 64) - 1 in filter_
    assert -1 not in filter_
    assert not filter_.contains(np.array([-1]))[0]
    assert "x" not in filter_
    assert b"a" not in MembershipFilter(["a"])
    assert "a" not in MembershipFilter([b"a"])
    assert None not in MembershipFilter(["a"])  # type: ignore[comparison-overlap]


def test_what_is_wrong_is_said() -> None:
    for fpr in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="fpr"):
            MembershipFilter([1], fpr)
    with pytest.raises(TypeError, match="int, str"):
        MembershipFilter([1, "a"])
    with pytest.raises(ValueError, match="null"):
        MembershipFilter(["a", None])
    with pytest.raises(ValueError, match="null"):
        MembershipFilter(pa.array([1, None]))
    with pytest.raises(TypeError, match="batch"):
        MembershipFilter("abc")
    with pytest.raises(ValueError, match="dimension"):
        MembershipFilter(np.zeros((2, 2), int))
    filter_ = MembershipFilter(["a"])
    with pytest.raises(TypeError, match="text keys"):
        filter_.contains([1])
    with pytest.raises(ValueError, match="out"):
        filter_.contains(["a"], out=np.zeros(2, bool))
    with pytest.raises(TypeError, match="negatives integer"):
        MembershipFilter(["a"], negatives=[1])
    with pytest.raises(ValueError, match="groups"):
        MembershipFilter(["a"], negatives=["b"], groups=[1, 2])


def test_out_and_threads() -> None:
    keys = np.arange(100_000) * 3
    filter_ = MembershipFilter(keys)
    out = np.zeros(300_000, bool)
    assert filter_.contains(np.arange(300_000), out=out, threads=3) is out
    np.testing.assert_array_equal(out, filter_.contains(np.arange(300_000)))
    assert out[keys].all()


def test_too_few_negatives_to_judge_by() -> None:
    rng = np.random.default_rng(1)
    filter_ = MembershipFilter(words(rng, 2000, "login-"), 0.001, words(rng, 300, "shop-"))
    assert filter_.explain().chosen == "binary fuse"
    assert "cannot vouch" in filter_.explain().reason


def test_groups_are_not_divided_and_count_for_the_interval() -> None:
    rng = np.random.default_rng(2)
    keys = words(rng, 2000, "login-")
    hosts = words(rng, 40)
    groups = [hosts[i] for i in rng.integers(0, 40, 4000)]
    negatives = [f"shop-{g}/{i}" for i, g in enumerate(groups)]
    grouped = MembershipFilter(keys, 0.05, negatives, groups=groups)
    assert grouped.contains(keys).all()
    # Alike within groups: fewer trials. Not alike: as many as there are.
    numbers = np.repeat(np.arange(50), 20)
    alike = np.repeat(rng.random(50) < 0.3, 20).astype(float)
    assert effective_trials(alike, numbers) < 100
    assert effective_trials(rng.permutation(alike), numbers) > 300
    assert measured(alike, "", numbers).high > measured(alike, "").high


class Scorer:
    """Counts its calls, and may be told to misbehave."""

    nbytes = 10

    def __init__(self, noise: float = 0.0, sign: float = 1.0) -> None:
        self.rng, self.noise, self.sign = np.random.default_rng(0), noise, sign

    def __call__(self, batch: Any) -> Any:
        scores = np.array([self.sign if key.startswith("login") else -self.sign for key in batch])
        return scores * 10 + self.rng.normal(0, 1, len(scores)) * self.noise


def test_a_scorer_of_the_user(
    separable: tuple[list[str], list[str], list[str]], tmp_path: Path
) -> None:
    keys, negatives, unseen = separable
    scorer = Scorer()
    filter_ = MembershipFilter(keys, 0.01, negatives, scorer)
    assert filter_.contains(keys).all()
    assert keys[0] in filter_
    assert 5 not in filter_
    assert "the scorer given" in filter_.explain().chosen
    assert filter_.nbytes < 500
    assert filter_.contains(unseen).mean() < 0.02
    path = tmp_path / "filter"
    filter_.save(path)
    again = MembershipFilter.load(path, scorer)
    np.testing.assert_array_equal(again.contains(unseen), filter_.contains(unseen))
    with pytest.raises(IndexFileError, match="needs it"):
        MembershipFilter.load(path)
    with pytest.raises(IndexFileError, match="not the scorer"):
        MembershipFilter.load(path, Scorer(sign=-1.0))
    assert pickle.loads(pickle.dumps(filter_)).contains(keys).all()
    with pytest.raises(ValueError, match="same score"):
        MembershipFilter(keys, 0.01, negatives, Scorer(noise=1.0))
    with pytest.raises(TypeError, match="nbytes"):
        MembershipFilter(keys, 0.01, negatives, lambda batch: np.zeros(len(batch)))


@pytest.mark.parametrize("scores", [(np.inf, -np.inf), (np.nan, 1.0), (0.0, 0.0)])
def test_scores_that_are_no_good(
    scores: tuple[float, float], separable: tuple[list[str], list[str], list[str]], tmp_path: Path
) -> None:
    class Odd(Scorer):
        def __call__(self, batch: Any) -> Any:
            return np.array([scores[not key.startswith("login")] for key in batch])

    keys, negatives, _ = separable
    filter_ = MembershipFilter(keys, 0.01, negatives, Odd())
    assert filter_.contains(keys).all()
    filter_.save(tmp_path / "filter")
    known = Odd() if "given" in filter_.explain().chosen else None
    assert MembershipFilter.load(tmp_path / "filter", known).contains(keys).all()


def test_a_scorer_that_wavers_within_its_tolerance(
    separable: tuple[list[str], list[str], list[str]],
) -> None:
    keys, negatives, _ = separable
    filter_ = MembershipFilter(keys, 0.01, negatives, Scorer(noise=1e-5))
    for _ in range(3):
        assert filter_.contains(keys).all()


@pytest.mark.parametrize("learned", [False, True])
def test_files_and_pickles(
    learned: bool, separable: tuple[list[str], list[str], list[str]], tmp_path: Path
) -> None:
    keys, negatives, unseen = separable
    filter_ = MembershipFilter(keys, 0.01, negatives if learned else None)
    path = tmp_path / "filter"
    filter_.save(path)
    for again in (MembershipFilter.load(path), pickle.loads(pickle.dumps(filter_))):
        assert again.contains(keys).all()
        np.testing.assert_array_equal(again.contains(unseen), filter_.contains(unseen))
        assert again.explain() == filter_.explain()
        assert (again.nbytes, again.fpr, repr(again)) == (
            filter_.nbytes, filter_.fpr, repr(filter_),
        )  # fmt: skip


def test_altered_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "filter"
    MembershipFilter([f"k{i}" for i in range(100)]).save(path)
    content = path.read_bytes()
    for damaged in (
        b"",
        content[:-1],
        content[:100],
        content.replace(b"text", b"tex\0"),
        b"x" * 999,
    ):
        path.write_bytes(damaged)
        with pytest.raises(IndexFileError):
            MembershipFilter.load(path)
    # Right checksums, wrong contents.
    path.write_bytes(content)
    meta, arrays = load_arrays(path, "membership filter")
    arrays = {name: np.array(values) for name, values in arrays.items()}
    shapes = arrays["shapes"]
    changes: list[dict[str, Any]] = [
        {"shapes": shapes[:-1]}, {"shapes": shapes[:6]}, {"tables": arrays["tables"][:-1]},
        {"tables": np.append(arrays["tables"], np.uint8(0))}, {"thresholds": np.array([1.0])},
        {"tables": arrays["tables"].astype(np.int8)}, {"weights": np.zeros(100, np.int8)},
        *({"shapes": shapes + (np.arange(12) == i) * np.uint64(1 << 60)} for i in range(7, 12)),
    ]  # fmt: skip
    for change in changes:
        save_arrays(path, "membership filter", meta, {**arrays, **change})
        with pytest.raises(IndexFileError):
            MembershipFilter.load(path)
    for key in meta:
        save_arrays(path, "membership filter", {**meta, key: "nonsense"}, arrays)
        with pytest.raises(IndexFileError):
            MembershipFilter.load(path)


def divided(inside: Any, outside: Any, fpr: float, edges: tuple[int, ...]) -> float:
    """Bits a key of this partition with its best rates."""
    g, h = (np.add.reduceat(values, (0, *edges)) for values in (inside, outside))
    rates = best_rates(g, h, fpr)
    assert (rates * h).sum() <= fpr * (1 + 1e-9)
    return float(-(g * np.log2(rates)).sum())


@given(st.integers(0, 10_000), st.sampled_from([0.001, 0.01, 0.05, 0.3]))
@settings(max_examples=40, deadline=None)
def test_partitions_are_the_best_of_all(seed: int, fpr: float) -> None:
    rng = np.random.default_rng(seed)
    inside, outside = rng.dirichlet(np.full(7, 0.7)) + 1e-6, rng.dirichlet(np.full(7, 0.7)) + 1e-6
    order = np.argsort(inside / outside)  # scores that mean something
    inside, outside = inside[order] / inside.sum(), outside[order] / outside.sum()
    for division in Segments(inside, outside, 4).partitions(fpr):
        count = len(division.rates)
        best = min(
            divided(inside, outside, fpr, edges)
            for edges in itertools.combinations(range(1, 7), count - 1)
        )
        assert division.bits == pytest.approx(best, abs=1e-9)
        assert divided(inside, outside, fpr, division.edges) == pytest.approx(division.bits)


def test_best_rates_are_no_worse_than_any_others() -> None:
    rng = np.random.default_rng(7)
    for _ in range(20):
        g, h = rng.dirichlet(np.ones(3)), rng.dirichlet(np.ones(3))
        best = -(g * np.log2(best_rates(g, h, 0.02))).sum()
        tried = rng.uniform(0, 1, (20_000, 3)) ** 3
        tried *= np.minimum(1.0, 0.02 / (tried @ h))[:, None]
        assert best <= (-(g * np.log2(tried)).sum(axis=1)).min() + 1e-9


def test_sandwiches_keep_the_rate_and_are_the_best_of_their_threshold() -> None:
    inside, outside = np.array([0.1, 0.2, 0.7]), np.array([0.9, 0.08, 0.02])
    found: list[Division] = list(sandwiches(inside, outside, 0.01))
    assert found
    for division in found:
        edge, back, front = division.edges[0], division.rates[0], division.front
        missed, passed = inside[:edge].sum(), outside[edge:].sum()
        assert front * (passed + (1 - passed) * back) == pytest.approx(0.01)
        backs = np.linspace(1e-4, 1, 5000)
        fronts = np.minimum(1.0, 0.01 / (passed + (1 - passed) * backs))
        bits = -np.log2(fronts) - missed * np.log2(backs)
        assert division.bits <= bits[fronts < 1].min() + 1e-9


def test_batches_are_not_copied() -> None:
    values = np.arange(10, dtype=np.uint64)
    assert key_batch(values).values is values
    texts = pa.array(["a", "b"], pa.large_string())
    assert key_batch(texts).values.buffers()[2].address == texts.buffers()[2].address


def test_wilson() -> None:
    low, high = wilson(10, 100, 1.959964)
    assert (low, high) == pytest.approx((0.0552, 0.1744), abs=1e-4)
    assert wilson(0, 0, 2.0) == (0.0, 1.0)
