"""Flags of any program, and parameters of any function: tuned, and judged without being fooled.

`acumen tune` is the command; `tune_program` does the same from Python, `tunable` marks parameters
of a function. docs/tuning.md explains what is measured, and what a verdict means.
"""

from acumen.evaluation.programs.run import Limits
from acumen.evaluation.programs.verdict import Verdict
from acumen.flags.asking import make_goal, make_template, tune_program
from acumen.flags.goal import Goal, GoalError, Limit
from acumen.flags.program import Check, ProgramSubject
from acumen.flags.report import write_report
from acumen.flags.side_by_side import SideBySide
from acumen.flags.space_file import SpaceFile, load_space, shipped
from acumen.flags.subject import Measured, Subject, TuneError
from acumen.flags.template import Piece, Template, TemplateError, parse_command, parse_piece
from acumen.flags.tunable import Tunable, tunable
from acumen.flags.tuner import Budget, Progress, Tuned, Tuner

__all__ = [
    "Budget",
    "Check",
    "Goal",
    "GoalError",
    "Limit",
    "Limits",
    "Measured",
    "Piece",
    "ProgramSubject",
    "Progress",
    "SideBySide",
    "SpaceFile",
    "Subject",
    "Template",
    "TemplateError",
    "Tunable",
    "TuneError",
    "Tuned",
    "Tuner",
    "Verdict",
    "load_space",
    "make_goal",
    "make_template",
    "parse_command",
    "parse_piece",
    "shipped",
    "tunable",
    "tune_program",
    "write_report",
]
