"""Command-line flags of any program, tuned and judged honestly."""
