"""Planners, one file each: functions that yield plans, as `acumen.placement.plan` describes."""
