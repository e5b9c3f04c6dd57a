"""The context schema from Python: types, optional values, bad values, forms of rows."""

import array
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import acumen
from acumen.core import Schema

Make = Callable[..., acumen.Choice]

FIELDS = {"size": float, "depth": int | None, "hot": bool, "kind": str}
GOOD = {"size": 1.5, "depth": 3, "hot": True, "kind": "json"}


class Liar:
    """A number that misbehaves when it is read."""

    def __init__(self, action: Callable[[], Any]) -> None:
        self.action = action

    def __float__(self) -> float:
        self.action()
        return 1.0


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"depth": None},
        {"depth": math.nan},
        {"hot": 0},
        {"hot": np.True_},
        {"size": 7},
        {"size": np.float32(2)},
        {"size": np.int64(2)},
        {"kind": ""},
        {"kind": "naïve ☃"},
        {"kind": np.str_("json")},
        {"kind": "x" * 10_000},
        {"size": 1e308},
        {"size": -5e-324},
    ],
)
def test_good_values(make_choice: Make, change: dict[str, Any]) -> None:
    choice = make_choice(context=FIELDS, holdback=0.0)
    decision = choice.choose(**(GOOD | change))
    assert decision.reason == "learned"
    assert choice.last_problem == ""
    assert decision.feedback(1.0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"size": math.nan}, ""),
        ({"size": None}, ""),
        ({"size": math.inf}, ""),
        ({"size": -math.inf}, ""),
        ({"depth": math.inf}, ""),
        ({"size": "large"}, "size"),
        ({"size": 10**400}, "size"),
        ({"size": [1.0]}, "size"),
        ({"size": 1j}, "size"),
        ({"kind": None}, ""),
        ({"kind": b"json"}, "kind"),
        ({"kind": "\ud800"}, "kind"),
        ({"kind": -1.0}, ""),
        ({"kind": 0.5}, ""),
        ({"unknown": 1.0}, "unknown context name 'unknown'"),
        ({"candidates": [[1.0]]}, "unknown context name 'candidates'"),
        ({"size": Liar(lambda: 1 / 0)}, "division"),
    ],
)
def test_bad_values_serve_the_default(make_choice: Make, change: dict[str, Any], says: str) -> None:
    choice = make_choice(context=FIELDS)
    decision = choice.choose(**(GOOD | change))
    assert (decision.reason, decision.arm) == ("bad_context", "b")
    assert decision.propensity == 1.0
    assert says in choice.last_problem
    # It is recorded, but there is nothing that a learner could take.
    assert decision.feedback(1.0)
    assert choice.model_version == 0
    assert choice.counters()["bad_context"] == 1


def test_left_out_values(make_choice: Make) -> None:
    choice = make_choice(context=FIELDS, holdback=0.0)
    assert choice.choose(size=1.0, hot=False, kind="a").reason == "learned"
    assert choice.choose(hot=False, kind="a").reason == "bad_context"
    assert choice.choose().reason == "bad_context"
    # The order of keywords is the caller's.
    assert choice.choose(kind="a", hot=False, size=1.0).reason == "learned"


def test_no_context_at_all(make_choice: Make) -> None:
    choice = make_choice(context={}, holdback=0.0)
    assert choice.choose().reason == "learned"
    assert choice.choose_row(()).reason == "learned"
    assert choice.choose_row(np.empty(0)).reason == "learned"
    assert len(choice.choose_many(np.empty((3, 0))).ids) == 3


def test_positional_context_is_a_programming_error(make_choice: Make) -> None:
    with pytest.raises(TypeError, match="keyword"):
        make_choice().choose(1.0)
    with pytest.raises(TypeError, match="row"):
        make_choice().choose_row()


def rows_of(values: list[float]) -> list[Any]:
    doubles = np.array(values)
    wide = np.zeros((len(values), 3))
    wide[:, 1] = values
    return [
        values,
        tuple(values),
        doubles,
        doubles.astype(np.float32),
        wide[:, 1],
        wide.astype(np.float32)[:, 1],
        doubles[::-1].copy()[::-1],
        array.array("d", values),
        array.array("f", values),
        memoryview(doubles),
        memoryview(array.array("f", values)),
    ]


def test_every_form_of_a_row_means_the_same(make_choice: Make) -> None:
    values = [0.5, -2.0, 4.0]
    context = {"x": float, "y": float, "z": float}
    for form in [*rows_of(values), None]:
        choice = make_choice(context=context, seed=3)
        for _ in range(20):
            if form is None:
                decision = choice.choose(x=0.5, y=-2.0, z=4.0)
            else:
                decision = choice.choose_row(form)
            assert decision.id
            decision.feedback(float(decision.index))
        state = choice._state()
        expected = make_choice(context=context, seed=3)
        for _ in range(20):
            decision = expected.choose_row(values)
            decision.feedback(float(decision.index))
        for name, array_ in expected._state().items():
            np.testing.assert_array_equal(state[name], array_, err_msg=f"{form!r} {name}")


@pytest.mark.parametrize(
    "row",
    [
        (),
        (1.0,),
        (1.0, 2.0, 3.0),
        [1.0],
        np.zeros(3),
        np.zeros((1, 2)),
        np.zeros(2, np.int64),
        np.zeros(2, ">f8"),
        np.array(1.0),
        np.array([object(), object()]),
        array.array("i", [1, 2]),
        memoryview(np.zeros(4))[::2],
        b"0123456789abcdef",
        "ab",
        None,
        1.0,
        {"x": 1.0, "y": 2.0},
        iter([1.0, 2.0]),
    ],
    ids=lambda value: repr(value).partition(" at 0x")[0],
)
def test_rows_of_the_wrong_kind(make_choice: Make, row: Any) -> None:
    choice = make_choice(context={"x": float, "y": float})
    decision = choice.choose_row(row)
    assert (decision.reason, decision.arm) == ("bad_context", "b")
    assert "2 values in schema order" in choice.last_problem


def test_rows_that_change_while_they_are_read(make_choice: Make) -> None:
    choice = make_choice(context=dict.fromkeys(["x", "y", "z"], float))
    row: list[Any] = []
    row.extend([Liar(row.clear), 2.0, 3.0])
    assert choice.choose_row(row).reason == "bad_context"
    assert "changed its length" in choice.last_problem


def test_values_that_use_the_same_choice(make_choice: Make) -> None:
    choice = make_choice(context={"x": float, "y": float, "z": float}, holdback=0.0)
    again = Liar(lambda: choice.choose(z=1.0, x=2.0))
    for _ in range(3):
        choice.choose(x=again, y=2.0, z=5.0)
    contexts = choice.records().to_pydict()
    assert contexts["context.z"][1::2] == [5.0] * 3
    assert contexts["context.y"][1::2] == [2.0] * 3


def test_categories_are_hashed_and_new_ones_are_unseen(make_choice: Make) -> None:
    choice = make_choice(context={"kind": acumen.Category(buckets=4)})
    code = choice.code("kind", "json")
    assert code in range(4)
    assert code == make_choice(context={"kind": acumen.Category(4)}).code("kind", "json")
    choice.choose(kind="json")
    choice.choose(kind="json")
    choice.choose_row((code,))
    assert choice.records()["context.kind"].to_pylist() == [4.0, code, code]
    with pytest.raises(ValueError, match="no context field"):
        choice.code("size", "x")
    with pytest.raises(ValueError, match="no category"):
        make_choice().code("size", "x")


@pytest.mark.parametrize(
    ("fields", "error", "says"),
    [
        ({"size": complex}, TypeError, "size"),
        ({"size": None}, TypeError, "size"),
        ({"size": float | int}, TypeError, "size"),
        ({"size": list[float]}, TypeError, "size"),
        ({"two words": float}, ValueError, "identifier"),
        ({1: float}, ValueError, "identifier"),
        ({"candidates": float}, ValueError, "candidates"),
        ({f"f{i}": float for i in range(257)}, ValueError, "256"),
    ],
)
def test_wrong_schemas_raise(fields: dict[Any, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        Schema(fields)


def test_buckets_have_bounds() -> None:
    for buckets in (0, 4097, -1):
        with pytest.raises(ValueError, match="buckets"):
            acumen.Category(buckets=buckets)


def test_the_version_spells_the_schema_out() -> None:
    schema = Schema({"a": float | None, "b": acumen.Category(8, optional=True), "c": bool})
    assert schema.version == "a:number?,b:category[8]?,c:flag"
    assert Schema({}).version == ""


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.lists(st.floats(), max_size=4),
    st.dictionaries(st.text(), st.integers(), max_size=2),
)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from([*FIELDS, "other", "candidates"]), anything),
    st.one_of(anything, st.lists(anything, min_size=4, max_size=4), st.tuples(*[anything] * 4)),
    st.lists(anything, max_size=3),
)
def test_choose_never_raises(context: dict[str, Any], row: Any, values: list[Any]) -> None:
    choice = acumen.Choice(
        "any", arms=[1, 2], context=FIELDS, default=1, metric=acumen.maximize("reward"), seed=0
    )
    for decision in (choice.choose(**context), choice.choose_row(row)):
        assert decision.arm in (1, 2)
        assert 0 < decision.propensity <= 1
        assert decision.feedback(*values) in (True, False)
    assert sum(choice.counters()[r] for r in ("learned", "holdback", "bad_context")) == 2


@pytest.mark.parametrize("kind", [5, 3.0, True, b"json"])
def test_a_number_is_no_category(make_choice: Make, kind: object) -> None:
    choice = make_choice(context={"kind": str})
    assert choice.choose(kind=kind).reason == "bad_context"
    assert "kind" in choice.last_problem
