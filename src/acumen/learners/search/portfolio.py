"""For now."""

from acumen.learners.search.evolution import RegularizedEvolution as Portfolio

__all__ = ["Portfolio"]
