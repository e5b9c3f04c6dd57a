"""Spaces of every kind of parameter, conditions and constraints."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acumen.learners.search import (
    Categorical,
    Flag,
    Integer,
    Permutation,
    Real,
    Search,
    Space,
    Subset,
    When,
    constraints,
)

NAMES = ["a", "b", "c", "d", "e", "f"]


@st.composite
def parameters(draw: st.DrawFn) -> Any:
    kind = draw(st.sampled_from(["flag", "categorical", "integer", "real", "order", "subset"]))
    log = draw(st.booleans())
    if kind == "flag":
        return Flag(draw(st.booleans()))
    if kind == "categorical":
        pool: list[Any] = ["x", "y", 1, 1.0, True, None, "Ä"]
        values = draw(st.lists(st.sampled_from(range(7)), min_size=1, max_size=5, unique=True))
        return Categorical([pool[i] for i in values])
    if kind == "integer":
        low = draw(st.integers(1 if log else -50, 50))
        return Integer(low, low + draw(st.integers(1, 2000)), log=log)
    if kind == "real":
        low = draw(st.floats(0.001 if log else -10.0, 10.0))
        return Real(low, low + draw(st.floats(0.01, 1000.0)), log=log)
    items = draw(st.lists(st.sampled_from([*NAMES, 1, 2]), min_size=1, max_size=5, unique=True))
    return Permutation(items) if kind == "order" else Subset(items)


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """Parameters, each of which may depend on an earlier one, and perhaps a constraint."""
    count = draw(st.integers(1, 6))
    made: dict[str, Any] = {}
    conditions = {}
    for name in NAMES[:count]:
        parents = [n for n, p in made.items() if isinstance(p, (Categorical, Integer, Subset))]
        made[name] = draw(parameters())
        if parents and draw(st.booleans()):
            parent = draw(st.sampled_from(parents))
            kind = made[parent]
            if isinstance(kind, Integer):
                values: Any = [kind.low, kind.default]
            else:
                values = kind.values if isinstance(kind, Categorical) else kind.items
            conditions[name] = When(parent, *values[: draw(st.integers(1, 2))])
    whole = [n for n, p in made.items() if isinstance(p, Integer)]
    constraints = [f"{whole[0]} <= {made[whole[0]].default}"] if len(whole) > 1 else []
    return Space(made, conditions, constraints)


FEW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@FEW
@given(spaces(), st.integers(0, 2**32))
def test_samples_and_neighbours_are_valid(space: Space, seed: int) -> None:
    rng = np.random.default_rng(seed)
    space.check(space.default)
    for _ in range(4):
        setting = space.sample(rng)
        space.check(setting)
        near = space.neighbour(setting, rng)
        space.check(near)
        own = [n for n in near if n in setting and near[n] != setting[n]]
        freed = set(near) ^ set(setting)
        assert len([n for n in own if not depends(space, n, own, freed)]) <= 1


def depends(space: Space, name: str, changed: list[str], freed: set[str]) -> bool:
    when = space.conditions.get(name)
    return when is not None and (when.parameter in changed or when.parameter in freed)


@FEW
@given(spaces(), st.integers(0, 2**32))
def test_keys_are_canonical_and_json_round_trips(space: Space, seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = {}
    for _ in range(6):
        setting = space.sample(rng)
        again = json.loads(json.dumps(setting))
        assert again == setting
        assert [type(v) for v in again.values()] == [type(v) for v in setting.values()]
        shuffled = {name: again[name] for name in reversed(again)}
        assert space.key(shuffled) == space.key(setting)
        exact = json.dumps(setting)
        assert found.setdefault(space.key(setting), exact) == exact
    text = json.dumps(space.describe())
    twin = Space.from_description(json.loads(text))
    assert json.dumps(twin.describe()) == text
    assert twin.default == space.default
    assert twin.sample(np.random.default_rng(3)) == space.sample(np.random.default_rng(3))


@FEW
@given(spaces(), st.integers(0, 2**32))
def test_genes_become_the_same_setting(space: Space, seed: int) -> None:
    rng = np.random.default_rng(seed)
    settings_ = [space.sample(rng) for _ in range(5)]
    genes = space.genes(settings_)
    np.testing.assert_allclose(space.canonical(genes.copy()), genes, atol=1e-9)
    back = [space.setting(row) for row in genes]
    assert [space.key(s) for s in back] == [space.key(s) for s in settings_] or all(
        close(one, two) for one, two in zip(back, settings_, strict=True)
    )
    features = space.encode(settings_)
    assert features.shape == (5, space.layout.width)
    assert features.dtype == np.float64
    assert ((features >= -1e-9) & (features <= 1 + 1e-9)).all()


def close(one: dict[str, Any], two: dict[str, Any]) -> bool:
    return one.keys() == two.keys() and all(
        math.isclose(v, two[k], rel_tol=1e-9) if isinstance(v, float) else v == two[k]
        for k, v in one.items()
    )


def test_sizes() -> None:
    space = Space(
        {"codec": Categorical(["a", "b", "c"]), "level": Integer(1, 9), "fast": Flag()},
        conditions={"level": When("codec", "b", "c"), "fast": When("level", 9)},
    )
    assert space.size() == 1 + 2 * (8 + 2)
    assert Space({"order": Permutation(["a", "b", "c", "d"])}).size() == 24
    chosen = Space({"s": Subset(["x", "y"]), "n": Integer(1, 5)}, {"n": When("s", "x")})
    assert chosen.size() == 2 * (1 + 5)
    assert Space({"r": Real(0, 1)}).size() == math.inf
    assert Space({f"f{i}": Flag() for i in range(2000)}).size() == 2**2000


def test_orders_are_changed_by_exchanges_and_moves() -> None:
    """And features tell which of two items comes first, so that a model sees both alike."""
    items = list("abcdefg")
    space = Space({"order": Permutation(items), "fast": Flag()})
    row = space.default_genes[None]
    one = space.layout.columns[0].start
    rng = np.random.default_rng(1)
    rows, columns = np.zeros(1, np.int64), np.array([one])
    near = {
        "".join(space.setting(space.layout.mutate(row, rows, columns, rng)[0])["order"])
        for _ in range(200)
    }
    assert "bcdeafg" in near  # moved
    assert "ebcdafg" in near  # exchanged with another
    before, after = space.encode(
        [{"order": items, "fast": False}, {"order": list("bcdeafg"), "fast": False}]
    )
    assert len(before) == 7 + 7 * 6 // 2 + 1
    turned = np.abs(before - after) == 1.0
    assert turned.sum() == 4  # pairs that are the other way round


def test_sizes_of_subsets_whose_items_decide() -> None:
    items = [f"i{k}" for k in range(40)]
    levels = {f"level{k}": Integer(1, 2) for k in range(40)}
    each = Space(
        {"on": Subset(items), **levels}, {f"level{k}": When("on", items[k]) for k in range(40)}
    )
    assert each.size() == 3.0**40
    shared = {f"level{k}": When("on", *items[k : k + 3]) for k in range(5)}
    several = Space({"on": Subset(items[:8]), **{name: levels[name] for name in shared}}, shared)
    total = 0
    for bits in range(2**8):
        active = sum(any(bits >> k + j & 1 for j in range(3)) for k in range(5))
        total += 2**active
    assert several.size() == total


def test_every_value_is_drawn_alike() -> None:
    space = Space({"n": Integer(1, 4), "c": Categorical(["w", "x", "y", "z"])})
    rng = np.random.default_rng(1)
    drawn = [space.sample(rng) for _ in range(4000)]
    for name in ("n", "c"):
        counts = [[s[name] for s in drawn].count(v) for v in {s[name] for s in drawn}]
        assert len(counts) == 4
        assert min(counts) > 880, counts  # four standard deviations below 1000


def test_defaults_are_exact() -> None:
    space = Space({"share": Real(1e-3, 1, log=True, default=0.1), "n": Integer(1, 10**6)})
    assert space.default == {"share": 0.1, "n": 500_000}
    assert space.complete({"n": 7}) == {"share": 0.1, "n": 7}


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"codec": "lz4", "level": 3}, "only active when 'codec' is 'zstd'"),
        ({"codec": "zstd"}, "'level' is missing"),
        ({"codec": "zip"}, "none of"),
        ({"codec": "zstd", "level": 23}, "outside 1 … 22"),
        ({"codec": "zstd", "level": True}, "no whole number"),
        ({"codec": "zstd", "level": 21}, "level <= 20 does not hold"),
        ({"codec": "lz4", "more": 1}, "no parameter 'more'"),
    ],
)
def test_what_is_wrong_is_said(setting: dict[str, Any], words: str) -> None:
    space = Space(
        {"codec": Categorical(["lz4", "zstd"]), "level": Integer(1, 22, default=3)},
        conditions={"level": When("codec", "zstd")},
        constraints=["level <= 20"],
    )
    with pytest.raises(ValueError, match=words):
        space.check(setting)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Space({}),
        lambda: Space({"n": Integer(3, 3)}),
        lambda: Space({"n": Integer(0, 5, log=True)}),
        lambda: Space({"n": Integer(1, 5, default=9)}),
        lambda: Space({"n": Real(0, math.inf)}),
        lambda: Space({"c": Categorical([])}),
        lambda: Space({"c": Categorical(["a", "a"])}),
        lambda: Space({"c": Categorical(["a"], default="b")}),
        lambda: Space({"p": Permutation(["a", "a"])}),
        lambda: Space({"a": Flag(), "b": Flag()}, {"a": When("b", True), "b": When("a", True)}),
        lambda: Space({"a": Flag()}, {"a": When("gone", True)}),
        lambda: Space({"a": Flag(), "b": Flag()}, {"a": When("b", "perhaps")}),
        lambda: Space({"r": Real(0, 1), "b": Flag()}, {"b": When("r", 0.5)}),
        lambda: Space({"n": Integer(1, 5)}, constraints=["n > 4"]),
        lambda: Space({"n": Integer(1, 5)}, constraints=["m > 4"]),
        lambda: Space({"n": Integer(1, 5)}, constraints=["__import__('os')"]),
        lambda: Space({"n": Integer(1, 5)}, constraints=["n.real < 9"]),
        lambda: Space({"n": Integer(1, 5)}, constraints=["n <"]),
        lambda: Space({"n": Integer(1, 5)}, constraints=["9 ** n > 0"]),
        lambda: Space.from_description({"parameters": {"n": {"kind": "number"}}}),
        lambda: Space.from_description({}),
    ],
)
def test_what_is_no_space_is_refused(make: Any) -> None:
    with pytest.raises(ValueError):
        make()


def test_constraints_that_leave_nothing_leave_the_default() -> None:
    space = Space({"n": Real(0, 1, default=0.5)}, constraints=["n == 0.5"])
    assert space.sample(np.random.default_rng(1)) == space.default
    assert space.neighbour(space.default, np.random.default_rng(1)) == space.default
    search = Search(space, budget=20, seed=1)
    for trial in search:
        assert trial.setting == space.default
        search.tell(trial, seconds=1.0)
    assert search.evaluations == 20


def test_where_constraints_leave_little_it_is_found_from_the_default() -> None:
    whole = {name: Integer(0, 1000, default=0) for name in "abcd"}
    space = Space(whole, constraints=["a + b + c + d <= 40"])  # 1 in ten million
    rng = np.random.default_rng(1)
    drawn = [space.sample(rng) for _ in range(20)]
    for setting in drawn:
        space.check(setting)
    assert len({space.key(setting) for setting in drawn}) > 10


@pytest.mark.parametrize("text", ["'a' * n == 'b'", "'%999999999d' % n == 'b'", "(1, 2) * n == n"])
def test_constraints_fill_no_memory(text: str) -> None:
    with pytest.raises(ValueError, match="only numbers can be calculated with"):
        Space({"n": Integer(1, 2**40)}, constraints=[text])
    space = Space({"n": Integer(1, 2**40), "word": Categorical(["x"])}, constraints=["n > 0"])
    holds = constraints.parse("word * n == 'b'", space.parameters)
    assert not holds({"n": 2**40, "word": "x"})
    assert constraints.parse("n / 2 > 3 and word in ('x', 'y')", space.parameters)(
        {"n": 8, "word": "x"}
    )


def test_functions_as_constraints_work_but_are_not_written() -> None:
    space = Space({"a": Flag(), "b": Flag()}, constraints=[lambda s: not (s["a"] and s["b"])])
    rng = np.random.default_rng(1)
    assert not any(s["a"] and s["b"] for s in (space.sample(rng) for _ in range(50)))
    with pytest.raises(TypeError, match="text"):
        space.describe()
