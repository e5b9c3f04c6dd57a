"""Forgetting: a choice gives its lessons up, because the world that taught them is over.

A learner explores where it knows little. Whoever forgets explores again, as much as at the
beginning, and less as new lessons come: no rule of exploration has to be touched. What a journal
keeps of it is an `objective` event, since that is when models learn anew; a replay forgets at the
same place, and ends with the same bits.

The comparison begins anew, as it does with another objective. It is there to say whether the policy
that serves is better than the default. What was compared so far was another policy, and mostly in
another world: to it the new one would owe its verdict, for as long as the past is longer than what
came since. Decisions that are kept for learning are none of the new policy's either.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from acumen.core import snapshot

if TYPE_CHECKING:
    from acumen.core.choice import Choice

_KEY = "forget"


def forget(
    choice: Choice, *, keep: int = 0, reason: str = "", began_s: float | None = None
) -> None:
    """Forgets what was learned, but for the feedback of the latest decisions.

    Scales and mode stay; the comparison begins anew with the next decision. As other learning anew
    it takes milliseconds, and other threads are served the default meanwhile.

    Args:
        choice: which.
        keep: so many of the latest decisions teach the model anew, as far as `pending_max` reaches.
        reason: for the journal.
        began_s: when the drift began that is the reason, in seconds since 1970, or a little
            earlier: a trainer, who hears of it from several processes, forgets once. None: it is no
            drift, and whatever others have said, this is done.

    Raises:
        ValueError: `keep` is negative, or `began_s` no time.
    """
    if began_s is not None and not math.isfinite(began_s):
        raise ValueError(f"began_s must be seconds since 1970, not {began_s}")
    if keep < 0:
        raise ValueError(f"keep must be 0 or more decisions, not {keep}")
    drift = {} if began_s is None else {"began_s": float(began_s)}
    said = {_KEY: {"keep": int(keep), "reason": reason} | drift}
    with snapshot.model_lock:  # no model takes this one's place meanwhile
        choice._forgotten += 1  # before the comparison is: who reads both, reads this one last
        choice._relearn(int(keep), json.dumps(said))
        if choice._writer is not None:
            choice._forgot_at = choice._writer.sequence


def is_forgetting(said: Any) -> bool:
    """Whether an `objective` event says that lessons were forgotten."""
    return isinstance(said, dict) and _KEY in said


def forget_again(choice: Choice, said: Any) -> None:
    """Does what such an event says; the journal has it already.

    Raises:
        ValueError, AttributeError: it makes no sense.
    """
    choice._relearn(kept(said))


def began_in(said: Any) -> float:
    """When the drift began that such an event is about; infinite where it is about none.

    Raises:
        ValueError, TypeError, AttributeError: it makes no sense.
    """
    began_s = float(said[_KEY].get("began_s", math.inf))
    if math.isnan(began_s):
        raise ValueError("a drift that began at no time")
    return began_s


def kept(said: Any) -> int:
    """How many decisions such an event keeps.

    Raises:
        ValueError, AttributeError: it makes no sense.
    """
    keep = said[_KEY].get("keep", 0)
    if not isinstance(keep, int) or not 0 <= keep < 1 << 64:
        raise ValueError(f"{keep!r} is no number of decisions to keep")
    return keep
