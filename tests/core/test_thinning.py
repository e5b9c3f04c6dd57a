"""Thinning: what hangs together is looked at more seldom, what does not is not, as it comes."""

import warnings
from typing import Any

import numpy as np
import pytest

import acumen
from acumen.core import DriftDetector
from acumen.core.thinning import EVERY_MAX, FIRST, Thinning, spacing


def autoregressive(rng: np.random.Generator, n: int, phi: float) -> Any:
    noise = rng.standard_normal(n) * np.sqrt(1 - phi * phi)
    for i in range(1, n):
        noise[i] += phi * noise[i - 1]
    return noise


def spacings(draw: Any, categories: bool = False) -> list[int]:
    return [spacing(draw(np.random.default_rng(s)), categories) for s in range(40)]


@pytest.mark.parametrize(
    ("kind", "draw"),
    [
        ("normal", lambda rng: rng.standard_normal(FIRST)),
        ("Cauchy", lambda rng: rng.standard_cauchy(FIRST)),
        ("rare", lambda rng: (rng.random(FIRST) < 0.01).astype(float)),
        ("missing", lambda rng: np.where(rng.random(FIRST) < 0.3, np.nan, rng.random(FIRST))),
        ("rising", lambda rng: rng.standard_normal(FIRST) + np.linspace(0, 1, FIRST)),
        ("codes", lambda rng: rng.integers(16, size=FIRST).astype(float)),
    ],
)
def test_independent_values_are_mostly_all_looked_at(kind: str, draw: Any) -> None:
    found = spacings(draw, kind == "codes")
    assert np.median(found) == 1
    assert sum(k > 1 for k in found) <= 16
    assert max(found) <= 8


@pytest.mark.parametrize("phi", [0.3, 0.5, 0.8])
def test_correlated_ones_are_so_far_apart_that_little_is_left(phi: float) -> None:
    found = spacings(lambda rng: autoregressive(rng, FIRST, phi))
    assert phi ** np.quantile(found, 0.1) < 0.05
    assert max(found) <= 64
    tailed = spacings(lambda rng: np.exp(4 * autoregressive(rng, FIRST, phi)))
    assert tailed == found  # ranks are the same


def test_calm_and_wild_times_and_codes_that_stay() -> None:
    wild = spacings(
        lambda rng: np.exp(autoregressive(rng, FIRST, 0.9)) * rng.standard_normal(FIRST)
    )
    assert np.median(wild) >= 10
    # Ups and downs that alternate raise no alarm, that how far out they are stays the same may.
    other = spacings(lambda rng: autoregressive(rng, FIRST, -0.8))
    assert 0.8 ** (2 * np.quantile(other, 0.1)) < 0.05
    codes = spacings(lambda rng: np.repeat(rng.integers(9, size=FIRST // 8), 8).astype(float), True)
    assert np.quantile(codes, 0.1) >= 8


def test_what_cannot_be_told() -> None:
    assert spacing(np.zeros(FIRST)) == 1
    assert spacing(np.full(FIRST, np.nan)) == 1
    assert spacing(np.zeros(FIRST), categories=True) == 1
    assert spacing(np.array([np.inf, -np.inf] * (FIRST // 2))) >= 1
    assert spacing(np.sin(np.arange(FIRST) / 200)) == EVERY_MAX
    assert spacing(np.arange(FIRST).astype(float), categories=True) >= 1  # more codes than columns


@pytest.mark.parametrize("pieces", [1, 7, 1000])
def test_it_does_not_matter_how_values_come(pieces: int) -> None:
    values = autoregressive(np.random.default_rng(1), 5000, 0.7)
    whole = Thinning()
    wanted = whole.keep(values)
    assert wanted[0] == FIRST
    assert set(np.diff(wanted)) == {whole.every}
    thinning, found, start = Thinning(), [], 0
    for piece in np.array_split(values, pieces):
        found += (start + thinning.keep(piece)).tolist()
        start += len(piece)
    assert found == wanted.tolist()
    assert len(thinning.keep(np.empty(0))) == 0


def test_false_alarms_are_rare_again() -> None:
    """40 streams of 20,000 values, alarms allowed in 10 %; without thinning nearly all have one."""
    plain = thinned = 0
    for seed in range(40):
        values = autoregressive(np.random.default_rng(seed), 20_000, 0.6)
        plain += bool(DriftDetector(records_per_alarm=2e5, seed=seed).update(values))
        looked = values[Thinning().keep(values)]
        thinned += bool(DriftDetector(records_per_alarm=2e5, seed=seed).update(looked))
    assert plain >= 36
    assert thinned <= 9  # of 40 with 10 %, more than this once in 160 times


def test_a_watch_that_chooses_by_itself() -> None:
    """A context that hangs together passes, and one that moves is still noticed."""
    choice = acumen.Choice(
        "c",
        ["a", "b"],
        context={"x": float, "k": str},
        default="a",
        metric=acumen.maximize("r"),
        mode="shadow",
        seed=1,
    )
    rng = np.random.default_rng(2)
    watch = acumen.DriftWatch(choice, on_reward="warn", every="auto", decisions_per_alarm=1e6)
    plain = acumen.DriftWatch(choice, on_reward="warn", decisions_per_alarm=1e6)
    x = autoregressive(rng, 40_000, 0.7)
    x[30_000:] += 2.0
    alarms: list[Any] = []
    false = 0
    for part in range(0, len(x), 1000):
        rows = np.c_[x[part : part + 1000], rng.integers(4, size=1000)]
        made = choice.choose_many(rows)
        choice.feedback_many(made.ids, r=rng.standard_normal(1000))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            alarms += watch.look()
            false += len(plain.look()) if part < 30_000 else 0
    assert false > 0
    assert [a.stream for a in alarms][:1] == ["x"]
    assert 30_000 < alarms[0].decision < 33_000
    assert 29_000 < alarms[0].decision - alarms[0].since + 1000 < 32_000
    every = {name: s["every"] for name, s in watch.status()["streams"].items()}
    assert every["x"] > 5
    assert every["k"] == 1
    assert every["reward of the learned policy"] == 0  # nothing was served that was learned
    assert plain.status()["streams"]["x"]["every"] == 1


def test_wrong_settings() -> None:
    choice = acumen.Choice(
        "c", ["a", "b"], context={"x": float}, default="a", metric=acumen.maximize("r")
    )
    for wrong in (0, -1, "often", 1.5):
        with pytest.raises(ValueError, match="every"):
            acumen.DriftWatch(choice, every=wrong)  # type: ignore[arg-type]
