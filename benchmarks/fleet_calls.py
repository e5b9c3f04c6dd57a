"""What a call to a hub costs that is an actor on Ray: the way there and back, and how many fit.

    unshare --net --map-root-user python benchmarks/fleet_calls.py [--calls N]

Ray's servers listen on all addresses of a machine, hence the network of its own; they ask for a
token that is made for this run. Calls bring nothing and want nothing: the hub itself takes a few
microseconds.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from ray_alone import loopback_up, token_for_ray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=2000)
    options = parser.parse_args()
    loopback_up()
    folder = Path(tempfile.mkdtemp(prefix="ray-"))
    token_for_ray(folder)
    import ray

    from acumen.fleet import Hub

    ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=80 << 20,
        _temp_dir=str(folder / "ray"),
        log_to_driver=False,
    )
    try:
        hub = ray.remote(Hub).options(num_cpus=0).remote(str(folder / "hub"))
        ray.get(hub.state.remote())
        times = []
        for _ in range(options.calls):
            start = time.perf_counter()
            ray.get(hub.exchange.remote([], (0, 0), ["x"]))
            times.append(1e6 * (time.perf_counter() - start))
        start = time.perf_counter()
        ray.get([hub.exchange.remote([], (0, 0), ["x"]) for _ in range(options.calls)])
        together = 1e6 * (time.perf_counter() - start) / options.calls
        percentiles = np.percentile(times[options.calls // 10 :], [50, 99])
        print(f"one after the other: {percentiles[0]:.0f} us, p99 {percentiles[1]:.0f} us")
        print(f"all at once: {together:.0f} us a call")
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
