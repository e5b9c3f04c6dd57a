"""A pipeline's loads and planners, against slow and obvious versions and brute force."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acumen import _native
from acumen.placement import Channel, Cluster, Device, Graph, load_bound
from acumen.placement.load_bound import certified_bound, throughput_bound
from acumen.placement.load_items import condense, grouped, merge_heavy, merge_leaves
from acumen.placement.load_order import contiguous
from acumen.placement.loads import copies, loads, score
from acumen.placement.plan import Deadline, Plan, PlanError, Task
from acumen.placement.planners import dp, local, milp, single


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small graphs need no sixty rounds."""
    monkeypatch.setattr(local, "IDLE_ROUNDS", 10)


def cluster(accelerators: int, hosts: int, memory: int | None) -> Cluster:
    devices = [Device(f"acc:{i}", "accelerator", memory) for i in range(accelerators)]
    devices += [Device(f"cpu:{i}", "cpu") for i in range(hosts)]
    return Cluster.one_bus(devices, 0.001, 1000.0)


@st.composite
def tasks(draw: st.DrawFn, items_max: int = 6) -> Task:
    n = draw(st.integers(1, items_max))
    whole = st.integers(0, 8)
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    edges = draw(st.lists(st.sampled_from(pairs), max_size=9, unique=True)) if pairs else []
    takes = draw(st.lists(whole, min_size=n, max_size=n))
    accelerator = np.array(draw(st.lists(whole, min_size=n, max_size=n)), np.float64)
    if draw(st.booleans()):
        accelerator[draw(st.integers(0, n - 1))] = np.inf  # only on the host
    # Operators 0 .. n - 1 may be followed by a backward pass in the same groups.
    training = draw(st.booleans()) and n <= 4
    backward = np.r_[np.zeros(n, bool), np.ones(n * training, bool)]
    group = np.arange(n, dtype=np.int32)
    if n > 1 and draw(st.booleans()):
        group[1] = group[0]
    if training:
        edges = edges + [(n + n - 1 - i, n + n - 1 - j) for j, i in edges] + [(n - 1, n)]
        group = np.r_[group, group[::-1]].astype(np.int32)
        accelerator, takes = np.r_[accelerator, accelerator[::-1]], takes + takes[::-1]
    total = len(group)
    graph = Graph.from_edges(
        "drawn",
        [f"op{i}" for i in range(total)],
        {
            "accelerator": accelerator,
            "cpu": np.where(np.isfinite(accelerator), 0, 3)
            + 2.0 * np.where(np.isfinite(accelerator), accelerator, 0),
        },
        [draw(st.integers(0, 5)) for _ in range(total)],
        edges,
        [1] * len(edges),
        [takes[a] for a, _ in edges],
        group=group,
        backward=backward,
    )
    memory = draw(st.sampled_from([None, None, 12]))
    return Task(graph, cluster(draw(st.integers(1, 2)), 1, memory), "throughput")


def slow_loads(task: Task, device: np.ndarray) -> list[float]:
    out = []
    for d, one in enumerate(task.cluster.devices):
        busy = sum(task.seconds()[d, i] for i in range(len(task.graph)) if device[i] == d)
        tensors = task.graph.tensors
        for t in range(len(tensors)):
            readers = tensors.consumers[tensors.start[t] : tensors.start[t + 1]]
            ends = {int(device[tensors.producer[t]])} | {int(device[r]) for r in readers}
            if one.kind != "cpu" and d in ends and len(ends) > 1:
                busy += copies(task)[t]
        out.append(float(busy))
    return out


def every_plan(task: Task) -> list[tuple[float, bool]]:
    """The largest load of every plan that memory and groups allow, and whether it is contiguous."""
    items = condense(task, grouped(task.graph))
    found = []
    for choice in itertools.product(range(len(task.cluster)), repeat=len(items)):
        device = np.array(choice)
        worth = score(task, Plan(device[items.item].astype(np.int32)))
        if worth.excess_bytes == 0:
            found.append((worth.seconds, contiguous(task, items, device)))
    return found


def last_score(task: Task, planner, seconds: float = 10.0) -> tuple[float, list[Plan]]:
    plans = list(planner.plan(task, Deadline.after(seconds), 0))
    for plan in plans:
        items = condense(task, grouped(task.graph))
        where = np.empty(len(items), np.int64)
        where[items.item] = plan.device
        assert (where[items.item] == plan.device).all()  # groups are whole
        assert plan.contiguous == contiguous(task, items, where)
    return (score(task, plans[-1]).seconds if plans else np.inf), plans


@given(tasks(), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_loads_are_what_the_obvious_version_says(task: Task, seed: int) -> None:
    device = np.random.default_rng(seed).integers(0, len(task.cluster), len(task.graph))
    np.testing.assert_allclose(loads(task, device), slow_loads(task, device))


@given(tasks())
@settings(max_examples=60, deadline=None)
def test_the_split_is_the_best_contiguous_plan(task: Task) -> None:
    best = min((load for load, straight in every_plan(task) if straight), default=np.inf)
    value, plans = last_score(task, dp)
    if np.isinf(best):
        assert not plans
    elif not (any(d.memory_bytes for d in task.cluster.devices)):
        assert value == pytest.approx(best)
    else:  # free leaves stay with their neighbours, which memory might speak against
        assert value >= best - 1e-9


@given(tasks(items_max=5))
@settings(max_examples=25, deadline=None)
def test_bounds_are_below_every_plan(task: Task) -> None:
    best = min((load for load, _ in every_plan(task)), default=np.inf)
    assert throughput_bound(task) <= best
    if np.isfinite(best) and best > 0:
        pytest.importorskip("highspy")
        known = [np.zeros(len(task.graph), np.int32)]
        bound = certified_bound(task, best * 1.2, known, Deadline.after(5))
        assert bound <= best * (1 + 1e-9)
        assert certified_bound(task, best, known, Deadline.after(5)) >= throughput_bound(task)


@given(tasks(items_max=4), st.floats(0.1, 30))
@settings(max_examples=40, deadline=None)
def test_merging_keeps_every_better_plan(task: Task, bound: float) -> None:
    items = merge_leaves(condense(task, grouped(task.graph)))
    small = merge_heavy(items, bound)
    best = min((load for load, _ in every_plan(task)), default=np.inf)
    if best >= bound or any(d.memory_bytes for d in task.cluster.devices):
        return
    values = [
        score(task, Plan(np.array(choice)[small.item].astype(np.int32))).seconds
        for choice in itertools.product(range(len(task.cluster)), repeat=len(small))
    ]
    assert min(values) == pytest.approx(best)


@given(tasks(), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.1]))
@settings(max_examples=60, deadline=None)
def test_the_dearest_set_is_that_of_brute_force(task: Task, seed: int, gap: float) -> None:
    items, rng = condense(task, grouped(task.graph)), np.random.default_rng(seed)
    prices = np.round(rng.uniform(0, 9, len(items))) * (rng.random(len(items)) < 0.8)
    load = float(rng.integers(0, 20))
    for device in range(len(task.cluster)):
        pricing = _native.DearestSet(items.model_of(device), 10_000)

        def bearable(
            inside: np.ndarray, limit: float = items.limit[device], at: int = device
        ) -> bool:
            # Who is not in the set is on one more device, where it costs this one nothing.
            busy = items.seconds[at][inside > 0].sum()
            for net in range(len(items.copy) if items.pays[at] else 0):
                pins = inside[items.pins[items.start[net] : items.start[net + 1]]]
                busy += items.copy[net] * (pins.min() != pins.max())
            return bool(busy <= load and items.resident_bytes @ inside <= limit)

        sets = np.array(list(itertools.product((0, 1), repeat=len(items))))
        best = max(float(prices @ one) for one in sets if bearable(one))
        most = pricing.search(prices, load, gap, 1_000)
        assert best - 1e-9 <= most <= best * (1 + gap) + 1e-9
        assert bearable(pricing.chosen())
        assert prices @ pricing.chosen() >= most / (1 + gap) - 1e-9
        assert pricing.search(prices, load, gap, 0) >= best - 1e-9  # less time, less certain


def test_wide_graphs_are_left_to_the_mixed_integer_program(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("highspy")
    task = Task(chain([4, 4, 2, 2], 0.5).graph, cluster(2, 0, None), "throughput")
    best = min(load for load, _ in every_plan(task))
    known = [np.zeros(4, np.int32)]
    narrow = certified_bound(task, best, known, Deadline.after(5))
    monkeypatch.setattr(load_bound, "STATES_MAX", 0)
    assert certified_bound(task, best, known, Deadline.after(5)) == pytest.approx(narrow, rel=2e-3)
    assert best * 0.998 <= narrow <= best


def chain(
    weights: list[float],
    copy: float,
    accelerators: int = 2,
    memory: int | None = None,
    kept: int = 1,
) -> Task:
    n = len(weights)
    graph = Graph.from_edges(
        "chain",
        [f"op{i}" for i in range(n)],
        {"accelerator": weights, "cpu": np.array(weights) * 10},
        [kept] * n,
        [(i, i + 1) for i in range(n - 1)],
        [1] * (n - 1),
        [copy] * (n - 1),
    )
    return Task(graph, cluster(accelerators, 1, memory), "throughput")


def test_a_chain_has_no_better_plan_than_its_split() -> None:
    task = chain([4, 1, 4, 1, 4, 4], 0.0, accelerators=3)
    task = Task(task.graph, cluster(3, 0, None), "throughput")
    assert last_score(task, dp)[0] == 8
    assert min(load for load, _ in every_plan(task)) == 8
    value, plans = last_score(
        Task(chain([5, 1, 5, 1], 0.1).graph, cluster(2, 0, None), "throughput"), local
    )
    assert value == pytest.approx(6.1)
    assert plans[-1].contiguous


def test_search_beats_the_split_where_a_graph_has_room() -> None:
    task = Task(chain([4, 3, 3, 2], 0.01).graph, cluster(2, 0, None), "throughput")
    assert last_score(task, dp)[0] == pytest.approx(7.01)
    task = Task(chain([4, 4, 2, 2], 0.01).graph, cluster(2, 0, None), "throughput")
    assert last_score(task, dp)[0] == pytest.approx(8.01)
    value, plans = last_score(task, local)
    assert value == pytest.approx(6.02)
    assert not plans[-1].contiguous
    pytest.importorskip("highspy")
    assert last_score(task, milp)[0] == pytest.approx(6.02)
    assert milp.bound(task, Deadline.after(5), 0) == pytest.approx(6.02, rel=0.002)


def test_the_same_seed_finds_the_same() -> None:
    rng = np.random.default_rng(1)
    task = chain(rng.uniform(1, 3, 8).tolist(), 0.1, accelerators=2)
    first, second = (last_score(task, local)[1] for _ in range(2))
    assert [plan.device.tolist() for plan in first] == [plan.device.tolist() for plan in second]


def test_memory_is_heeded_and_a_plan_that_has_none_is_mended() -> None:
    task = chain([1] * 6, 0.1, memory=3)
    assert score(task, Plan(np.zeros(6, np.int32))).excess_bytes == 3
    for planner in (dp, local):
        assert score(task, last_score(task, planner)[1][-1]).excess_bytes == 0
    nowhere = Task(chain([1] * 6, 0.1).graph, cluster(2, 0, 2), "throughput")
    assert not list(dp.plan(nowhere, Deadline.after(1), 0))
    assert score(nowhere, next(single.plan(nowhere, Deadline.after(1), 0))).excess_bytes == 4


def test_groups_are_not_torn_and_devices_exist() -> None:
    graph = Graph.from_edges(
        "two",
        ["a", "b"],
        {"accelerator": [1.0, 1.0]},
        [0, 0],
        [],
        [],
        group=np.array([3, 3], np.int32),
    )
    task = Task(graph, cluster(2, 0, None), "throughput")
    assert score(task, Plan(np.array([1, 1], np.int32))).seconds == 2
    assert np.isinf(score(task, Plan(np.array([0, 1], np.int32))).seconds)
    with pytest.raises(PlanError, match="'b' lies on device 2"):
        score(task, Plan(np.array([0, 2], np.int32)))
    with pytest.raises(PlanError, match=r"1 operators|shape"):
        score(task, Plan(np.array([0], np.int32)))


def test_a_copy_takes_what_the_slowest_channel_needs() -> None:
    graph = Graph.from_edges("pair", ["a", "b"], {"gpu": [1.0, 1.0]}, [0, 0], [(0, 1)], [100])
    devices = [Device(f"gpu:{i}", "gpu") for i in range(2)]
    channels = [Channel(0.5, np.inf), Channel(0.0, 50.0)]
    task = Task(
        graph, Cluster(devices, channels, np.array([[0, 0], [1, 0]], np.int16)), "throughput"
    )
    assert loads(task, np.array([0, 1])).tolist() == [3.0, 3.0]
    assert loads(task, np.array([0, 0])).tolist() == [2.0, 0.0]


def test_a_deadline_is_kept() -> None:
    rng = np.random.default_rng(0)
    n = 300
    edges = [(int(a), int(b)) for b in range(1, n) for a in rng.integers(max(0, b - 9), b, 2)]
    edges = sorted(set(edges))
    graph = Graph.from_edges(
        "wide",
        [str(i) for i in range(n)],
        {"accelerator": rng.uniform(0, 1, n)},
        [0] * n,
        edges,
        [1] * len(edges),
        [0.01 * (a % 3) for a, _ in edges],
    )
    task = Task(graph, cluster(6, 0, None), "throughput")
    began = time.process_time()
    plans = list(local.plan(task, Deadline.after(0.3), 0))
    assert time.process_time() - began < 3
    assert score(task, plans[-1]).seconds < 0.5 * score(task, plans[0]).seconds


def two_items() -> tuple[np.ndarray, ...]:
    """Two items and a net between them, on one device, as the native kernels want it."""
    return (
        np.ones((1, 2)),
        np.zeros(2),
        np.ones(1),
        np.ones(1, np.uint8),
        np.array([0, 2], np.uint32),
        np.array([0, 1], np.uint32),
        np.ones(1),
    )


@pytest.mark.parametrize(
    "change",
    [
        {5: np.array([0, 9], np.uint32)},
        {6: np.array([-1.0])},
        {4: np.array([0, 1], np.uint32)},
        {5: np.array([0, 0], np.uint32)},
        {1: np.array([1.0])},
        {1: np.array([1e101, 0.0])},
        {6: np.array([1e101])},
        {0: np.array([[1.0, 1e101]])},
        {0: np.full((1, 2), np.nan)},
    ],
)
def test_native_code_refuses_a_damaged_model(change: dict[int, np.ndarray]) -> None:
    good = two_items()
    none = np.empty(0, np.uint32)
    _native.LoadSearch(good, np.zeros(2, np.uint32), 0)
    bad = tuple(change.get(i, part) for i, part in enumerate(good))
    with pytest.raises(ValueError):
        _native.LoadSearch(bad, np.zeros(2, np.uint32), 0)
    with pytest.raises(ValueError):
        _native.IdealSplit(bad, np.ones(1, np.uint32), none, none, np.inf, 100)
    with pytest.raises(ValueError):
        _native.DearestSet(bad, 100)


def test_native_code_refuses_items_and_edges_that_do_not_exist() -> None:
    model = two_items()
    one, five = np.ones(1, np.uint32), np.full(1, 5, np.uint32)
    for from_, to in ((one, five), (five, one), (one, one), (one, one[:0])):
        with pytest.raises(ValueError, match="edge"):
            _native.IdealSplit(model, one, from_, to, np.inf, 100)
    for device in (np.array([0, 1], np.uint32), np.zeros(3, np.uint32)):
        with pytest.raises(ValueError, match="device"):
            _native.LoadSearch(model, device, 0)
