"""Decisions that compilers make by rules of thumb, as learned choices."""
