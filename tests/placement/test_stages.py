"""Stages of a pipeline, and where the program is split."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planner_cases import task_of, tasks

from acumen.placement.load_items import condense, grouped
from acumen.placement.load_order import contiguous
from acumen.placement.plan import Plan, Task
from acumen.placement.stages import stages

CHAIN = [(0, 1), (1, 2), (2, 3), (3, 4)]


def plan(*device: int) -> Plan:
    return Plan(np.array(device, np.int32))


def chain() -> Task:
    return task_of([1.0, 2, 3, 4, 5], CHAIN, 1, [None] * 3)


def test_a_chain_is_split_before_its_first_operators() -> None:
    found = stages(chain(), plan(2, 2, 0, 0, 1))
    assert found is not None
    assert [(one.device, one.first, one.operators) for one in found] == [
        (2, "op0", 2), (0, "op2", 2), (1, "op4", 1),
    ]  # fmt: skip
    assert [one.entries for one in found] == [(), ("op2",), ("op4",)]
    # Work, and the copies in and out, each a second.
    assert [one.load_seconds for one in found] == [4.0, 9.0, 6.0]
    assert stages(chain(), plan(0, 1, 0, 0, 0)) is None


def test_the_backward_pass_returns_along_the_same_row() -> None:
    # 0 → 1 → 2 forward, 3 → 4 → 5 their backward operators, together with them in groups.
    edges = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]
    others = {
        "group": np.array([0, 1, 2, 2, 1, 0], np.int32),
        "backward": np.array([False] * 3 + [True] * 3),
    }
    task = task_of([1.0] * 6, edges, 1, [None, None], **others)
    found = stages(task, plan(0, 0, 1, 1, 0, 0))
    assert found is not None
    assert [(one.device, one.first, one.operators) for one in found] == [
        (0, "op0", 4), (1, "op2", 2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("modules", "wanted"),
    [
        (["a", "a", "b.x", "b.x", "b.y"], "b"),
        (["a", "b.x", "b.y.in", "b.y.out", "c"], "b.y"),
        (["a", "b", "b", "b", "c"], None),  # split in the midst of b
        ([""] * 5, None),
        (["a", "ab", "abc", "abc", "c"], "abc"),  # "ab" is another module
    ],
)
def test_the_module_is_the_largest_that_begins_there(
    modules: list[str], wanted: str | None
) -> None:
    found = stages(chain(), plan(0, 0, 1, 1, 1), modules)
    assert found is not None
    assert found[1].module == wanted


def test_long_lists_of_entries_are_cut() -> None:
    edges = [(0, reader) for reader in range(1, 41)]
    found = stages(task_of([1.0] * 41, edges, 1, [None, None]), plan(0, *[1] * 40))
    assert found is not None
    assert (len(found[1].entries), found[1].entry_count) == (20, 40)


@settings(max_examples=25, deadline=None)
@given(tasks(), st.data())
def test_there_are_stages_exactly_where_a_plan_is_contiguous(
    task: Task, data: st.DataObject
) -> None:
    items = condense(task, grouped(task.graph))
    d = len(task.cluster)
    q = len(items)
    where = np.array(data.draw(st.lists(st.integers(0, d - 1), min_size=q, max_size=q)), np.int32)
    found = stages(task, Plan(where[items.item]))
    assert (found is not None) == contiguous(task, items, where)
    if found is not None:
        assert sorted(one.device for one in found) == np.unique(where).tolist()
        assert sum(one.operators for one in found) == len(task.graph)
