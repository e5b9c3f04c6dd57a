"""Spans as the OpenTelemetry SDK records them."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import acumen
from acumen.telemetry import TracedChoice, traced


def make(**changes: Any) -> acumen.Choice:
    arguments: dict[str, Any] = {"default": "a", "metric": acumen.minimize("seconds"), "seed": 1}
    return acumen.Choice("codec", ["a", "b"], context={"x": float}, **(arguments | changes))


class Recorded:
    def __init__(self, **options: Any) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(**options)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = provider.get_tracer("test")

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()


def test_a_decision_and_its_feedback() -> None:
    recorded = Recorded()
    choice = make()
    codec = traced(choice, recorded.tracer)
    with recorded.tracer.start_as_current_span("request"):
        decision = codec.choose(x=1.0)
    assert decision.feedback(seconds=0.25)
    chosen, request, heard = recorded.spans
    assert [s.name for s in recorded.spans] == ["choose codec", "request", "feedback codec"]
    assert chosen.parent is not None
    assert chosen.parent.span_id == request.context.span_id
    assert chosen.attributes == {
        "acumen.choice": "codec",
        "acumen.arm": decision.arm,
        "acumen.arm.index": decision.index,
        "acumen.decision.id": str(decision.id),
        "acumen.propensity": decision.propensity,
        "acumen.reason": decision.reason,
        "acumen.model.version": decision.model_version,
    }
    assert heard.attributes == {
        "acumen.choice": "codec",
        "acumen.decision.id": str(decision.id),
        "acumen.metric.seconds": 0.25,
        "acumen.feedback.learned": True,
    }
    assert [link.context.span_id for link in heard.links] == [chosen.context.span_id]


def test_feedback_by_id_links_too_and_once() -> None:
    recorded = Recorded()
    codec = traced(make(), recorded.tracer)
    decision = codec.choose_row((1.0,))
    assert codec.feedback(decision.id, 0.5)
    assert not codec.feedback(decision.id, 0.5)
    _, first, second = recorded.spans
    assert len(first.links) == 1
    assert len(second.links) == 0
    assert first.attributes is not None
    assert first.attributes["acumen.metric.seconds"] == 0.5
    assert second.attributes is not None
    assert second.attributes["acumen.feedback.learned"] is False


def test_events_on_the_span_that_is_open() -> None:
    recorded = Recorded()
    codec = traced(make(), recorded.tracer, events=True)
    with recorded.tracer.start_as_current_span("request"):
        codec.choose(x=1.0).feedback(seconds=1.0)
    (request,) = recorded.spans
    assert [event.name for event in request.events] == ["acumen.decision", "acumen.feedback"]
    assert request.events[0].attributes is not None
    assert request.events[0].attributes["acumen.choice"] == "codec"
    codec.choose(x=1.0).feedback(seconds=1.0)  # no span is open: nothing to add to
    assert len(recorded.spans) == 1


def test_it_is_the_choice_in_everything_else() -> None:
    plain, wrapped = make(), make()
    codec = traced(wrapped, Recorded().tracer)
    for i in range(300):
        value = float("nan") if i % 50 == 0 else float(i % 7)
        one, other = plain.choose(x=value), codec.choose(x=value)
        assert (one.arm, one.propensity, one.reason) == (other.arm, other.propensity, other.reason)
        one.feedback(seconds=1.0 + one.index)
        other.feedback(seconds=1.0 + other.index)
    assert plain.counters() == codec.counters()
    assert plain.comparison() == codec.comparison()
    assert codec.name == "codec"
    codec.set_mode("off")
    assert wrapped.mode == "off"
    assert repr(codec.choose(x=1.0)).startswith("Decision") or "arm" in repr(codec.choose(x=1.0))
    with pytest.raises(AttributeError):
        _ = codec.nothing


def test_what_is_no_number_hurts_nobody() -> None:
    recorded = Recorded()
    codec = traced(make(), recorded.tracer)
    decision = codec.choose(x=1.0)
    try:
        plain = make().choose(x=1.0).feedback(seconds="fast")  # type: ignore[arg-type]
    except TypeError:
        with pytest.raises(TypeError):
            decision.feedback(seconds="fast")
    else:
        assert decision.feedback(seconds="fast") == plain
    assert decision.feedback(seconds=float("nan")) is False


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acumen.telemetry.opentelemetry.REMEMBERED", 10)
    recorded = Recorded()
    codec = traced(make(), recorded.tracer)
    decisions = [codec.choose(x=1.0) for _ in range(25)]
    assert isinstance(codec, TracedChoice)
    assert len(codec._spans) == 10
    recorded.exporter.clear()
    for decision in (decisions[0], decisions[-1]):
        decision.feedback(seconds=1.0)
    assert [len(span.links) for span in recorded.spans] == [0, 1]


def test_without_a_provider_or_a_sample_nothing_is_kept() -> None:
    quiet = traced(make())  # the global provider does nothing
    assert quiet.choose(x=1.0).feedback(seconds=1.0)
    assert len(quiet._spans) == 0
    recorded = Recorded(sampler=ALWAYS_OFF)
    codec = traced(make(), recorded.tracer)
    assert codec.choose(x=1.0).feedback(seconds=1.0)
    assert recorded.spans == ()
