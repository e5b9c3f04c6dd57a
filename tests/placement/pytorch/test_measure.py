"""Operators measured on the device that is here."""

from __future__ import annotations

import json
import math
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="measuring needs torch")

from acumen.placement.costs import DEVICE_KINDS  # noqa: E402
from acumen.placement.pytorch import (  # noqa: E402
    Call,
    Captured,
    CaptureError,
    Operator,
    capture_training_step,
    measure,
    models,
    to_graph,
)
from acumen.placement.pytorch.encoding import decode_call, encode_call  # noqa: E402


def small() -> Captured:
    def make() -> Any:
        return models.gpt2(layers=1, width=8, heads=2, vocabulary=20, context=16)

    return capture_training_step(
        make, (models.words(2, 8),), models.cross_entropy, (models.labels(2, 8),), "adam"
    )


def test_each_call_of_a_transformer_runs(tmp_path: Path) -> None:
    step, cache = small(), tmp_path / "cache" / "times.json"
    seconds = measure(step, "cpu", cache, seconds_per_call=0)
    assert seconds.shape == (len(step.calls),)
    assert (seconds > 0).all()
    assert (seconds < 1).all()
    # Once measured, the file says it.
    assert (measure(step, "cpu", cache, seconds_per_call=0) == seconds).all()
    graph = to_graph(step, {"here": seconds, "v100": DEVICE_KINDS["v100"]})
    assert graph.kinds == ("here", "v100")


@pytest.mark.parametrize(
    ("durations", "runs", "median"), [([0.07, 0.01, 0.03], 3, 0.03), ([0.01], 5, 0.01)]
)
def test_a_step_is_repeated_until_the_time_is_spent(
    monkeypatch: pytest.MonkeyPatch, durations: list[float], runs: int, median: float
) -> None:
    now, times = 0.0, 0

    def clock() -> float:
        nonlocal now, times
        if times % 2:
            now += durations[times // 2 % len(durations)]
        times += 1
        return now

    monkeypatch.setattr("time.perf_counter", clock)
    step = one_call("aten.relu.default", '[[{"tensor":[[2],[1],"float32"]}],{}]')
    assert measure(step, seconds_per_call=0.049) == pytest.approx([median])
    assert times == 2 * (1 + runs)


def chain(reads: list[tuple[int, ...]]) -> Captured:
    """Operators of the same call: each makes a tensor and reads those of others."""
    call = Call("acumen_tests.watched.default", '[[{"tensor":[[2],[1],"float32"]}],{}]',
                0, 8, 8, "float32")  # fmt: skip
    step = [
        Operator(f"op{number}", "", "forward", 0, each, (number,), (), (), ())
        for number, each in enumerate(reads)
    ]
    return Captured("chain", [call], step, [8] * len(step), [])


@pytest.mark.parametrize(("room", "alive"), [(math.inf, [0, 1, 2, 1]), (0.0, [0, 0, 0, 0])])
def test_results_are_held_as_long_as_the_step_holds_them(
    monkeypatch: pytest.MonkeyPatch, room: float, alive: list[int]
) -> None:
    made: list[weakref.ref[Any]] = []
    seen: list[int] = []

    def watched(x: Any) -> Any:
        seen.append(sum(one() is not None for one in made))
        made.append(weakref.ref(result := x + 1))
        return result

    with torch.library._scoped_library("acumen_tests", "FRAGMENT") as library:
        library.define("watched(Tensor x) -> Tensor")
        library.impl("watched", watched, "CompositeImplicitAutograd")
        monkeypatch.setattr(sys.modules[measure.__module__], "_free_bytes", lambda _: room)
        # The third reads both before it, the fourth the third, and nobody the fourth.
        assert (measure(chain([(), (0,), (0, 1), (2,)]), seconds_per_call=0) > 0).all()
    assert seen == alive * 4


def test_an_element_may_be_in_many_places() -> None:
    step = one_call("aten.relu.default", '[[{"tensor":[[2,3],[0,1],"float32"]}],{}]')
    assert measure(step)[0] > 0


def test_a_damaged_cache_is_measured_again(tmp_path: Path) -> None:
    cache = tmp_path / "times.json"
    step = one_call("aten.relu.default", '[[{"tensor":[[2],[1],"float32"]}],{}]')
    for text in (
        "",
        "[]",
        "{}",
        '{"format": "acumen operators measured in their steps", "devices": {"a": 3}}',
    ):
        cache.write_text(text)
        assert (measure(step, "cpu", cache, seconds_per_call=0) > 0).all()
    whole = json.loads(cache.read_text())
    (times,) = whole["devices"].values()
    times.update(dict.fromkeys(times, -1.0))
    cache.write_text(json.dumps(whole))
    assert (measure(step, "cpu", cache, seconds_per_call=0) > 0).all()


def one_call(op: str, arguments: str) -> Captured:
    step = small()
    call = Call(op, arguments, 0, 900, 0, "float32")
    return Captured("one", [call], step.operators[:1], step.tensor_bytes, [])


@pytest.mark.parametrize(
    ("op", "arguments", "says"),
    [
        ("aten.no_such.default", "[[],{}]", "cannot run on cpu"),
        ("aten.relu.default", "[[],{}]", "cannot run on cpu"),
        ("aten.from_file.default", '[["/etc/passwd"],{}]', "made-up tensors"),
        ("aten.relu.default", "[[", "cannot be read"),
        ("aten.relu.default", '[[{"tensor":[[1],[1],"load"]}],{}]', "is no dtype"),
        ("aten.relu.default", '[[{"tensor":[[1]]}],{}]', "cannot be read"),
    ],
)
def test_what_cannot_run_is_named(op: str, arguments: str, says: str) -> None:
    with pytest.raises(CaptureError, match=says):
        measure(one_call(op, arguments))


def test_the_roofline_stands_in_for_what_cannot_run() -> None:
    model = DEVICE_KINDS["v100"]
    seconds = measure(one_call("aten.no_such.default", "[[],{}]"), otherwise=model)
    np.testing.assert_allclose(seconds, [model.launch_seconds + 1e-9])


def test_arguments_come_back() -> None:
    x = torch.empty(4, 3).t()
    args = (x, [x, None, 2], 1.5, float("inf"), torch.int64, "text", torch.device("cpu"), True)
    kwargs = {"memory_format": torch.preserve_format, "layout": torch.strided}
    found, named = decode_call(encode_call(args, kwargs), torch.device("cpu"))
    assert found[0].shape == (3, 4)
    assert found[0].stride() == (1, 3)
    assert found[1][1:] == [None, 2]
    assert found[2:] == list(args[2:])
    assert named == kwargs
    with pytest.raises(CaptureError, match="of type object"):
        encode_call((object(),), {})
