"""What choices do, for the monitoring that is there already: Prometheus and OpenTelemetry.

`ChoiceCollector` (pip install 'acumen[prometheus]') reads counters when it is scraped; `traced`
(pip install 'acumen[opentelemetry]') makes spans of the decisions of those who ask for it. Neither
touches the path of a choice that does not use it.
"""

from typing import TYPE_CHECKING

from acumen.core.lazy import attributes

if TYPE_CHECKING:
    from acumen.telemetry.opentelemetry import TracedChoice, traced
    from acumen.telemetry.prometheus import ChoiceCollector

__all__ = ["ChoiceCollector", "TracedChoice", "traced"]

__getattr__ = attributes(
    __name__,
    {
        "ChoiceCollector": "acumen.telemetry.prometheus",
        "TracedChoice": "acumen.telemetry.opentelemetry",
        "traced": "acumen.telemetry.opentelemetry",
    },
)
