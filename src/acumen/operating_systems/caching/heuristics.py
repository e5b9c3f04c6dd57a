"""The rivals: eviction policies of the libcachesim wheel, with their authors' parameters.

The wheel is optional (`pip install 'acumen[race]'`) and imported here only, when first needed.
Without it Acumen's own simulator still runs LRU and FIFO. Belady's optimum, the bound, always
comes from Acumen's simulator; the tests hold it against libcachesim's.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from acumen import _native
from acumen.evaluation import BrokenError, Contender, Measurement
from acumen.operating_systems.caching.trace_files import Keys
from acumen.operating_systems.caching.workloads import Trace

_DEFAULT = "lru"
INSTALL = "pip install 'acumen[race]'"
# Three rivals toss coins that nobody outside can seed; so many runs give their interval.
_RANDOM_RUNS = 5
_BY_OBJECTS = (("objective", "object-miss-ratio"),)


@dataclass(frozen=True, slots=True)
class Rival:
    """One policy of libcachesim: its class there, and seconds per million requests, roughly.

    `usual` rivals run in every race, `quick` ones in a quick race too; the others run when they
    are asked for by name.
    """

    name: str
    class_name: str
    cost: float
    about: str
    parameters: tuple[tuple[str, Any], ...] = ()
    repeats: int = 1
    usual: bool = True
    quick: bool = False


RIVALS = (
    Rival("fifo", "FIFO", 0.03, "first in, first out", quick=True),
    Rival("lru", "LRU", 0.04, "least recently used", quick=True),
    Rival("clock", "Clock", 0.04, "one reference bit (Corbato 1968)"),
    Rival("sieve", "Sieve", 0.04, "lazy promotion, quick demotion (NSDI 2024)", quick=True),
    Rival("arc", "ARC", 0.06, "adaptive replacement cache (FAST 2003)", quick=True),
    Rival("2q", "TwoQ", 0.06, "two queues (VLDB 1994)", quick=True),
    Rival("s3fifo", "S3FIFO", 0.07, "three static FIFO queues (SOSP 2023)", quick=True),
    Rival("clock2qplus", "Clock2QPlus", 0.08, "2Q with a correlation window", quick=True),
    Rival("lirs", "LIRS", 0.12, "inter-reference recency (SIGMETRICS 2002)", quick=True),
    Rival("wtinylfu", "WTinyLFU", 0.12, "windowed TinyLFU (TOS 2017)", quick=True),
    Rival("gdsf", "GDSF", 0.35, "greedy dual, size and frequency (1998)"),
    Rival("lecar", "LeCaR", 0.2, "regret over LRU and LFU (HotStorage 2018)", repeats=_RANDOM_RUNS),
    Rival("lhd", "LHD", 0.4, "least hit density (NSDI 2018)", repeats=_RANDOM_RUNS),
    Rival("cacheus", "Cacheus", 0.5, "learned mixture (FAST 2021)", (), _RANDOM_RUNS, quick=True),
    Rival("3lcache", "ThreeLCache", 2.0, "learned, trees (FAST 2025)", _BY_OBJECTS, quick=True),
    Rival("lrb", "LRB", 25.0, "learned relaxed Belady (NSDI 2020)", _BY_OBJECTS, usual=False),
)


def heuristic_contenders(quick: bool, only: Sequence[str]) -> list[Contender]:
    """The rivals that are installed: libcachesim's, else Acumen's own LRU and FIFO."""
    if not is_installed():
        return [
            _contender("fifo", "first in, first out", 0.03, _measure_own_fifo),
            _contender("lru", "least recently used", 0.03, _measure_own_lru),
        ]
    return [
        _contender(
            rival.name,
            rival.about,
            rival.cost,
            functools.partial(measure_rival, rival),
            repeats=rival.repeats,
        )
        for rival in _rivals(quick, only)
    ]


def missing_rivals(quick: bool, only: Sequence[str]) -> str:
    """One line about the rivals that do not run, or nothing: a smaller field is easier to lead."""
    if not is_installed():
        return f"Only LRU and FIFO are here to race against. For the other rivals: {INSTALL}"
    here = {rival.name for rival in _rivals(quick, only) if not only or rival.name in only}
    here.add(_DEFAULT)
    absent = [rival.name for rival in RIVALS if rival.name not in here]
    if not absent:
        return ""
    return (
        f"Raced against {len(here)} of {len(RIVALS)} rivals; left out: {', '.join(absent)}"
        " (--contender NAME runs one)"
    )


def _rivals(quick: bool, only: Sequence[str]) -> list[Rival]:
    return [
        rival
        for rival in RIVALS
        if rival.name in only or (rival.usual and (rival.quick or not quick))
    ]


def bound_contender() -> Contender:
    """Belady's optimum: evicts what is requested again last. It must admit every miss."""
    return Contender(
        name="belady",
        kind="bound",
        measure=measure_belady,
        cost=0.2,
        about="the optimum that knows the future and admits every miss (Belady 1966)",
    )


@functools.cache
def is_installed() -> bool:
    """Whether libcachesim can be imported."""
    try:
        import libcachesim  # noqa: F401
    except ImportError:
        return False
    return True


def measure_rival(rival: Rival, trace: Trace, fraction: float, seed: int) -> Measurement:
    """One pass of a libcachesim policy over the trace; every object counts one.

    libcachesim offers no way to seed its policies: `seed` only tells runs apart. It reads the
    trace, mapped, while the clock runs: its throughput is a little too low.

    Raises:
        BrokenError: libcachesim's W-TinyLFU below 100 objects: the window, 1 % of the cache,
            holds none there, so that nothing is ever admitted and every request misses.
    """
    import libcachesim

    del seed
    capacity = trace.capacity(fraction)
    if rival.name == "wtinylfu" and capacity < 100:
        raise BrokenError(f"its window holds no object in a cache of {capacity}")
    # A table of about four slots an object; the default, 2^24, costs 128 MiB for any cache.
    power = min(max(10, math.ceil(math.log2(capacity)) + 2), 28)
    cache = getattr(libcachesim, rival.class_name)(
        capacity, hashpower=power, **dict(rival.parameters)
    )
    # Ranks instead of keys: four bytes a request, and no key is 0 or 2^64 - 1.
    layout = libcachesim.ReaderInitParam(binary_fmt_str="<I", ignore_obj_size=True)
    layout.obj_id_field = 1
    reader = libcachesim.TraceReader(trace.ranks_path, libcachesim.TraceType.BIN_TRACE, layout)
    start = time.process_time()
    miss_ratio, _ = cache.process_trace(reader)
    elapsed = time.process_time() - start
    if rival.name == "wtinylfu" and miss_ratio == 1.0 and trace.requests > trace.distinct:
        raise BrokenError("it misses every request")
    return Measurement(float(miss_ratio), trace.requests, elapsed)


def measure_belady(trace: Trace, fraction: float, seed: int) -> Measurement:
    """Belady's optimum without bypass; `seed` does nothing."""
    del seed
    return _measure_own(_native.simulate_belady, trace, fraction)


def _measure_own_lru(trace: Trace, fraction: float, seed: int) -> Measurement:
    del seed
    return _measure_own(_native.simulate_lru, trace, fraction)


def _measure_own_fifo(trace: Trace, fraction: float, seed: int) -> Measurement:
    del seed
    return _measure_own(_native.simulate_fifo, trace, fraction)


def _measure_own(
    simulate: Callable[[Keys, int], int], trace: Trace, fraction: float
) -> Measurement:
    keys = trace.keys()
    start = time.process_time()
    misses = simulate(keys, trace.capacity(fraction))
    elapsed = time.process_time() - start
    return Measurement(misses / trace.requests, trace.requests, elapsed)


def _contender(
    name: str,
    about: str,
    cost: float,
    measure: Callable[[Any, float, int], Measurement],
    repeats: int = 1,
) -> Contender:
    return Contender(
        name=name,
        kind="heuristic",
        measure=measure,
        cost=cost,
        repeats=repeats,
        default=name == _DEFAULT,
        about=about,
    )
