"""Another choice of the same kind, and what makes two choices of one kind."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from acumen.core.context import Category, Schema

if TYPE_CHECKING:
    from acumen.core.choice import Choice
    from acumen.core.journal_format import JournalInfo


def twin(choice: Choice, pending_max: int | None = None) -> Choice:
    """A choice of the same arms, context, objective and learner, which has learned nothing.

    It has no journal and no time-outs of its own: it is for who replays.

    Args:
        choice: what it is to be like.
        pending_max: decisions it keeps; None: as many as `choice`.
    """
    arms = choice._arms
    settings = choice._settings
    return type(choice)(
        choice.name,
        arms.arms if arms.declared is None else arms.declared,
        context=types_of(choice.schema),
        default=arms.heuristic or arms.arms[arms.default_index],
        metric=choice.objective,
        learner=choice._learner_spec,
        pending_max=pending_max or settings["pending_max"],
        timeout_reward=settings["timeout_reward"],
    )


def types_of(schema: Schema) -> dict[str, object]:
    """A schema's fields as the types that declare them."""
    kinds: list[Any] = [float, bool]
    types: dict[str, object] = {}
    for field in schema.fields:
        if field.buckets:
            types[field.name] = Category(field.buckets, field.optional)
        else:
            kind = kinds[field.kind]
            types[field.name] = kind | None if field.optional else kind
    return types


def kind_of(info: JournalInfo) -> str:
    """Names the kind of a choice: models of one kind fit all choices of that kind, and no others.

    During a rolling upgrade two kinds are about, and they do not get into each other's way.
    """
    settings = [info.settings.get(name) for name in ("learner", "timeout_reward", "range")]
    said = [info.schema, info.arms, info.features, info.metrics, *settings]
    text = json.dumps(said, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
