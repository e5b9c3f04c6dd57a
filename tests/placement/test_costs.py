"""Presets of devices, and the roofline."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from acumen.placement.costs import DEVICE_KINDS, PRECISIONS


@pytest.mark.parametrize("kind", DEVICE_KINDS)
def test_a_preset_is_whole(kind: str) -> None:
    model = DEVICE_KINDS[kind]
    assert model.name == kind
    assert set(model.peak) <= set(PRECISIONS)
    assert min(model.peak.values()) > 1e11
    assert model.bytes_per_second > 1e10
    assert model.memory_bytes > 2**32
    assert 0 < model.launch_seconds < 1e-4
    assert len(model.source) > 20


def test_what_the_talk_says_of_tpus() -> None:
    first, board, pod = (DEVICE_KINDS[f"tpu-{name}"] for name in ("v1", "v2", "v2-pod"))
    assert first.peak == {"int8": 92e12}
    assert board.peak["float16"] == 180e12
    assert (board.memory_bytes, board.bytes_per_second) == (64 * 10**9, 2400e9)
    assert pod.peak["float16"] == 11.5e15
    assert pod.peak["float16"] == pytest.approx(64 * board.peak["float16"], rel=0.01)


def test_an_operator_waits_for_arithmetic_or_for_memory() -> None:
    v100 = DEVICE_KINDS["v100"]
    assert v100.seconds(0, 0, "float32") == v100.launch_seconds
    arithmetic = v100.seconds(15.7e12, 8, "float32")
    memory = v100.seconds(8, 900e9, "float32")
    assert arithmetic == memory == 1 + v100.launch_seconds
    assert v100.seconds(15.7e12, 8, "float16") < arithmetic / 7
    assert math.isinf(DEVICE_KINDS["tpu-v1"].seconds(0, 0, "float32"))


def test_a_newer_gpu_is_never_slower() -> None:
    names = ("k80", "p100", "v100", "a100", "h100")
    for older, newer in pairwise(names):
        for precision in ("float32", "float16", "float64"):
            for flops, moved in ((0, 10**9), (10**13, 0), (10**10, 10**8)):
                one, other = (DEVICE_KINDS[name] for name in (older, newer))
                assert other.seconds(flops, moved, precision) <= one.seconds(
                    flops, moved, precision
                )
