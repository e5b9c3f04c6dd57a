"""Where a race's workloads are looked for."""

from __future__ import annotations

import os
from pathlib import Path

from acumen.evaluation.race import RaceError

VARIABLE = "ACUMEN_DATA"


def find_data(domain: str, given: Path | None) -> Path | None:
    """The folder of this domain's workloads, or None if there is none anywhere.

    In this order: `given`, a folder of workloads or of folders of them by domain; the same with
    the environment variable ACUMEN_DATA; `acumen/DOMAIN` in the user's cache directory, where
    downloads belong.

    Raises:
        RaceError: `given` or ACUMEN_DATA is not a folder.
    """
    for origin, named in (("--data", given), (VARIABLE, _from_environment())):
        if named is None:
            continue
        if not named.is_dir():
            raise RaceError(f"{origin}: there is no folder {named}")
        if (named / domain).is_dir():
            return named / domain
        if origin == "--data":
            return named
    cached = cache_directory() / domain
    return cached if cached.is_dir() else None


def _from_environment() -> Path | None:
    value = os.environ.get(VARIABLE)
    return Path(value) if value else None


def cache_directory() -> Path:
    """Acumen's folder in the user's cache directory, which need not exist yet."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "acumen"
