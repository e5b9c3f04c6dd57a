"""OpenTelemetry spans of decisions, for those who ask for them by wrapping a choice.

A span costs tens of microseconds where it is recorded, and several where it is not; a decision
costs a fraction of one (docs/watching.md has figures). So wrap the choices that are made once a
request, not those that are made a million times a second, or let the SDK sample. The choice itself
is not touched: who holds it chooses as fast as before.

Names follow OpenTelemetry's rules for spans: few of them (``choose codec``), details in attributes.
"""

from __future__ import annotations

import numbers
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acumen.core.choice import Choice, Decision

REMEMBERED = 4096  # decisions whose span a later feedback can be linked to


def traced(choice: Choice, tracer: Any = None, *, events: bool = False) -> TracedChoice:
    """A choice whose decisions and feedback can be seen in traces.

    Args:
        choice: which one.
        tracer: an OpenTelemetry tracer; None: the one of the global provider.
        events: add events to the span that is open already, instead of spans of their own.

    Returns:
        What has the choice's methods and attributes; `choose`, `choose_row` and `feedback`, and
        `feedback` of the decisions that it returns, are traced.

    Raises:
        ImportError: the OpenTelemetry API is not installed.
    """
    return TracedChoice(choice, tracer, events=events)


class TracedChoice:
    """See `traced`. Everything else is the choice's own."""

    def __init__(self, choice: Choice, tracer: Any = None, *, events: bool = False) -> None:
        from opentelemetry import trace

        self._trace = trace
        self._choice = choice
        self._tracer = tracer or trace.get_tracer("acumen")
        self._events = events
        self._spans: OrderedDict[int, Any] = OrderedDict()
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        """What is not traced."""
        return getattr(self._choice, name)

    def choose(self, **context: Any) -> TracedDecision:
        """As `Choice.choose`, in a span ``choose NAME``."""
        return self._chosen(self._choice.choose, (), context)

    def choose_row(self, row: Any, candidates: Any = None, /) -> TracedDecision:
        """As `Choice.choose_row`, in a span ``choose NAME``."""
        given = (row,) if candidates is None else (row, candidates)
        return self._chosen(self._choice.choose_row, given, {})

    def feedback(self, decision_id: int, /, *values: float, **metrics: float) -> bool:
        """As `Choice.feedback`, in a span ``feedback NAME`` with a link to the decision's."""
        with self._lock:
            context = self._spans.pop(decision_id, None)
        named = dict(zip(self._choice.objective.metrics, values, strict=False)) | metrics
        attributes: dict[str, Any] = {f"acumen.metric.{k}": float(v) for k, v in named.items()
                                      if isinstance(v, numbers.Real)}  # fmt: skip
        attributes["acumen.choice"] = self._choice.name
        attributes["acumen.decision.id"] = str(decision_id)
        if self._events:
            learned = self._choice.feedback(decision_id, *values, **metrics)
            attributes["acumen.feedback.learned"] = learned
            self._trace.get_current_span().add_event("acumen.feedback", attributes)
            return learned
        links = [self._trace.Link(context)] if context is not None else None
        name = f"feedback {self._choice.name}"
        with self._tracer.start_as_current_span(name, links=links, attributes=attributes) as span:
            learned = self._choice.feedback(decision_id, *values, **metrics)
            span.set_attribute("acumen.feedback.learned", learned)
            return learned

    def _chosen(self, choose: Any, row: tuple[Any, ...], context: dict[str, Any]) -> TracedDecision:
        if self._events:
            decision = choose(*row, **context)
            span = self._trace.get_current_span()
            span.add_event("acumen.decision", self._attributes(decision))
        else:
            with self._tracer.start_as_current_span(f"choose {self._choice.name}") as span:
                decision = choose(*row, **context)
                if span.is_recording():
                    span.set_attributes(self._attributes(decision))
        context_of = span.get_span_context()
        if context_of.is_valid and not self._events:
            with self._lock:
                self._spans[decision.id] = context_of
                if len(self._spans) > REMEMBERED:
                    self._spans.popitem(last=False)
        return TracedDecision(self, decision)

    def _attributes(self, decision: Decision) -> dict[str, Any]:
        return {
            "acumen.choice": self._choice.name,
            "acumen.arm": str(decision.arm)[:200],
            "acumen.arm.index": decision.index,
            # 64 bits do not fit into an attribute's signed number.
            "acumen.decision.id": str(decision.id),
            "acumen.propensity": decision.propensity,
            "acumen.reason": decision.reason,
            "acumen.model.version": decision.model_version,
        }


class TracedDecision:
    """A decision whose feedback is traced; everything else is the decision's own."""

    __slots__ = ("_choice", "_decision")

    def __init__(self, choice: TracedChoice, decision: Decision) -> None:
        self._choice = choice
        self._decision = decision

    def __getattr__(self, name: str) -> Any:
        """What is not traced."""
        return getattr(self._decision, name)

    def feedback(self, *values: float, **metrics: float) -> bool:
        """As `Decision.feedback`; see `TracedChoice.feedback`."""
        return self._choice.feedback(self._decision.id, *values, **metrics)

    def __repr__(self) -> str:
        """The decision's."""
        return repr(self._decision)
