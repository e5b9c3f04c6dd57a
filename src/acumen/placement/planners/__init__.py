"""Planners, one a file; each is a `acumen.placement.plan.Planner`."""
