"""What is raised where there is no plan: by itself, as pins are read before there is a task."""

from __future__ import annotations


class PlanError(ValueError):
    """There is no plan, or one cannot be used; the message is one line for a person."""
