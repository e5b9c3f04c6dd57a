"""Choices made from what files say of them: models, and journals.

Descriptions are read, never run: names are looked up in `acumen.learners`, values are literals.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from acumen import learners
from acumen.core import Candidates, Choice, ModelError, Objective, Range, Schema, model_file
from acumen.core.journal_format import JournalError, JournalInfo
from acumen.core.objective import Term
from acumen.core.twin import types_of

_ERRORS = (KeyError, TypeError, ValueError, SyntaxError)


def choice_of_model(path: Path) -> Choice:
    """A choice with the learned policy of a model file, made from what the file says of it.

    Raises:
        ModelError: damaged, or of a choice that cannot be made from the file alone.
        OSError: it cannot be read.
    """
    header, _ = model_file.read(path)
    try:
        arms = [ast.literal_eval(arm) for arm in header["arms"]]
        choice = Choice(
            header["choice"],
            arms,
            context=types_of(Schema.parse(header["schema"])),
            default=arms[0],
            metric=Objective(tuple(Term(**_keywords(t, "Term")[1]) for t in header["objective"])),
            learner=_learner(header["learner"]),
        )
        choice.load(path)
    except _ERRORS as error:
        raise ModelError(
            f"{path}: its choice cannot be made from the file alone; "
            f"name it as MODULE:NAME ({error})"
        ) from None
    return choice


def choice_of_journal(info: JournalInfo, pending_max: int | None = None) -> Choice:
    """A choice like the one that a journal speaks of, which has learned nothing.

    Args:
        info: what a segment says of itself.
        pending_max: decisions it keeps; None: as many as the journal's.

    Raises:
        JournalError: it cannot be made from the journal alone: arms that are no literals, or a
            learner that is not of `acumen.learners`.
    """
    try:
        arms, default = _arms(info)
        return Choice(
            info.choice,
            arms,
            context=types_of(Schema.parse(info.schema)),
            default=default,
            metric=Objective.from_description(info.objective),
            learner=_learner(info.settings["learner"]),
            pending_max=pending_max or int(info.settings["pending_max"]),
            timeout_reward=info.settings.get("timeout_reward"),
        )
    except _ERRORS as error:
        raise JournalError(
            f"choice {info.choice!r} cannot be made from its journal alone ({error}); let one of "
            "its processes train: acumen.follow(choice, train=True)"
        ) from None


def _arms(info: JournalInfo) -> tuple[Any, Any]:
    if info.features:
        return Candidates(info.features, int(info.settings.get("most", 256))), 0
    arms = [ast.literal_eval(arm) for arm in info.arms]
    if "range" not in info.settings:
        return arms, arms[0]
    declared = Range(**info.settings["range"])
    # A default that is no point of the grid is one all the same.
    extra = set(arms) - set(declared.values())
    return declared, extra.pop() if extra else arms[0]


def _keywords(text: str, name: str | None = None) -> tuple[str, dict[str, Any]]:
    """Reads `Name(key=number, …)`, as dataclasses print themselves; runs nothing."""
    call = ast.parse(text, mode="eval").body
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and not call.args):
        raise ValueError(f"{text!r} names nothing")
    if name is not None and call.func.id != name:
        raise ValueError(f"{text!r} is no {name}")
    values = {k.arg: _value(k.value) for k in call.keywords if k.arg is not None}
    return call.func.id, values


def _value(node: ast.expr) -> Any:
    sign = 1.0
    inner = node
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        sign, inner = -1.0, node.operand
    if isinstance(inner, ast.Name) and inner.id == "inf":
        return sign * float("inf")
    return ast.literal_eval(node)


def _learner(text: str) -> Any:
    name, values = _keywords(text)
    if name not in learners.__all__:
        raise ValueError(f"no learner {name!r} in acumen.learners")
    return getattr(learners, name)(**values)
