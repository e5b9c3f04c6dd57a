"""Prometheus metrics of choices, read from their counters when somebody scrapes.

Choosing pays nothing: a choice counts anyway. Names and units follow Prometheus' conventions
(https://prometheus.io/docs/practices/naming/): base units, ``_total`` for what only grows.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from acumen import _native
from acumen.core.journal_format import FATES
from acumen.core.modes import MODES

if TYPE_CHECKING:
    from acumen.core.choice import Choice
    from acumen.core.comparison import Comparison

_ALL_MODES = (*MODES, "killed")
_JOURNAL: tuple[tuple[str, str, Callable[[Any], float]], ...] = (
    ("journal_events_written", "Events on the disk.", lambda w: w.health.written),
    ("journal_events_dropped", "Events for which the ring had no room.", lambda w: w.dropped),
    ("journal_written_bytes", "Bytes written to segments.", lambda w: w.health.bytes),
    ("journal_commits", "Group commits.", lambda w: w.health.batches),
    ("journal_errors", "Attempts to write that failed.", lambda w: w.health.errors),
    ("journal_healed", "Times that writing went on after errors.", lambda w: w.health.healed),
    ("journal_segments_sealed", "Segments finished.", lambda w: w.health.sealed),
    ("journal_segments_retired", "Segments deleted for age or size.", lambda w: w.health.retired),
)


class ChoiceCollector:
    """A collector for a `prometheus_client` registry.

    Choices are held weakly: one that is thrown away leaves the metrics. Two of one name would be
    one series, so the later one of a name replaces the earlier.

    Args:
        choices: whose metrics; more come with `add`.
        confidence: of the comparison's interval, in (0, 1).

    Raises:
        ImportError: prometheus_client is not installed.
        ValueError: a confidence out of range.

    >>> import acumen
    >>> from prometheus_client import CollectorRegistry, generate_latest
    >>> codec = acumen.Choice("codec", ["a", "b"], context={"x": float}, default="a",
    ...                       metric=acumen.minimize("seconds"), seed=1)
    >>> registry = CollectorRegistry()
    >>> registry.register(ChoiceCollector([codec]))
    >>> _ = codec.choose(x=1.0)
    >>> print(generate_latest(registry).decode())
    # HELP acumen_decisions_total Decisions...
    """

    def __init__(self, choices: Iterable[Choice] = (), *, confidence: float = 0.95) -> None:
        if not 0 < confidence < 1:
            raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")
        import prometheus_client.core

        self._metrics = prometheus_client.core
        self._confidence = confidence
        self._lock = threading.Lock()
        self._choices: dict[str, weakref.ref[Choice]] = {}
        for choice in choices:
            self.add(choice)

    def add(self, choice: Choice) -> None:
        """From now on this one too."""
        with self._lock:
            self._choices[choice.name] = weakref.ref(choice)

    def describe(self) -> list[Any]:
        """Nothing: what there is may change between two scrapes."""
        return []

    def collect(self) -> Iterator[Any]:
        """All metrics, as they are now."""
        with self._lock:
            alive = [choice for ref in self._choices.values() if (choice := ref()) is not None]
        yield from self._decisions(alive)
        yield from self._comparisons({choice.name: choice for choice in alive})
        yield from self._states(alive)
        yield from self._journals(alive)

    def _decisions(self, choices: list[Choice]) -> Iterator[Any]:
        decisions = self._counter("decisions", "Decisions by reason.", "reason")
        feedback = self._counter("feedback", "Feedback by what became of it.", "fate")
        timeouts = self._counter("timeouts", "Decisions whose feedback did not come in time.")
        lost = self._counter("decisions_overwritten", "Decisions that younger ones pushed out.")
        for choice in choices:
            counted = choice.counters()
            for reason in _native.REASONS:
                decisions.add_metric([choice.name, reason], counted[reason])
            for fate in FATES:
                feedback.add_metric([choice.name, fate], counted[f"feedback_{fate}"])
            timeouts.add_metric([choice.name], counted["timed_out"])
            lost.add_metric([choice.name], counted["overwritten"])
        yield from (decisions, feedback, timeouts, lost)

    def _comparisons(self, choices: dict[str, Choice]) -> Iterator[Any]:
        found = {name: choice.comparison(self._confidence) for name, choice in choices.items()}
        values: tuple[tuple[str, str, Callable[[Comparison], float]], ...] = (
            ("difference", "Mean reward of the learned policy less that of the default.",
             lambda c: c.difference),
            ("difference_low", "Lower end of its anytime-valid interval.", lambda c: c.low),
            ("difference_high", "Upper end of its anytime-valid interval.", lambda c: c.high),
        )  # fmt: skip
        for name, about, value in values:
            gauge = self._gauge(f"comparison_{name}", about)
            for choice, comparison in found.items():
                number = value(comparison)
                # An endless interval is no number yet; Prometheus' rules cannot average infinities.
                gauge.add_metric([choice], number if math.isfinite(number) else math.nan)
            yield gauge
        for name, about in (
            ("decisions", "Compared decisions, by who was in charge."),
            ("lost", "Compared decisions whose feedback never came, by who was in charge."),
            ("mean", "Mean reward, by who was in charge."),
        ):
            full = "comparison_mean_reward" if name == "mean" else f"comparison_{name}"
            gauge = self._gauge(full, about, "side")
            for choice, comparison in found.items():
                for side in ("learned", "default"):
                    gauge.add_metric([choice, side], getattr(comparison, f"{side}_{name}"))
            yield gauge

    def _states(self, choices: list[Choice]) -> Iterator[Any]:
        mode = self._gauge("mode", "1 for the mode that the choice is in.", "mode")
        version = self._gauge("model_version", "Lessons that the model has taken.")
        memory = self._gauge("memory_bytes", "Memory of the choice's native part.")
        for choice in choices:
            for name in _ALL_MODES:
                mode.add_metric([choice.name, name], float(choice.mode == name))
            version.add_metric([choice.name], choice.model_version)
            memory.add_metric([choice.name], choice.memory_bytes)
        yield from (mode, version, memory)

    def _journals(self, choices: list[Choice]) -> Iterator[Any]:
        writers = {c.name: c.journal for c in choices if c.journal is not None}
        for name, about, value in _JOURNAL:
            counter = self._counter(name, about)
            for choice, writer in writers.items():
                counter.add_metric([choice], value(writer))
            yield counter
        waiting = self._gauge("journal_waiting_events", "Events that are not durable yet.")
        for choice, writer in writers.items():
            waiting.add_metric([choice], max(0, writer.sequence - writer.durable_sequence))
        yield waiting

    def _counter(self, name: str, about: str, *labels: str) -> Any:
        family = self._metrics.CounterMetricFamily
        return family(f"acumen_{name}", about, labels=["choice", *labels])

    def _gauge(self, name: str, about: str, *labels: str) -> Any:
        family = self._metrics.GaugeMetricFamily
        return family(f"acumen_{name}", about, labels=["choice", *labels])
