"""Which races there are: by looking, not by a list kept by hand.

A package of acumen that holds a module named `race` is a domain of that package's name; the entry
point group `acumen.races` adds those of other distributions. Nothing is imported to list names.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path

from acumen.evaluation.race import Race, RaceError

GROUP = "acumen.races"
# The module that defines the noun bears the noun's name, and is no race itself.
_THE_NOUN = "acumen.evaluation.race"


def find_races() -> dict[str, Callable[[], Race]]:
    """Domain names in alphabetical order, each with a function that loads its race.

    The functions raise ImportError or AttributeError where the module is at fault.
    """
    found: dict[str, Callable[[], Race]] = {}
    for point in entry_points(group=GROUP):
        found[point.name] = point.load
    # Acumen's own come last, so that no other distribution can take their names.
    package = importlib.import_module("acumen")
    for module in _race_modules(list(package.__path__), "acumen"):
        found[module.split(".")[-2]] = _loader(module)
    return dict(sorted(found.items()))


def load_race(domain: str) -> Race:
    """The race of this name.

    Raises:
        RaceError: there is none; the message suggests the nearest names.
    """
    races = find_races()
    if domain in races:
        try:
            return races[domain]()
        except Exception as error:
            raise RaceError(f"the race {domain!r} cannot be loaded: {error}") from error
    near = difflib.get_close_matches(domain, races, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(races)}."
    raise RaceError(f"there is no race named {domain!r}. {hint}")


def _loader(module: str) -> Callable[[], Race]:
    def load() -> Race:
        race: Race = importlib.import_module(module).RACE
        return race

    return load


def _race_modules(paths: list[str], package: str) -> Iterator[str]:
    for found in pkgutil.iter_modules(paths):
        name = f"{package}.{found.name}"
        if found.ispkg:
            yield from _race_modules([str(Path(path) / found.name) for path in paths], name)
        elif found.name == "race" and name != _THE_NOUN:
            yield name
