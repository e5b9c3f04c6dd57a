"""PyTorch writes down every fake tensor for whoever collects logs, which pytest does."""

from __future__ import annotations

import logging

logging.getLogger("torch.__trace").propagate = False

# Not a test, but looked at for examples in docstrings.
collect_ignore = ["running_models.py"]
