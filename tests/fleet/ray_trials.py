"""A search on a cluster of one machine, whose workers are killed; run by test_cluster.py.

    unshare --net --map-root-user python ray_trials.py FOLDER

The network has only loopback; see ray_scenario.py. The last line says what was seen.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from ray_alone import loopback_up, token_for_ray


def main(folder: Path) -> None:
    loopback_up()
    token_for_ray(folder)
    import ray

    import acumen
    from acumen import fleet
    from acumen.learners.search import Integer, Search, Space

    ray.init(
        num_cpus=2,
        include_dashboard=False,
        _temp_dir=str(folder / "ray"),
        object_store_memory=80 * 2**20,
        log_to_driver=False,
    )

    def measure(setting: dict[str, Any]) -> float:
        n = setting["n"]
        mark = folder / f"killed-{n}"
        if n % 4 == 1 and not mark.exists():  # as the kernel does to one that takes too much
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if n % 7 == 3:
            raise ValueError("wrong output")
        if n == 40:
            time.sleep(60)
        return abs(n - 30.0)

    file = folder / "search.sqlite"
    space = Space({"n": Integer(1, 40, default=1)})
    search = Search(space, acumen.minimize("cost"), budget=16, file=file, seed=1)
    fleet.run_on_ray(search, measure, workers=2, timeout=15)
    trials = search.trials
    assert len(trials) == 16, trials
    assert trials[0].state == "done", trials[0]  # it took a worker with it, and another one did it
    for trial in trials:
        bad = trial.setting["n"] % 7 == 3
        assert trial.state == ("failed" if bad or trial.setting["n"] == 40 else "done"), trial
    killed = len(list(folder.glob("killed-*")))
    ray.shutdown()
    assert search.best is not None
    print(f"ok: {len(trials)} trials, {killed} workers killed, best {search.best.value:g}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
