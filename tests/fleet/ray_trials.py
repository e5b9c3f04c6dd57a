"""A search on a cluster of one machine, whose workers are killed; run by test_cluster_trials.py.

    unshare --net --map-root-user python ray_trials.py FOLDER

The network has only loopback; see ray_scenario.py. The last line says what was seen.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from ray_alone import loopback_up, token_for_ray

# Where the search tries it, it kills the first worker that runs it.
PROGRAM = """
case $PWD in */folder)
  if mkdir "$0/killed" 2>/dev/null; then kill -9 $(cut -d" " -f4 /proc/$PPID/stat); sleep 60; fi
esac
head -c $1 /dev/zero > out
"""


def search_with_killed_workers(folder: Path) -> str:
    import acumen
    from acumen import fleet
    from acumen.learners.search import Integer, Search, Space

    def measure(setting: dict[str, Any]) -> float:
        n = setting["n"]
        mark = folder / f"killed-{n}"
        if n % 4 == 1 and not mark.exists():  # as the kernel does to one that takes too much
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if n % 7 == 3:
            raise ValueError("wrong output")
        return abs(n - 30.0)

    def hang(setting: dict[str, Any]) -> float:
        time.sleep(60)
        return 1.0

    space = Space({"n": Integer(1, 40, default=1)})
    file = folder / "search.sqlite"
    search = Search(space, acumen.minimize("cost"), budget=8, file=file, seed=1)
    fleet.run_on_ray(search, measure, workers=2)
    trials = search.trials
    assert len(trials) == 8, trials
    assert trials[0].state == "done", trials[0]  # it took a worker with it, and another one did it
    for trial in trials:
        assert trial.state == ("failed" if trial.setting["n"] % 7 == 3 else "done"), trial
    slow = fleet.run_on_ray(Search(space, budget=1), hang, workers=1, timeout=1)
    assert slow.trials[0].reason == "timed out after 1 s"
    killed = len(list(folder.glob("killed-*")))
    return f"{len(trials)} trials, {killed} workers killed"


def tune_with_a_killed_worker(folder: Path) -> str:
    from click.testing import CliRunner

    from acumen import cli

    work = folder / "work"
    work.mkdir()
    os.chdir(work)
    done = CliRunner().invoke(
        cli.main,
        ["tune", "--ray", "auto", "--jobs", "2", "--minimize", "file_size:out", "--budget", "6",
         "--seed", "1", "--json", "../out.json", "--", "sh", "-c", PROGRAM, str(folder),
         "{size:[10..30=20]}"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    found = json.loads((folder / "out.json").read_text())
    assert (found["verdict"], found["trials"], found["failures"]) == ("better", 6, 0), found
    assert (folder / "killed").is_dir()
    return f"tuned to {found['setting']['size']}"


def main(folder: Path) -> None:
    loopback_up()
    token_for_ray(folder)
    import ray

    ray.init(
        num_cpus=2,
        include_dashboard=False,
        _temp_dir=str(folder / "ray"),
        object_store_memory=80 * 2**20,
        log_to_driver=False,
    )
    said = search_with_killed_workers(folder)
    tuned = tune_with_a_killed_worker(folder)
    ray.shutdown()
    print(f"ok: {said}; {tuned}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
