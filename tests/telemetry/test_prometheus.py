"""Metrics as Prometheus gets them: over HTTP, parsed by its own parser."""

from __future__ import annotations

import gc
import json
import math
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.parser import text_string_to_metric_families

import acumen
from acumen import _native
from acumen.telemetry import ChoiceCollector

DASHBOARD = Path(__file__).parents[2] / "docs" / "grafana" / "acumen.json"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def make(name: str = "codec", **changes: Any) -> acumen.Choice:
    arguments: dict[str, Any] = {
        "context": {"x": float},
        "default": "a",
        "metric": acumen.minimize("seconds"),
        "holdback": 0.3,
        "seed": 1,
    }
    return acumen.Choice(name, ["a", "b"], **(arguments | changes))


def live(choice: acumen.Choice, rounds: int = 400) -> None:
    for i in range(rounds):
        decision = choice.choose(x=float("nan") if i % 10 == 0 else float(i % 7))
        decision.feedback(seconds=0.5 + decision.index)
    choice.feedback(1, seconds=1.0)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[CollectorRegistry, int]]:
    """One server for all tests: it takes half a second to end. Its registry, and its port."""
    registry = CollectorRegistry()
    server, thread = start_http_server(0, "127.0.0.1", registry)
    yield registry, server.server_port
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.fixture
def registry(served: tuple[CollectorRegistry, int]) -> Iterator[CollectorRegistry]:
    """With nothing in it but what a test puts there."""
    yield served[0]
    for collector in list(served[0]._collector_to_names):
        served[0].unregister(collector)


@pytest.fixture
def scrape(served: tuple[CollectorRegistry, int]) -> Any:
    def get() -> Samples:
        url = f"http://127.0.0.1:{served[1]}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            text = answer.read().decode()
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    return get


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def test_a_scrape_says_what_the_choice_says(
    registry: CollectorRegistry, scrape: Any, tmp_path: Path
) -> None:
    codec, plain = make(journal=tmp_path), make("plain", mode="shadow")
    registry.register(ChoiceCollector([codec, plain]))
    for choice in (codec, plain):
        live(choice)
    assert codec.journal is not None
    assert codec.journal.flush()
    found = scrape()
    for choice in (codec, plain):
        name, counted = choice.name, choice.counters()
        for reason in _native.REASONS:
            samples = value(found, "acumen_decisions_total", choice=name, reason=reason)
            assert samples == counted[reason]
        assert value(found, "acumen_feedback_total", choice=name, fate="unknown") == 1
        assert value(found, "acumen_mode", choice=name, mode=choice.mode) == 1
        modes = [v for (n, labels), v in found.items()
                 if n == "acumen_mode" and ("choice", name) in labels]  # fmt: skip
        assert sorted(modes) == [0, 0, 0, 0, 1]
        assert value(found, "acumen_memory_bytes", choice=name) == choice.memory_bytes
        assert value(found, "acumen_model_version", choice=name) == choice.model_version
    comparison = codec.comparison()
    for name, wanted in (
        ("difference", comparison.difference),
        ("difference_low", comparison.low),
        ("difference_high", comparison.high),
    ):
        assert value(found, f"acumen_comparison_{name}", choice="codec") == wanted
    assert math.isfinite(comparison.low)
    assert math.isnan(value(found, "acumen_comparison_difference_low", choice="plain"))
    learned = value(found, "acumen_comparison_decisions", choice="codec", side="learned")
    assert learned == comparison.learned_decisions
    mean = value(found, "acumen_comparison_mean_reward", choice="codec", side="default")
    assert mean == comparison.default_mean
    health = codec.journal.health
    written = value(found, "acumen_journal_events_written_total", choice="codec")
    assert written == health.written > 800
    assert value(found, "acumen_journal_written_bytes_total", choice="codec") == health.bytes
    assert value(found, "acumen_journal_waiting_events", choice="codec") == 0
    assert not any("plain" in str(labels) for (n, labels) in found if "journal" in n)
    codec.journal.close()


def test_counters_follow_and_dead_choices_leave(registry: CollectorRegistry, scrape: Any) -> None:
    collector = ChoiceCollector()
    registry.register(collector)
    assert scrape() == {}
    choice = make()
    collector.add(choice)
    live(choice, 10)
    before = value(scrape(), "acumen_feedback_total", choice="codec", fate="learned")
    live(choice, 100)
    after = value(scrape(), "acumen_feedback_total", choice="codec", fate="learned")
    assert after == before + 90
    choice.kill()
    assert value(scrape(), "acumen_mode", choice="codec", mode="killed") == 1
    del choice
    gc.collect()
    assert scrape() == {}


def test_one_name_is_one_series(registry: CollectorRegistry, scrape: Any) -> None:
    older, newer = make(), make()
    live(older, 10)
    registry.register(ChoiceCollector([older, newer]))
    found = scrape()
    assert value(found, "acumen_feedback_total", choice="codec", fate="learned") == 0


def test_names_follow_the_conventions() -> None:
    choice = make()
    for family in ChoiceCollector([choice]).collect():
        assert re.fullmatch(r"acumen_[a-z]+(_[a-z]+)*", family.name)
        assert family.documentation.endswith(".")
        assert not re.search(r"(milli|kilo|_ms$|_mb$|_percent)", family.name)
        for sample in family.samples:
            assert sample.name.endswith("_total") == (family.type == "counter")


@pytest.mark.parametrize("confidence", [0, 1, -1, 2])
def test_a_confidence_that_is_none(confidence: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        ChoiceCollector(confidence=confidence)


def exported(tmp_path: Path) -> dict[str, set[str]]:
    """Names of samples, and their labels."""
    choice = make(journal=tmp_path)
    live(choice, 10)
    names: dict[str, set[str]] = {}
    for family in ChoiceCollector([choice]).collect():
        for sample in family.samples:
            names.setdefault(sample.name, set()).update(sample.labels)
    assert choice.journal is not None
    choice.journal.close()
    return names


def queries(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, part in node.items():
            if key in ("expr", "query") and isinstance(part, str) and part != "prometheus":
                yield part
            else:
                yield from queries(part)
    elif isinstance(node, list):
        for part in node:
            yield from queries(part)


def test_the_dashboard_asks_for_what_is_exported(tmp_path: Path) -> None:
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    names = exported(tmp_path)
    asked: set[str] = set()
    found = list(queries(dashboard))
    assert len(found) > 15
    for query in found:
        bare = re.sub(r'"[^"]*"', '""', query)
        mine = re.findall(r"\bacumen_\w+", bare)
        assert mine, query
        assert set(mine) <= names.keys(), query
        asked |= set(mine)
        labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"\"", bare))
        for group in re.findall(r"\bby \(([^)]*)\)", bare):
            labels |= {name.strip() for name in group.split(",")}
        for name in mine:
            assert labels <= names[name], query
        # What only grows is asked for its growth, or for whether there was any.
        for name in mine:
            if name.endswith("_total") and "label_values" not in bare:
                assert re.search(rf"rate\({name}\b|sum\({name}\b", bare), query
        assert bare.count("(") == bare.count(")")
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            used = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            names_asked = re.findall(r"\bacumen_\w+", target["expr"])
            assert used <= set().union(*(names[n] for n in names_asked))
    assert len(asked) >= 14
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for place in (panel["gridPos"] for panel in dashboard["panels"]):
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}  # fmt: skip
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells
