"""Legal orders are those, exactly, in which every two uses of an element keep their order."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nests import keeps_every_dependence, model

pytest.importorskip("islpy")
pytest.importorskip("pycparser")

from acumen.compilers.loop_nests.dependences import respects
from acumen.compilers.loop_nests.settings import (
    SCHEDULES,
    Choices,
    IllegalError,
    space_of,
)
from acumen.compilers.loop_nests.transform import Shape, bands_of, merged, shaped

SUBSCRIPTS = ("i", "j", "i + 1", "j - 1", "i - j + 5", "2", "k", "i + k")


@st.composite
def regions(draw: Any) -> str:
    """Loops of depth 2 or 3 around one or two assignments, some under a triangle."""

    def element(three: bool) -> str:
        usable = [s for s in SUBSCRIPTS if three or "k" not in s]
        name = draw(st.sampled_from("AB"))
        return f"{name}[{draw(st.sampled_from(usable))}][{draw(st.sampled_from(usable))}]"

    def assignment(three: bool) -> str:
        op = draw(st.sampled_from(["=", "+="]))
        return f"{element(three)} {op} {element(three)} + {element(three)};"

    low = draw(st.sampled_from(["1", "i", "i + 1"]))
    down = draw(st.booleans())
    outer = "for (int i = 4; i >= 1; i--)" if down else "for (int i = 1; i < 5; i++)"
    inner = assignment(False)
    if draw(st.booleans()):
        inner += f" for (int k = 0; k < 3; k++) {assignment(True)}"
    after = f"for (int j = 1; j < 4; j += 2) {assignment(False)}" if draw(st.booleans()) else ""
    return f"{outer} {{ for (int j = {low}; j < 5; j++) {{ {inner} }} {after} }}"


@settings(max_examples=25, deadline=None, derandomize=True)
@given(regions(), st.randoms(use_true_random=False))
def test_a_proof_says_what_enumeration_says(text: str, chance: random.Random) -> None:
    region = model(text)
    assert respects(region, region.original)
    tree = merged(region)
    shapes = {}
    for number, node in enumerate(bands_of(tree)):
        members = node.band_get_space().dim(3)
        order = chance.sample(range(members), members)
        tiles = tuple(chance.choice((0, 2, 3)) for _ in range(members))
        unroll = tuple(chance.choice((1, 1, 2)) for _ in range(members))
        shapes[number] = Shape(tuple(order), tiles, unroll, chance.choice((-1, order[-1])), 2)
    made = shaped(tree, shapes)
    assert respects(region, made) == keeps_every_dependence(region, made)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(regions(), st.sampled_from(SCHEDULES), st.integers(0, 1000))
def test_what_is_proposed_is_legal(text: str, schedule: str, seed: int) -> None:
    import numpy as np

    region = model(text)
    choices = Choices(region, {"A": "double", "B": "double"})
    space = space_of(2)
    rng = np.random.default_rng(seed)
    for _ in range(3):
        setting = space.sample(rng)
        if setting["schedule"] == "original":
            continue
        try:
            tree = choices.tree({**setting, "schedule": schedule})
        except IllegalError:
            continue
        assert keeps_every_dependence(region, tree)


def test_what_points_backwards_is_refused() -> None:
    region = model("for (int i = 1; i < 9; i++) for (int j = 0; j < 9; j++) A[i][j] = A[i-1][j+1];")
    (node,) = bands_of(region.original)[:1]
    assert node is not None
    joined = region.original.get_root().child(0)
    members = [joined, joined.child(0)]
    partial = [each.band_get_partial_schedule().get_union_pw_aff(0) for each in members]
    import islpy as isl

    flat = isl.MultiUnionPwAff.from_union_pw_aff_list(
        isl.Space.set_alloc(region.domain.get_ctx(), 0, 2),
        isl.UnionPwAffList.alloc(region.domain.get_ctx(), 0).add(partial[1]).add(partial[0]),
    )
    swapped = isl.Schedule.from_domain(region.domain).insert_partial_schedule(flat)
    assert not respects(region, swapped)
    assert not keeps_every_dependence(region, swapped)
    # And a proof is no proof of another set of instances.
    fewer = isl.Schedule.from_domain(isl.UnionSet("{ S0[i, j] : 0 < i < 5 and 0 <= j < 5 }"))
    assert not respects(region, fewer)


def test_no_dependence_is_missed_where_loops_run_in_steps() -> None:
    region = model(
        "for (int i = 0; i < 14; i += 3) for (int j = 14; j >= i; j -= 2) g[0] = g[0] * 3 + i;"
        "for (int i = 13; i >= 0; i--) g[0] += g[0] * i + B[i];"
    )
    instances = region.domain.get_set_list()
    count = sum(int(instances.get_at(i).count_val().to_python()) for i in range(instances.n_set()))
    pairs: list[int] = []
    region.every.foreach_map(lambda each: pairs.append(int(each.wrap().count_val().to_python())))
    assert sum(pairs) == count * (count - 1) // 2
    for schedule in SCHEDULES:
        tree = Choices(region, {}).base(schedule)[0]
        assert respects(region, tree)
        assert keeps_every_dependence(region, tree)
