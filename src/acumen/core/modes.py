"""The modes of a choice, and switching between them with who and why on record."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from acumen.core.choice import Choice

MODES = ("off", "shadow", "canary", "on")


def set_mode(
    choice: Choice, mode: str, canary: float | None = None, *, why: str = "", by: str = ""
) -> None:
    """Switches atomically: every decision is wholly of the old mode or wholly of the new.

    Args:
        choice: what is switched.
        mode: ``off``, ``shadow``, ``canary`` or ``on``.
        canary: the learned share in canary mode; None leaves it.
        why: for the journal, which keeps every switch.
        by: the same: who did it.
    """
    share = choice._mode()[1] if canary is None else check_share("canary", canary)
    said = {name: text for name, text in (("why", why), ("by", by)) if text}
    choice._set_mode(code(mode), share, said)


def code(mode: str) -> int:
    """A mode as the native core takes it."""
    if mode not in MODES:
        raise ValueError(f"mode must be one of {MODES}, not {mode!r}")
    return MODES.index(mode)


def check_share(name: str, share: float) -> float:
    """ValueError for what is no share."""
    if not 0 <= share <= 1:
        raise ValueError(f"{name} must be a share between 0 and 1, not {share}")
    return float(share)
