"""Makes docs/images/watch.png: a choice under a real gate and a real drift detector, on the page.

A program compresses blocks of 64 kB before it sends them over a link of 25 MB/s. What it sends are
files of this machine: Python's own sources, shared libraries, and, after two thirds of the time,
mostly archives. The blocks are really compressed, and timed in CPU time; the link is computed.
Nobody but `acumen.Promotion` switches the mode, nobody but `acumen.DriftWatch` raises an alarm.

    python benchmarks/watch_picture.py --out docs/images/watch.png     # five minutes, and Chromium
"""

from __future__ import annotations

import argparse
import bz2
import collections
import contextlib
import math
import sys
import sysconfig
import tempfile
import threading
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import acumen
from acumen._native import REASONS
from acumen.watch.server import PageServer

sys.path.append(str(Path(__file__).parents[1] / "tests" / "watch"))
from browser import Browser

BLOCK = 64 << 10
LINK_BYTES_A_SECOND = 25e6
BLOCKS_A_KIND = 400
CODECS: dict[str, Callable[[bytes], bytes]] = {
    "none": lambda block: block,
    "zlib-1": lambda block: zlib.compress(block, 1),
    "zlib-6": lambda block: zlib.compress(block, 6),
    "bz2": lambda block: bz2.compress(block, 9),
}


def blocks_of(folder: Path, pattern: str) -> list[bytes]:
    """Blocks of files, in the order of their paths."""
    found: list[bytes] = []
    for path in sorted(folder.rglob(pattern)):
        contents = path.read_bytes()
        found += [contents[i : i + BLOCK] for i in range(0, len(contents), BLOCK)][:8]
        if len(found) >= BLOCKS_A_KIND:
            break
    return [block for block in found if len(block) > BLOCK // 8]


def traffic(seed: int, changed: Callable[[], bool]) -> Iterator[tuple[str, bytes]]:
    """Suffixes and blocks without end."""
    library = Path(sysconfig.get_path("stdlib"))
    sources = blocks_of(library, "*.py")
    kinds = {
        "py": sources,
        "so": blocks_of(Path(np.__file__).parent, "*.so"),
        "gz": [zlib.compress(b"".join(sources[i : i + 6]), 9)[:BLOCK] for i in range(len(sources))],
    }
    rng = np.random.default_rng(seed)
    while True:
        shares = [0.2, 0.1, 0.7] if changed() else [0.6, 0.3, 0.1]
        kind = str(rng.choice(list(kinds), p=shares))
        yield kind, kinds[kind][int(rng.integers(len(kinds[kind])))]


def entropy(block: bytes) -> float:
    """Bits a byte of the first 4 kB: 0 to 8."""
    part = block[:4096]
    counts = collections.Counter(part).values()
    return -sum(n / len(part) * math.log2(n / len(part)) for n in counts)


def make(folder: Path) -> acumen.Choice:
    """The choice, as the program declares it."""
    return acumen.Choice(
        "codec",
        list(CODECS),
        context={"size": float, "entropy": float, "kind": str},
        default="zlib-6",
        metric=acumen.minimize("milliseconds") + acumen.observe("bytes"),
        mode="shadow",
        holdback=0.1,
        seed=1,
        journal=folder,
    )


def work(codec: acumen.Choice, seconds: float, a_second: float) -> None:
    """Sends blocks, so many a second."""
    began = math.inf
    sent = traffic(1, lambda: time.monotonic() - began > seconds * 2 / 3)
    next(sent)  # reads the files
    began, number = time.monotonic(), 0
    while (now := time.monotonic() - began) < seconds:
        if number >= now * a_second:
            time.sleep(1 / a_second)
            continue
        number += 1
        kind, block = next(sent)
        decision = codec.choose(size=len(block), entropy=entropy(block), kind=kind)
        started = time.thread_time()
        left = len(CODECS[decision.arm](block))
        took = time.thread_time() - started + left / LINK_BYTES_A_SECOND
        decision.feedback(milliseconds=1e3 * took, bytes=left)


@contextlib.contextmanager
def page(folder: Path) -> Iterator[str]:
    """The page, which follows the journal while it is written; its address."""
    server = PageServer(folder)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server.url
    finally:
        server.stop()
        thread.join()


def picture(url: str, decisions: int, out: Path) -> None:
    """The page, as a browser shows it when all decisions are there."""
    with tempfile.TemporaryDirectory() as profile, Browser(Path(profile)) as browser:
        browser.look(1280, 900)
        browser.open(url)
        browser.wait_for("document.body?.dataset.drawn === 'codec'")
        browser.wait_for(
            "document.querySelector('.tile:nth-child(3) .note').textContent"
            f".startsWith('{decisions:,} in all')"
        )
        browser.screenshot(out)
        assert browser.errors == [], browser.errors


def main() -> None:
    """Works, then looks."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=285.0)
    parser.add_argument("--blocks-a-second", type=float, default=60.0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # alarms are read on the page
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory) / "choices"
        codec = make(folder)
        assert codec.journal is not None
        gate = acumen.Promotion(
            codec, canary=(0.1, 0.5), probe=0.1, decisions=100, look_seconds=5.0
        )
        watch = acumen.DriftWatch(codec, on_context="warn", on_reward="explore", settle=500)
        with page(folder) as url:
            with gate, watch:
                work(codec, options.seconds, options.blocks_a_second)
            codec.journal.flush()
            counted = codec.counters()
            # Who was served the default because the choice was busy, is not in the journal.
            made = sum(counted[reason] for reason in REASONS if reason != "busy")
            picture(url, made, options.out)
        for transition in gate.status().transitions:
            print(transition)
        for alarm in watch.alarms:
            print(alarm.stream, alarm.kind, alarm.reaction, alarm.reason)
        print(codec.comparison())
        codec.journal.close()


if __name__ == "__main__":
    main()
