"""Readers of graph files and damage: a graph, or one line that names the node; nothing else."""

from __future__ import annotations

import copy
import json
import math
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from graph_texts import DOPPLER, PIPEDREAM, msr_file, piper_file, whole_texts
from hypothesis import given, settings
from hypothesis import strategies as st

from acumen.placement import Graph, GraphError, load_graph
from acumen.placement.formats import (
    captured_step,
    doppler,
    msr,
    own,
    parse_graph,
    pipedream,
    piper,
)

READERS = {
    "acumen": own, "captured": captured_step, "msr": msr, "piper": piper,
    "pipedream": pipedream, "doppler": doppler,
}  # fmt: skip
WRONG = [
    None, True, 0, -1, -1.5, 0.5, 1e308, math.nan, math.inf, 2**31, 2**63, 10**400, "", "x",
    "\ud800", [], {}, [[]], [1, 2], {"1": []},
]  # fmt: skip
WRONG_WORDS = [
    "-1", "nan", "inf", "1e309", "1e308", "", "x", "0", "9" * 30, "9" * 5000, "1_0", "²", "\x00",
    "--", "=", ",,", "\n", "[", "ü",
]  # fmt: skip


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return whole_texts(tmp_path_factory.mktemp("whole"))


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each place in a JSON document: what holds it, and its key."""
    keys = value.keys() if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from places(value[key])


def damaged_json(text: str, draw: Any) -> str:
    document = json.loads(text)
    for _ in range(draw(st.integers(1, 2))):
        owner, key = draw(st.sampled_from(list(places(document))))
        kind = draw(st.sampled_from(["replace", "other", "drop", "twice"]))
        if kind == "replace":
            owner[key] = copy.deepcopy(draw(st.sampled_from(WRONG)))
        elif kind == "other":  # what stands elsewhere: a node's number, its name, a whole list
            other, name = draw(st.sampled_from(list(places(document))))
            owner[key] = copy.deepcopy(other[name])
        elif kind == "drop" or isinstance(owner, dict):
            del owner[key]
        else:
            owner.insert(key, copy.deepcopy(owner[key]))
        if not document:
            break
    return json.dumps(document)


def damaged_words(text: str, draw: Any) -> str:
    words = re.split(r"([\s,;=\[\]]+)", text)
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(words) - 1))
        kind = draw(st.sampled_from(["replace", "other", "drop", "twice", "cut"]))
        if kind == "replace":
            words[at] = draw(st.sampled_from(WRONG_WORDS))
        elif kind == "other":
            words[at] = draw(st.sampled_from(words))
        elif kind == "drop":
            words[at] = ""
        elif kind == "twice":
            words[at] *= 2
        else:
            words = words[: at + 1]
    return "".join(words)


@pytest.mark.parametrize("format_", READERS)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_a_damaged_file_gives_a_graph_or_an_error(
    texts: dict[str, str], format_: str, data: st.DataObject
) -> None:
    text = texts[format_]
    is_json = text.startswith("{") and data.draw(st.integers(0, 3)) > 0
    text = (damaged_json if is_json else damaged_words)(text, data.draw)
    try:
        loaded = READERS[format_].read(text, "damaged")
    except GraphError as error:
        message = str(error)
        assert message
        assert len(message.splitlines()) == 1
        message.encode()
    else:
        assert isinstance(loaded.graph, Graph)
        assert sorted(loaded.graph.order.tolist()) == list(range(len(loaded.graph)))


def doppler_with(line: int, text: str) -> str:
    lines = DOPPLER.splitlines()
    lines[line - 1] = text
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (doppler_with(4, "1, 2, 0,"), "'einsummable#0' waits for its own result"),
        (doppler_with(4, "1, 2, 3,"), "line 4: there is no node 3"),
        (doppler_with(3, "0, -1, 1,"), "line 3: -1 is no node's number"),
        (doppler_with(3, "0, 0,"), "2 edges begin, 3 end"),
        (doppler_with(6, "20,-80,formation"), "node 'formation#1' has costs"),
        (doppler_with(6, "nan,80"), "node 'node#1' has costs"),
        (doppler_with(6, "1e309,80"), "node 'node#1' has costs"),
        (doppler_with(6, "much,80"), "node 'node#1' has no two costs"),
        (doppler_with(6, "20"), "node 'node#1' has no two costs"),
        (doppler_with(1, "6"), "6 nodes, 2 of them inputs, but 3 lines of nodes"),
        (DOPPLER[:12], "has no lines of edges"),
    ],
)
def test_damage_of_a_compute_graph_is_named(text: str, complaint: str) -> None:
    with pytest.raises(GraphError, match=complaint):
        parse_graph(text, "bad")


def way(node: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda file: file["nodes"][node]["TMPCs"]["1"][0]


PIPER_DAMAGE = [
    (lambda f: way(1)(f).update(timePerSample=-1), "node 'layer#2': timePerSample is -1"),
    (lambda f: way(1)(f).update(timePerSample=math.nan), "node 'layer#2': timePerSample is nan"),
    (lambda f: way(1)(f).update(timePerSample=10**400), "timePerSample is 1000.*, not a finite"),
    (lambda f: way(1)(f).update(timePerSample=True), "timePerSample is True, not a number"),
    (lambda f: way(1)(f).update(memoryUsageB=-2), "node 'layer#2': memory is -2"),
    (lambda f: way(2)(f).update(memoryUsageA=1e300), "'node#9' has a size of 1e.300 bytes"),
    (lambda f: way(1)(f).pop("memoryUsageA"), "node 'layer#2' has no 'memoryUsageA'"),
    (lambda f: f["nodes"][1]["TMPCs"].pop("1"), "node 'layer#2' has no way to run on one device"),
    (lambda f: f["nodes"][1].update(TMPCs=[]), "TMPCs of node 'layer#2' is \\[\\], not an object"),
    (lambda f: f["nodes"][1].update(id=5), "node 5 is there twice"),
    (lambda f: f["nodes"][1].update(id=None), "the id None"),
    (lambda f: f["nodes"][1].update(name=7), "node '2': name is 7, not a text"),
    (lambda f: f["nodes"].pop(1), "node 2, which does not exist"),
    (lambda f: f["edges"][1].update(communicationCost=-1), "operator 'layer#2' has a size of -2"),
    (lambda f: f["edges"][1].update(destId=5), "operator 'in#5' waits for its own result"),
    (lambda f: f.update(maxDevices=0), "0 devices"),
    (lambda f: f.update(maxDevices=1e12), "1000000000000 devices"),
    (lambda f: f.update(bandwidth=0), "the bandwidth is 0"),
    (lambda f: f.update(maxMemoryPerDevice=-1), "maxMemoryPerDevice is -1 bytes"),
    (lambda f: f.update(nodes=[], edges=[]), "0 operators"),
]


@pytest.mark.parametrize(("change", "complaint"), PIPER_DAMAGE)
def test_damage_of_a_piper_file_is_named(change: Any, complaint: str) -> None:
    file = piper_file()
    change(file)
    with pytest.raises(GraphError, match=complaint):
        parse_graph(json.dumps(file), "bad")


OWN_DAMAGE = [
    (lambda f: f.update(version=2), "version 2, not 1"),
    (lambda f: f["operators"].__setitem__(1, "first"), "operator 'first' is there twice"),
    (lambda f: f["operators"].__setitem__(1, "\ud800"), "number 1: operators is .*, not a text"),
    (lambda f: f["seconds"]["gpu"].__setitem__(0, -1), "operator 'first' takes -1.0 s on gpu"),
    (lambda f: f["seconds"]["gpu"].__setitem__(0, math.nan), "operator 'first': seconds on 'gpu'"),
    (lambda f: f["seconds"]["cpu"].__setitem__(2, None), "operator 'dritte ü' runs nowhere"),
    (lambda f: f["seconds"]["gpu"].pop(), "2 times on 'gpu' for 3 operators"),
    (lambda f: f["resident_bytes"].__setitem__(1, -5), r"operator 'second \[b\]' keeps -5 bytes"),
    (lambda f: f["resident_bytes"].__setitem__(1, 1.5), "number 1 of 'resident_bytes' is 1.5"),
    (lambda f: f["resident_bytes"].__setitem__(1, 2**62 - 1), "operators keep 2.62 bytes or more"),
    (lambda f: f["group"].__setitem__(0, -7), "operator 'first' is in group -7"),
    (lambda f: f["tensors"]["producer"].__setitem__(0, 3), "made by operator 3, which does not"),
    (lambda f: f["tensors"]["producer"].__setitem__(0, 2**33), "made by operator -1, which does"),
    (lambda f: f["tensors"]["consumers"][0].append(1), r"'second \[b\]' reads the same tensor"),
    (lambda f: f["tensors"]["consumers"][0].append(0), "operator 'first' waits for its own result"),
    (lambda f: f["tensors"]["consumers"].pop(), "do not fit 3 tensors"),
    (lambda f: f["tensors"]["copy_seconds"].__setitem__(0, -1), "what operator 'first' makes"),
    (lambda f: f["cluster"]["devices"][1].update(name="gpu:0"), "name is there twice"),
    (lambda f: f["cluster"]["route"][0].__setitem__(1, 9), "a channel that does not exist"),
    (lambda f: f["cluster"]["route"][0].__setitem__(1, 2**20), "'route' is no table"),
    (lambda f: f["cluster"]["channels"][0].update(bytes_per_second=0), "no such channel can be"),
    (lambda f: f.update(objective="beauty"), "the objective 'beauty'"),
]


@pytest.mark.parametrize(("change", "complaint"), OWN_DAMAGE)
def test_damage_of_an_own_file_is_named(texts: dict[str, str], change: Any, complaint: str) -> None:
    file = json.loads(texts["acumen"])
    change(file)
    with pytest.raises(GraphError, match=complaint):
        parse_graph(json.dumps(file), "bad")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (PIPEDREAM.replace("=3.000", "=-3.000"), "'node2 Linear backward' takes -0.003 s"),
        (PIPEDREAM.replace("=12.000", "=-12"), "'node2 Linear forward' has a size of -36 bytes"),
        (PIPEDREAM.replace("=8.0", "=-8"), "'node1 Input0 forward' has a size of -8 bytes"),
        (PIPEDREAM + PIPEDREAM, "node 'node1' is there twice"),
        (json.dumps(msr_file()).replace('"cpuLatency": 70.0', '"cpuLatency": "70"'), "node 'n7#7'"),
        ('{"maxFPGAs": ' + "[" * 100_000, "is no JSON"),
        ('{"maxFPGAs": 1, "nodes": [' + "9" * 5000 + "]}", "is no JSON|a node is"),
        (json.dumps({"fpgas": [], "cpus": []}), "is a split of a graph over devices, not a graph"),
    ],
)
def test_damage_of_others_is_named(text: str, complaint: str) -> None:
    with pytest.raises(GraphError, match=complaint) as caught:
        parse_graph(text, "bad")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["cut.txt.gz", "cut.txt.zst"])
def test_a_packed_file_that_was_cut_is_refused(tmp_path: Path, name: str) -> None:
    from acumen.placement.files import save_text

    path = tmp_path / name
    save_text(path, "".join(f"{number * 7919 % 10007}\n" for number in range(5000)))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(GraphError, match=name):
        load_graph(path)


def test_a_million_nodes() -> None:
    n, k = 1_000_000, 100_000  # a chain of k operators, and others
    chain = ", ".join(map(str, range(k)))
    starts, ends = chain.rpartition(", ")[0], chain.partition(", ")[2]
    began = time.process_time()
    graph = doppler.read(f"{n}\n\n{starts},\n{ends},\n" + "10,40\n" * n, "long").graph
    assert len(graph) == n
    assert len(graph.tensors) == k - 1
    assert time.process_time() - began < 60
