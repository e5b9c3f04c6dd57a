"""What choices do, for the monitoring that is there already: Prometheus and OpenTelemetry.

`ChoiceCollector` (pip install 'acumen[prometheus]') reads counters when it is scraped; `traced`
(pip install 'acumen[opentelemetry]') makes spans of the decisions of those who ask for it. Neither
touches the path of a choice that does not use it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acumen.telemetry.opentelemetry import TracedChoice, traced
    from acumen.telemetry.prometheus import ChoiceCollector

__all__ = ["ChoiceCollector", "TracedChoice", "traced"]

_LAZY = {
    "ChoiceCollector": "acumen.telemetry.prometheus",
    "TracedChoice": "acumen.telemetry.opentelemetry",
    "traced": "acumen.telemetry.opentelemetry",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value
