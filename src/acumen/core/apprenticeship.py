"""Learning from a log of the default, before the first decision: what it did, what came of it."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

from acumen.core import journaling
from acumen.core.journal import Journal, open_journal
from acumen.core.replay import ReplayReport

if TYPE_CHECKING:
    import pyarrow as pa

    from acumen.core.choice import Choice

DEFAULTS = ("off", "shadow", "control", "holdback")  # reasons with which the default is in charge
_FRESH = ("id", "stream", "replica", "episode", "step")


def apprentice(choice: Choice, log: pa.Table | Journal | str | os.PathLike[str]) -> ReplayReport:
    """Teaches a choice what its default did, from decisions that were logged without learning.

    `Choice.replay` makes a model again as it was; in mode ``off`` there was none, and nothing was
    learned. Here the default's decisions are lessons whatever the mode: for
    `acumen.learners.Apprentice` they are demonstrations, for other learners a warm start.

    Args:
        choice: has made no decision yet; its context and arms are those of the log.
        log: a journal, its directory (where it has one choice only, or one of this name), or a
            table like `Journal.decisions()`; of it, the decisions of the default count, in the
            order of their time: reasons ``off``, ``shadow``, ``control`` and ``holdback``, or all
            where no reasons are told.

    Returns:
        What was learned. (The model is not one that a process had: replays of what follows are
        not exact.)

    Raises:
        JournalError: there is no such log, or columns are missing.
        ValueError: the choice has made decisions already.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(log, pa.Table):
        table = log
    else:
        journal = open_journal(log)
        table = journal.decisions(choice.name if choice.name in journal.choices() else None)
    if "reason" in table.column_names:
        reason = table["reason"].cast(pa.utf8())
        table = table.filter(pc.is_in(reason, value_set=pa.array(DEFAULTS)))
        reason = table["reason"].cast(pa.utf8())
        # What was off is taught like what was a shadow: both times the default was certain.
        taught = pc.if_else(pc.equal(reason, "off"), "shadow", reason)
        table = table.set_column(table.column_names.index("reason"), "reason", taught)
    if "time" in table.column_names:
        table = table.sort_by("time")
    table = table.drop_columns([n for n in _FRESH if n in table.column_names])
    with tempfile.TemporaryDirectory() as folder:
        copy = Journal(folder)
        copy.append(table, choice)
        return journaling.replay_into(choice, copy, None)
