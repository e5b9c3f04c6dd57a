"""Files and pickles of point indexes: what comes back, and what is refused."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pyarrow as pa
import pytest

from acumen.index import PointIndex
from acumen.index.point import FILE_KIND
from acumen.index.point_structures import Builder
from acumen.index.storage import IndexFileError, load_arrays, save_arrays

random = np.random.default_rng(5)
SHUFFLED = random.permutation(np.unique(random.integers(0, 2**63, 6000, dtype=np.int64)))
REGULAR = random.permutation(np.arange(6000) * 1000 + random.integers(0, 99, 6000))
COLUMNS = {
    "sequence": (np.arange(50, 5000, 3), "speed"),
    "bitmap": (np.flatnonzero(random.random(9000) < 0.4), "speed"),
    "direct": (random.permutation(9000)[:6000].astype(np.int32), "speed"),
    "ranks": (np.sort(SHUFFLED), "memory"),
    "hash": (SHUFFLED, "speed"),
    "learned hash": (REGULAR, "speed"),
    "tags": (SHUFFLED.astype(np.float64), "memory"),
    "text": (pa.array([f"k{i * i}" for i in range(3000)]), "speed"),
    "times": (SHUFFLED.view("M8[us]"), "speed"),
}


STRUCTURES = {"times": "hash", "text": "tags"}


@pytest.fixture(autouse=True)
def the_first_is_the_fastest(monkeypatch):
    """Which structure a file has is to be no matter of the machine's."""
    monkeypatch.setattr(Builder, "_time", lambda _, *cores: list(range(1, len(cores) + 1)))


def same(a: PointIndex, b: PointIndex, keys) -> None:
    queries = keys if isinstance(keys, pa.Array) else np.concatenate([keys, keys])
    np.testing.assert_array_equal(a.get_indexer(queries), b.get_indexer(queries))
    assert (len(a), a.dtype, a.nbytes, repr(a)) == (len(b), b.dtype, b.nbytes, repr(b))
    assert a.explain() == b.explain()


@pytest.mark.parametrize("name", COLUMNS)
def test_what_was_saved_or_pickled_comes_back(name, tmp_path):
    keys, prefer = COLUMNS[name]
    index = PointIndex(keys, prefer=prefer)
    assert index.explain().structure == STRUCTURES.get(name, name)
    index.save(tmp_path / "index")
    same(PointIndex.load(tmp_path / "index", keys), index, keys)
    same(pickle.loads(pickle.dumps(index)), index, keys)
    if name in ("ranks", "tags", "text"):
        with pytest.raises(ValueError, match="the keys, which must be given"):
            PointIndex.load(tmp_path / "index")
    else:
        same(PointIndex.load(tmp_path / "index"), index, keys)


@pytest.mark.parametrize("name", COLUMNS)
def test_an_index_of_other_keys_is_noticed(name, tmp_path):
    keys, prefer = COLUMNS[name]
    PointIndex(keys, prefer=prefer).save(tmp_path / "index")
    values = keys.to_numpy(zero_copy_only=False) if isinstance(keys, pa.Array) else keys
    other = values.copy()
    other[[5, 1500]] = other[[1500, 5]]
    for wrong in (other, values[:-1], values[::-1]):
        with pytest.raises(IndexFileError, match=r"other keys|another number of keys"):
            PointIndex.load(tmp_path / "index", wrong)
    with pytest.raises(IndexFileError, match=r"an index of .*, not of uint8 keys"):
        PointIndex.load(tmp_path / "index", np.zeros(3, np.uint8))


def test_damaged_files_are_refused(tmp_path):
    keys = COLUMNS["hash"][0]
    path = tmp_path / "index"
    PointIndex(keys).save(path)
    good = path.read_bytes()
    for at in random.integers(0, len(good), 60):
        path.write_bytes(good[:at] + bytes([good[at] ^ 4]) + good[at + 1 :])
        with pytest.raises(IndexFileError):
            PointIndex.load(path, keys)
    for size in (0, 5, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:size])
        with pytest.raises(IndexFileError):
            PointIndex.load(path, keys)


def forged(path, change) -> None:
    """A file with good checksums whose contents were changed."""
    meta, arrays = load_arrays(path, FILE_KIND)
    meta = json.loads(json.dumps(meta))
    arrays = {name: array.copy() for name, array in arrays.items()}
    change(meta, arrays)
    save_arrays(path, FILE_KIND, meta, arrays)


def set_number(name, value):
    def change(meta, _):
        meta["numbers"][name] = value

    return change


def set_meta(name, value):
    def change(meta, _):
        meta[name] = value

    return change


def far_position(_, arrays):
    arrays["array"].view(np.uint32)[10] = 2**31


def no_array(_, arrays):
    del arrays["array"]


def short_array(_, arrays):
    arrays["array"] = arrays["array"][:64]


def falling_ranks(_, arrays):
    arrays["ranks"][1] = 2**31


FORGERIES = {
    "other kind": ("hash", set_meta("structure", "tags")),
    "no kind": ("hash", set_meta("structure", "heap")),
    "strings": ("hash", set_number("bytes", 1)),
    "rows": ("hash", set_number("rows", 17)),
    "negative": ("hash", set_number("rows", -1)),
    "too large": ("hash", set_number("seed", 2**64)),
    "no type": ("hash", set_number("type", 10)),
    "no family": ("hash", set_meta("family", "complex")),
    "no unit": ("hash", set_meta("unit", "parsec")),
    "no number": ("hash", set_meta("numbers", {})),
    "no explanation": ("hash", set_meta("explanation", {})),
    "position": ("hash", far_position),
    "no array": ("hash", no_array),
    "short array": ("hash", short_array),
    "grid": ("bitmap", set_number("count", 2**40)),
    "stride": ("sequence", set_number("stride", 2**63)),
    "direct": ("direct", set_number("count", 2**40)),
    "ranks": ("ranks", falling_ranks),
    "shift": ("ranks", set_number("shift", 64)),
    "span": ("learned hash", set_number("span", 2**63)),
    "text": ("text", set_number("bytes", 0)),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_forged_files_are_refused(forgery, tmp_path):
    name, change = FORGERIES[forgery]
    keys, prefer = COLUMNS[name]
    path = tmp_path / "index"
    PointIndex(keys, prefer=prefer).save(path)
    forged(path, change)
    with pytest.raises(IndexFileError):
        PointIndex.load(path, keys)


def test_an_index_of_another_structure_is_no_point_index(tmp_path):
    save_arrays(tmp_path / "other", "range", {}, {})
    with pytest.raises(IndexFileError, match="'range'"):
        PointIndex.load(tmp_path / "other")
    with pytest.raises(FileNotFoundError):
        PointIndex.load(tmp_path / "nothing")
