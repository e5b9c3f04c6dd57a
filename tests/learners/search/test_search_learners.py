"""What every search learner keeps, whoever wrote it; they are found by listing the package."""

import importlib.util
import math
from typing import Any

import numpy as np
import pytest

import acumen.learners.search as package
from acumen.learners.search import (
    Categorical,
    CmaEs,
    EarlierRun,
    Flag,
    Integer,
    LatinHypercube,
    OptunaSampler,
    Permutation,
    Portfolio,
    RandomSearch,
    Real,
    Searcher,
    Sobol,
    Space,
    Subset,
    SuccessiveHalving,
    Suggestion,
    SurrogateSearch,
    WarmStart,
    When,
)

NEEDS = {CmaEs: "cmaes", OptunaSampler: "optuna", Sobol: "scipy"}
EARLIER = EarlierRun((({"size": 40}, 1.0), ({"size": 50, "gone": 1}, 2.0)))
SPACE = Space(
    {
        "fast": Flag(),
        "codec": Categorical(["lz4", "zstd", "none"], default="zstd"),
        "level": Integer(1, 22, default=3),
        "size": Integer(1, 1 << 16, log=True, default=64),
        "share": Real(0.0, 1.0, default=0.3),
        "order": Permutation(["a", "b", "c", "d"]),
        "passes": Subset(["x", "y", "z"]),
    },
    conditions={"level": When("codec", "zstd"), "share": When("passes", "x", "y")},
    constraints=["level <= 12 or not fast"],
)
NUMBERS = Space({f"x{i}": Real(-5.0, 5.0, default=-3.0) for i in range(3)})
FLAGS = Space({f"f{i}": Flag(default=i % 2 == 0) for i in range(16)})


def learners() -> list[Any]:
    named = [getattr(package, name) for name in package.__all__]
    specs = [c for c in named if isinstance(c, type) and hasattr(c, "build")]
    return [c for c in specs if not getattr(c, "_is_protocol", False)]


def spec_of(kind: Any) -> Any:
    if kind in NEEDS and importlib.util.find_spec(NEEDS[kind]) is None:
        pytest.skip(f"{NEEDS[kind]} is not installed")
    return WarmStart((EARLIER,)) if kind is WarmStart else kind()


def cost(setting: dict[str, Any]) -> float:
    """Rewards one codec, a size near 1000 and an order; most of it does not matter."""
    return (
        10.0
        - 3.0 * (setting["codec"] == "lz4")
        + abs(math.log(setting["size"] / 1000.0))
        + setting["order"].index("c")
        + (2.0 * abs(setting["share"] - 0.7) if "share" in setting else 1.0)
    )


def sphere(setting: dict[str, Any]) -> float:
    return sum((value - 1.0) ** 2 for value in setting.values())


def flipped(setting: dict[str, Any]) -> float:
    return 10.0 - 2.0 * setting["f3"] + setting["f5"] + 1.5 * setting["f0"] * setting["f7"]


def play(searcher: Searcher, count: int, value: Any = cost) -> list[Suggestion]:
    asked = []
    for _ in range(count):
        suggestion = searcher.ask()
        searcher.tell(suggestion, value(suggestion.setting))
        asked.append(suggestion)
    return asked


@pytest.fixture(params=learners(), ids=lambda kind: kind.__name__)
def spec(request: pytest.FixtureRequest) -> Any:
    return spec_of(request.param)


def test_learners_are_found() -> None:
    assert {RandomSearch, Portfolio, SurrogateSearch, SuccessiveHalving} <= set(learners())
    assert len(learners()) >= 11


def test_suggestions_are_valid(spec: Any) -> None:
    for suggestion in play(spec.build(SPACE, seed=1), 40):
        SPACE.check(suggestion.setting)
        assert 0 < suggestion.propensity <= 1
        assert 0 < suggestion.fidelity <= 1
        assert suggestion.learner


def test_the_same_seed_suggests_the_same(spec: Any) -> None:
    one, two, other = (play(spec.build(SPACE, seed), 25) for seed in (3, 3, 4))
    assert one == two
    assert one != other


def test_it_builds_more_than_one_searcher(spec: Any) -> None:
    """A spec is a description: what one of its searchers has learned, the other does not know."""
    untouched = play(spec.build(SPACE, 5), 20)
    play(spec.build(SPACE, 6), 20)
    assert play(spec.build(SPACE, 5), 20) == untouched


def test_a_spec_is_immutable_and_comparable(spec: Any) -> None:
    assert spec == spec_of(type(spec))
    assert type(spec).__name__ in repr(spec)
    with pytest.raises(AttributeError):
        spec.seed = 1


def test_everything_may_fail(spec: Any) -> None:
    searcher = spec.build(SPACE, seed=2)
    for suggestion in play(searcher, 30, value=lambda setting: None):
        SPACE.check(suggestion.setting)


def test_extreme_and_equal_values_are_borne(spec: Any) -> None:
    values = iter([1e300, -1e300, 1e-300, 0.0, 7.0, 7.0, None, 1e18, -1e-18] * 5)
    searcher = spec.build(SPACE, seed=2)
    with np.errstate(over="ignore", invalid="ignore"):
        for suggestion in play(searcher, 45, value=lambda setting: next(values)):
            SPACE.check(suggestion.setting)
    for suggestion in play(spec.build(SPACE, seed=2), 30, value=lambda setting: 5.0):
        SPACE.check(suggestion.setting)


def test_others_results_are_taken(spec: Any) -> None:
    searcher = spec.build(SPACE, seed=2)
    rng = np.random.default_rng(0)
    for _ in range(15):
        setting = SPACE.sample(rng)
        searcher.tell(Suggestion(setting, "somebody"), cost(setting))
        searcher.tell(Suggestion(setting, "somebody"), cost(setting))
    play(searcher, 15)


def test_many_may_wait_and_come_in_any_order(spec: Any) -> None:
    searcher = spec.build(SPACE, seed=2)
    play(searcher, 10)
    waiting = [searcher.ask() for _ in range(12)]
    for suggestion in reversed(waiting[:9]):
        SPACE.check(suggestion.setting)
        searcher.tell(suggestion, cost(suggestion.setting))
    play(searcher, 5)


def test_the_smallest_space(spec: Any) -> None:
    """When all of it has been measured, something valid is suggested still."""
    space = Space({"only": Flag()})
    for suggestion in play(spec.build(space, 1), 12, value=lambda s: 1.0 + s["only"]):
        space.check(suggestion.setting)
    space = Space({"fixed": Categorical(["x"]), "n": Integer(1, 2)})
    for suggestion in play(spec.build(space, 1), 12, value=lambda s: float(s["n"])):
        space.check(suggestion.setting)


DESIGNS = {RandomSearch, LatinHypercube, Sobol}


@pytest.mark.parametrize("kind", [k for k in learners() if k not in DESIGNS])
@pytest.mark.parametrize(
    ("space", "value", "target"), [(NUMBERS, sphere, 3.0), (FLAGS, flipped, 8.5)]
)
def test_it_learns(kind: Any, space: Space, value: Any, target: float) -> None:
    """Mean over seeds of the best of 60: below what random search reaches, and near the best."""
    spec = spec_of(kind)
    found, drawn = [], []
    for seed in range(3 if kind is OptunaSampler else 5):
        found.append(min(value(s.setting) for s in play(spec.build(space, seed), 60, value)))
        control = RandomSearch().build(space, seed)
        drawn.append(min(value(s.setting) for s in play(control, 60, value)))
    assert np.mean(found) <= target
    assert np.mean(found) <= np.mean(drawn) + 0.2


def test_the_default_learner_beats_random_search_where_little_matters() -> None:
    """Forty flags, of which ten matter, noise, and one that breaks the program."""
    space = Space({f"f{i}": Flag(default=i % 2 == 0) for i in range(40)})
    gains = 0.15 * 0.8 ** np.arange(10)
    rng = np.random.default_rng(0)

    def seconds(setting: dict[str, Any], noise: float) -> float | None:
        if setting["f39"]:
            return None
        gain = sum(g for i, g in enumerate(gains) if setting[f"f{3 * i}"] == (i % 3 > 0))
        return float(10.0 * math.exp(noise * rng.standard_normal() - gain))

    means = []
    for spec in (Portfolio(), RandomSearch()):
        found = []
        for seed in range(4):
            search = package.Search(space, learner=spec, budget=60, seed=seed)
            for trial in search:
                value = seconds(trial.setting, noise=0.01)
                if value is None:
                    search.fail(trial, "crashed")
                else:
                    search.tell(trial, seconds=value)
            assert search.best is not None
            found.append(seconds(search.best.setting, noise=0.0) or math.inf)
        means.append(np.mean(found))
    best = 10.0 * math.exp(-gains.sum())
    assert best <= means[0] < 1.1 * best
    assert means[0] < means[1] - 0.2
