"""Which codec for which piece of data? Learned while the program runs, from what it measures.

Packs pieces of real files (Python's own library, its compiled form, and this interpreter) for a
link of 20 MB/s. What counts is the time until a piece has arrived: packing plus sending.

    python examples/choose_codec.py
"""

import bz2
import lzma
import math
import random
import sys
import sysconfig
import time
import zlib
from pathlib import Path

import acumen

LINK_BYTES_PER_SECOND = 20e6
PIECE_BYTES = 4_096
CODECS = {
    "none": lambda data: data,
    "zlib-1": lambda data: zlib.compress(data, 1),
    "zlib-6": lambda data: zlib.compress(data, 6),
    "bz2": bz2.compress,
}


def entropy(data: bytes) -> float:
    """Bits a byte, from a sample of 1,024 bytes: cheap enough to look at before choosing."""
    sample = data[:: max(1, len(data) // 1024)]
    counts = [sample.count(byte) for byte in set(sample)]
    return -sum(n / len(sample) * math.log2(n / len(sample)) for n in counts)


def pieces() -> list[tuple[str, bytes]]:
    """Pieces of real files with their kind, in a random but repeatable order."""
    library = Path(sysconfig.get_path("stdlib"))
    found = sorted([*library.glob("*.py"), *library.glob("__pycache__/*.pyc")])
    files = [*found[::3], Path(sys.executable)]
    result = []
    for path in files:
        data = path.read_bytes()[: 16 * PIECE_BYTES]
        result += [
            (path.suffix, data[i : i + PIECE_BYTES]) for i in range(0, len(data), PIECE_BYTES)
        ]
        # The same data as an archive would hold it: packing it again is time lost.
        result.append((".xz", lzma.compress(data, preset=0)[:PIECE_BYTES]))
    random.Random(1).shuffle(result)
    return result


def main() -> None:
    """Packs every piece once, by choice, and says what was gained."""
    codec = acumen.Choice(
        "codec",
        arms=list(CODECS),
        context={"size": float, "entropy": float, "kind": str},
        default="zlib-6",  # what the program does today
        metric=acumen.minimize("seconds", log=True),
        holdback=0.2,  # a short run: give the comparison enough to see
        seed=1,
    )
    for kind, data in pieces():
        decision = codec.choose(size=len(data), entropy=entropy(data), kind=kind)
        start = time.perf_counter()
        packed = CODECS[decision.arm](data)
        seconds = time.perf_counter() - start + len(packed) / LINK_BYTES_PER_SECOND
        decision.feedback(seconds=seconds)

    comparison = codec.comparison()
    print(comparison)
    ratio = math.exp(comparison.difference)  # of geometric means, since the metric counts ratios
    print(f"a piece arrives {ratio:.2f} times as fast as with zlib-6")
    for kind in (".py", ".pyc", ".xz"):
        sample = next(data for other, data in pieces() if other == kind)
        arms = [
            codec.choose(size=len(sample), entropy=entropy(sample), kind=kind).arm
            for _ in range(200)
        ]
        print(f"{kind:>5}: mostly {max(set(arms), key=arms.count)}")


if __name__ == "__main__":
    main()
