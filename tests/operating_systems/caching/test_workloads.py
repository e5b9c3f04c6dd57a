from __future__ import annotations

import gzip
import io
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acumen.evaluation import Ask, WorkloadError
from acumen.operating_systems.caching import csv_traces, race, trace_files, workloads
from acumen.operating_systems.caching.workloads import is_trace, lay_out, read_trace, trace_name

KEYS = np.array([7, 2**63 + 5, 7, 0, 2**64 - 1, 9], np.uint64)


def read(path: Path) -> npt.NDArray[np.uint64]:
    return np.concatenate(list(read_trace(path)))


def oracle(keys: npt.NDArray[np.uint64]) -> bytes:
    records = np.zeros(len(keys), trace_files._ORACLE)
    records["key"], records["next"] = keys, -1
    records["next"][0] = 2
    return records.tobytes()


def zstd(data: bytes) -> bytes:
    return bytes(pa.compress(data, codec="zstd", asbytes=True))


def parquet(keys: npt.NDArray[Any] | list[Any], name: str = "key", **columns: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({name: keys, **columns}), sink)
    return sink.getvalue()


def npy(array: npt.NDArray[Any]) -> bytes:
    sink = io.BytesIO()
    np.save(sink, array)
    return sink.getvalue()


def csv(keys: npt.NDArray[np.uint64]) -> bytes:
    return "".join(f"{time},{key},1\n" for time, key in enumerate(keys)).encode()


GOOD: dict[str, Callable[[npt.NDArray[np.uint64]], bytes]] = {
    "t.parquet": parquet,
    "t.oracleGeneral": oracle,
    "t.oracleGeneral.bin": oracle,
    "t.oracleGeneral.zst": lambda keys: zstd(oracle(keys)),
    "t.oracleGeneral.bin.zst": lambda keys: zstd(oracle(keys)),
    "t.zst": lambda keys: zstd(oracle(keys)),
    "t.npy": npy,
    "t.csv": csv,
    "t.csv.zst": lambda keys: zstd(csv(keys)),
    "t.csv.gz": lambda keys: gzip.compress(csv(keys)),
}


@pytest.mark.parametrize("name", GOOD)
def test_every_format_gives_the_same_keys(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(GOOD[name](KEYS))
    assert read(path).tolist() == KEYS.tolist()
    assert read(path).dtype == np.uint64
    assert trace_name(path) == "t"
    assert is_trace(path)


@pytest.mark.parametrize("name", GOOD)
def test_batches_do_not_change_what_is_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = np.random.default_rng(3).integers(0, 50, 1000).astype(np.uint64)
    path = tmp_path / name
    path.write_bytes(GOOD[name](keys))
    for module in (workloads, trace_files):
        monkeypatch.setattr(module, "BATCH", 7)
    monkeypatch.setattr(csv_traces, "_BLOCK_BYTES", 64)
    assert len(list(read_trace(path))) > 10
    trace = lay_out(read_trace(path), tmp_path)
    assert trace.keys().tolist() == keys.tolist()
    ranks = np.fromfile(trace.ranks_path, np.uint32)
    assert ranks.tolist() == (np.unique(keys, return_inverse=True)[1] + 1).tolist()
    assert (trace.requests, trace.distinct) == (1000, 50)


CSV_LAYOUTS = {
    "one column": "5\n6\n5\n",
    "one column with a header": "anything\n5\n6\n5\n",
    "time, key": "0,5\n3,6\n3,5\n",
    "key, size": "5,1\n6,9\n5,2\n",
    "key, size, falling": "9,1\n5,9\n9,2\n",
    "time, key, size": "0,5,1\n1,6,1\n2,5,1\n",
    "names in any order": "size,obj_id,time\n1,5,0\n1,6,1\n1,5,2\n",
    "commented header": "# Time; Object ID; size\n0;5;1\n1;6;1\n2;5;1\n",
    "tabs": "0\t5\t1\n1\t6\t1\n2\t5\t1\n",
    "spaces": "0 5 1\n1 6 1\n2 5 1\n",
    "no newline at the end": "5\n6\n5",
    "windows": "key\r\n5\r\n6\r\n5\r\n",
    "byte order mark": "\ufeff5\n6\n5\n",
    "byte order mark and time": "\ufeff0,5\n3,6\n3,5\n",
    "byte order mark and a header": "\ufeffkey\n5\n6\n5\n",
    "empty lines above": "\n\n5\n6\n5\n",
    "empty lines above a header": "\n \nkey\n5\n6\n5\n",
    "empty lines above words": "\n\ntime,key\n0,5\n1,6\n2,5\n",
    "empty lines below a header": "\nkey\n\n5\n6\n5\n",
    "old Macintosh": "\r\rkey\r5\r6\r5\r",
    "msr": "1,h,0,Read,20480,4096,7\n2,h,0,Write,24576,1,7\n3,h,0,Read,20481,9,7\n",
}


@pytest.mark.parametrize("layout", CSV_LAYOUTS)
def test_csv_layouts(layout: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(CSV_LAYOUTS[layout], encoding="utf-8", newline="")
    expected = [9, 5, 9] if "falling" in layout else [5, 6, 5]
    assert read(path).tolist() == expected


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        ("time, key", "CSV without a header: the key is column 2 of 2"),
        ("key, size, falling", "CSV without a header: the key is column 1 of 2"),
        ("names in any order", "CSV with a header: the key is column 2 of 3"),
        ("msr", "CSV without a header: the key is column 5 of 7, in blocks of 4096 bytes"),
    ],
)
def test_a_guess_is_said(layout: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(CSV_LAYOUTS[layout])
    assert race.prepare_file(path, None, tmp_path).detail.endswith(f"({said})")
    (tmp_path / "t.parquet").write_bytes(parquet([1, 2]))
    assert "column" not in race.prepare_file(tmp_path / "t.parquet", None, tmp_path).detail


def test_keys_may_be_words_or_negative(tmp_path: Path) -> None:
    words = tmp_path / "t.csv"
    words.write_text("0,user:1,3\n1,user:2,3\n2,user:1,3\n")
    first, second, third = read(words).tolist()
    assert first == third != second
    other = tmp_path / "t.parquet"
    other.write_bytes(parquet(["user:1", "user:2", "user:1"]))
    assert read(other).tolist() == [first, second, third]
    other.write_bytes(parquet([-1, 3]))
    assert read(other).tolist() == [2**64 - 1, 3]
    words.write_text("key\n-1\n3\n")
    assert read(words).tolist() == [2**64 - 1, 3]


def bad_next() -> bytes:
    records = np.zeros(4, trace_files._ORACLE)
    records["next"] = [1, 2, 0, -1]
    return records.tobytes()


BAD: dict[str, tuple[str, bytes, str]] = {
    "empty": ("t.csv", b"", "is empty"),
    "empty parquet file": ("t.parquet", b"", "is empty"),
    "no rows": ("t.parquet", parquet([]), "holds no requests|keys are null"),
    "no key column": ("t.parquet", parquet([1], name="other"), "no column `key`.*other"),
    "null keys": ("t.parquet", parquet([1, None]), "without a key"),
    "float keys": ("t.parquet", parquet([1.5]), "keys are double"),
    "not parquet": ("t.parquet", b"hello world, this is text", "cannot be read"),
    "truncated parquet": ("t.parquet", parquet(list(range(999)))[:-50], "cannot be read"),
    "cut record": ("t.oracleGeneral", oracle(KEYS)[:-5], "middle of a record: 19 bytes"),
    "past request": ("t.oracleGeneral", bad_next(), "record 2 names 0"),
    "text as records": ("t.bin", b"not a trace at all, sorry" * 24, "not oracleGeneral"),
    "cut zstd": ("t.oracleGeneral.zst", zstd(oracle(KEYS))[:-9], "cannot be read|middle"),
    "not zstd": ("t.oracleGeneral.zst", b"hello" * 20, "cannot be read"),
    "cut gzip": ("t.csv.gz", gzip.compress(b"1\n2\n" * 999)[:-12], "cannot be read"),
    "matrix": ("t.npy", npy(np.zeros((3, 3), np.int64)), "2 dimensions"),
    "scalar": ("t.npy", npy(np.int64(3)), "0 dimensions"),
    "floats": ("t.npy", npy(np.zeros(3)), "keys are integers"),
    "fields": ("t.npy", npy(np.zeros(3, [("a", "u8")])), "no field `key`"),
    "objects": ("t.npy", npy(np.array([1, "x"], object)), "cannot be read"),
    "cut npy": ("t.npy", npy(KEYS)[:-9], "cannot be read"),
    "huge npy": ("t.npy", npy(KEYS).replace(b"(6,)", b"(9,)"), "cannot be read"),
    "bad cell": ("t.csv", b"key\n" + b"1\n" * 20000 + b"x7\n", "cannot be read.*x7"),
    "missing cell": ("t.csv", b"0,1,1\n0,,1\n", "without a key|cannot be read"),
    "ragged": ("t.csv", b"0,1,1\n0,2\n", "cannot be read.*Expected 3"),
    "header only": ("t.csv", b"time,key\n", "no requests, only a header|text"),
    "other columns": ("t.csv", b"policy,score\nlru,3\n", "no column is named `key`"),
    "prose": ("t.csv", b"dear reader\nthis is a letter\nyours\n", "."),
    "binary csv": ("t.csv", b"\x00\x01" * 99, "not text"),
    "unknown": ("t.pdf", b"%PDF", "no known format"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_give_one_line(case: str, tmp_path: Path) -> None:
    name, data, message = BAD[case]
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(WorkloadError, match=message) as caught:
        lay_out(read_trace(path), tmp_path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_missing_files_and_folders_give_one_line(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="no such file"):
        read(tmp_path / "absent.csv")
    with pytest.raises(WorkloadError, match="is a folder"):
        read(tmp_path)


def read_or_refuse(path: Path) -> None:
    refusal = ""
    try:
        trace = lay_out(read_trace(path), path.parent)
        assert 0 < trace.distinct <= trace.requests
    except WorkloadError as error:
        refusal = str(error)
    assert "\n" not in refusal


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), name=st.sampled_from(sorted(GOOD)))
def test_damaged_files_are_read_or_refused_never_more(
    data: st.DataObject, name: str, tmp_path: Path
) -> None:
    content = bytearray(GOOD[name](np.arange(100, dtype=np.uint64)))
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(0, len(content))) :]
    path = tmp_path / name
    path.write_bytes(bytes(content))
    read_or_refuse(path)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300), name=st.sampled_from(sorted(GOOD)))
def test_any_bytes_are_read_or_refused(content: bytes, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    read_or_refuse(path)


def test_damage_is_noticed_where_the_file_has_checksums(tmp_path: Path) -> None:
    keys = np.random.default_rng(1).integers(0, 2**62, 1000)
    sink = io.BytesIO()
    pq.write_table(
        pa.table({"key": keys}),
        sink,
        write_page_checksum=True,
        compression="none",
        use_dictionary=False,
    )
    content = bytearray(sink.getvalue())
    content[4000] ^= 1
    path = tmp_path / "t.parquet"
    path.write_bytes(content)
    with pytest.raises(WorkloadError, match=r"cannot be read: .*(?i:crc|checksum)"):
        read(path)


def test_a_limit_reads_only_the_beginning(tmp_path: Path) -> None:
    batches = (np.full(10, n, np.uint64) for n in itertools.count())
    trace = lay_out(batches, tmp_path, limit=25)
    assert (trace.requests, trace.distinct) == (25, 3)
    assert trace.keys()[-5:].tolist() == [2] * 5


def test_tables_of_results_are_no_traces(tmp_path: Path) -> None:
    table = tmp_path / "rivals.csv"
    table.write_text("trace,cache_size_fraction,policy,request_miss_ratio\nw,0.1,LRU,0.5\n")
    assert not is_trace(table)
    for name in (".hidden.csv", "README.md", "folder.csv/x"):
        assert not is_trace(tmp_path / name)


def test_prose_in_a_folder_is_no_trace(tmp_path: Path) -> None:
    readme = tmp_path / "README.txt"
    for prose in (
        "These are the traces of 2024.\nThey have 3 columns.\n\nAsk me.\n",
        "Traces\n======\n",
        "one line",
    ):
        readme.write_text(prose)
        assert not is_trace(readme)
    for trace in (
        "5\n6\n5\n",
        "key\na\nb\n",
        "0 5 1\n1 6 1\n",
        "",
        "\0",
        "0,a\n1,b\n2\n" + "3,c\n" * 9,
    ):
        readme.write_text(trace)
        assert is_trace(readme)
    (tmp_path / "damaged.txt.zst").write_bytes(b"no zstd")
    assert is_trace(tmp_path / "damaged.txt.zst")


def test_one_file_under_two_names_is_one_workload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("key\n1\n")
    Path("link.csv").symlink_to("a.csv")
    Path("b").mkdir()
    Path("b/a.csv").write_text("key\n1\n")
    files = ("a.csv", "./b/../a.csv", tmp_path / "a.csv", "link.csv", "b/a.csv")
    found = race.RACE.workloads(Ask(files=tuple(map(Path, files))))
    assert [workload.name for workload in found] == ["a", "a-2"]
