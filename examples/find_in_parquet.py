"""An index over a sorted column of a Parquet file: look-ups and time ranges without a database.

python examples/find_in_parquet.py
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from acumen.index import RangeIndex

ROWS = 1_000_000


def write_log(path: Path) -> None:
    """A log of requests: busy by day, quiet by night, in order of time."""
    random = np.random.default_rng(1)
    hours = np.arange(24 * 7) % 24
    pause_s = np.where((hours > 6) & (hours < 22), 1, 8)
    pauses = random.exponential(pause_s, (ROWS // 168 + 1, 168)).T.ravel()[:ROWS]
    when = np.cumsum(pauses * 1e5).astype(np.int64)
    table = pa.table(
        {
            "when": pa.array(when + 1_700_000_000_000_000, pa.timestamp("us")),
            "milliseconds": random.gamma(2.0, 20.0, ROWS),
        }
    )
    pq.write_table(table, path)


def main() -> None:
    """Indexes the column, and asks it for minutes and moments."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.parquet"
        write_log(path)
        log = pq.read_table(path)

        when = log["when"].combine_chunks()
        index = RangeIndex(when)  # the column's own buffer; nothing is copied
        print(index)
        print(index.explain())

        start = when[ROWS // 2].as_py()
        minute = index.range(
            np.datetime64(start, "us"), np.datetime64(start, "us") + np.timedelta64(1, "m")
        )
        slowest = log["milliseconds"].to_numpy()[minute].max()
        print(
            f"{minute.stop - minute.start} requests within a minute, the slowest {slowest:.0f} ms"
        )

        moments = when.to_numpy()[np.random.default_rng(2).integers(0, ROWS, 100_000)]
        times = {}
        for name, look in (
            ("RangeIndex", index.searchsorted),
            ("NumPy", when.to_numpy().searchsorted),
        ):
            begin = time.perf_counter()
            found = look(moments)
            times[name] = (time.perf_counter() - begin) / len(moments) * 1e9
            assert (when.to_numpy()[found] == moments).all()
        print(", ".join(f"{name}: {each:.0f} ns a look-up" for name, each in times.items()))

        index.save(Path(folder) / "log.index")
        again = RangeIndex.load(Path(folder) / "log.index", when)
        assert (again.searchsorted(moments) == found).all()


if __name__ == "__main__":
    main()
