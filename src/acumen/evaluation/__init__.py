"""Measures learned choices: the noun `Race`, the runner, statistics and the report."""

from acumen.evaluation.data import cache_directory, find_data
from acumen.evaluation.race import (
    Ask,
    BrokenError,
    Contender,
    Measurement,
    Metric,
    Prepared,
    Race,
    RaceError,
    Row,
    Setting,
    Workload,
    WorkloadError,
)
from acumen.evaluation.results import Result, describe_machine, write_atomically
from acumen.evaluation.runner import run, select_contenders

__all__ = [
    "Ask",
    "BrokenError",
    "Contender",
    "Measurement",
    "Metric",
    "Prepared",
    "Race",
    "RaceError",
    "Result",
    "Row",
    "Setting",
    "Workload",
    "WorkloadError",
    "cache_directory",
    "describe_machine",
    "find_data",
    "run",
    "select_contenders",
    "write_atomically",
]
