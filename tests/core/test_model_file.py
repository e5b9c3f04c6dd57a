"""Saving and loading: whole or not at all, and never a crash."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import acumen
from acumen.core import array_file, model_file

Make = Callable[..., acumen.Choice]
LEARNERS = [getattr(acumen.learners, name)() for name in acumen.learners.__all__]


def taught(choice: acumen.Choice, n: int = 700) -> acumen.Choice:
    rng = np.random.default_rng(0)
    for _ in range(n):
        decision = choice.choose_row(rng.lognormal(size=len(choice.schema.fields)))
        decision.feedback(decision.index + rng.normal())
    return choice


def distributions(choice: acumen.Choice) -> np.ndarray:
    """What the learner answers in a few contexts."""
    rng = np.random.default_rng(1)
    contexts = rng.normal(size=(20, choice.dimension)).astype(np.float32)
    contexts[:, 0] = 1
    return np.array([choice.learner.distribution(x) for x in contexts])


@pytest.mark.parametrize("spec", LEARNERS, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("n", [0, 5, 100, 700])
def test_round_trip(make_choice: Make, tmp_path: Path, spec: Any, n: int) -> None:
    context = {"size": float, "depth": float | None}
    choice = taught(make_choice(context=context, learner=spec), n)
    choice.save(tmp_path / "model")
    other = make_choice(context=context, learner=spec, model=tmp_path / "model")
    np.testing.assert_array_equal(distributions(other), distributions(choice))
    assert other.model_version == choice.model_version
    assert other.comparison() == choice.comparison()
    assert other.choose(size=1.0).reason != "no_model"


def test_what_was_learned_before_survives_later_calibrations(
    make_choice: Make, tmp_path: Path
) -> None:
    choice = make_choice(holdback=0.0, learner=acumen.learners.EpsilonGreedy())
    for _ in range(100):
        decision = choice.choose(size=1.0)
        decision.feedback(float(decision.arm == "c"))
    choice.save(tmp_path / "model")
    other = make_choice(
        holdback=0.0, learner=acumen.learners.EpsilonGreedy(), model=tmp_path / "model"
    )
    served = [other.choose(size=1.0).arm for _ in range(600)]
    assert served.count("c") > 500


def small(make_choice: Make, **changes: Any) -> acumen.Choice:
    """As small as a model gets, so that every byte of its file can be tried."""
    spec = acumen.learners.SoftmaxGradient()
    return make_choice(arms=["a", "b"], context={}, learner=spec, **changes)


def test_truncated_anywhere(make_choice: Make, tmp_path: Path) -> None:
    path = tmp_path / "model"
    choice = taught(small(make_choice), 20)
    choice.save(path)
    before, whole = choice._state(), path.read_bytes()
    for length in range(len(whole)):
        with pytest.raises(acumen.ModelError):
            model_file.decode(whole[:length])
    for contents in (b"", whole[:-1], whole[:100], whole + b"\0"):
        path.write_bytes(contents)
        with pytest.raises(acumen.ModelError, match="model"):
            choice.load(path)
    for name, array in choice._state().items():
        np.testing.assert_array_equal(array, before[name])


def test_every_byte_altered(make_choice: Make, tmp_path: Path) -> None:
    path = tmp_path / "model"
    taught(small(make_choice), 20).save(path)
    whole = path.read_bytes()
    for i in range(len(whole)):
        with pytest.raises(acumen.ModelError):
            model_file.decode(whole[:i] + bytes([whole[i] ^ (1 << i % 8)]) + whole[i + 1 :])


def test_a_damaged_model_serves_the_default(make_choice: Make, tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(b"no model at all" * 100)
    for broken in (path, tmp_path / "missing", tmp_path):
        with pytest.warns(RuntimeWarning, match="serves its default"):
            choice = make_choice(model=broken)
        decision = choice.choose(size=1.0)
        assert (decision.reason, decision.arm, decision.propensity) == ("no_model", "b", 1.0)
        decision.feedback(1.0)
    choice.start_fresh()
    assert choice.choose(size=1.0).reason in ("learned", "holdback")
    taught(make_choice()).save(path)
    with pytest.warns(RuntimeWarning, match="serves its default"):
        choice = make_choice(model=tmp_path / "missing")
    choice.load(path)
    assert choice.choose(size=1.0).reason in ("learned", "holdback")


@pytest.mark.parametrize(
    "change",
    [
        {"context": {"size": float | None}},
        {"context": {"weight": float}},
        {"context": {"size": float, "kind": str}},
        {"arms": ["a", "b"]},
        {"arms": ["a", "b", "d"]},
        {"arms": acumen.Candidates(2), "default": 0},
        {"learner": acumen.learners.LinUCB()},
        {"learner": acumen.learners.BinnedAdditive(gamma=11.0)},
        {"metric": acumen.minimize("reward")},
    ],
)
def test_models_of_other_choices(make_choice: Make, tmp_path: Path, change: dict[str, Any]) -> None:
    taught(make_choice()).save(tmp_path / "model")
    choice = make_choice(**change)
    with pytest.raises(acumen.ModelError):
        choice.load(tmp_path / "model")
    assert choice.model_version == 0


def forged(header: Any, payload: bytes = b"", version: int = 1) -> bytes:
    """A file with a good checksum and a header of one's own."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    body = struct.pack("<8sII", model_file._MODEL.magic, version, len(text)) + text + payload
    return body + array_file._digest(body).digest()


@pytest.mark.parametrize(
    "contents",
    [
        forged({}),
        forged([]),
        forged(3),
        forged(b"\xff\xfe"),
        forged(b"{" * 5000),
        forged({"arrays": []}, version=2),
        forged({"arrays": 3}),
        forged({"arrays": [1]}),
        forged({"arrays": [["x", "<f8", 1, 0]]}),
        forged({"arrays": [["x", "<f8", -1, 0]]}, bytes(64)),
        forged({"arrays": [["x", "<f8", 1, -8]]}, bytes(64)),
        forged({"arrays": [["x", "<f8", 1, 4]]}, bytes(64)),
        forged({"arrays": [["x", "<f8", 1e9, 0]]}, bytes(64)),
        forged({"arrays": [["x", "<f8", 2.0, 0]]}, bytes(64)),
        forged({"arrays": [["x", "|O", 1, 0]]}, bytes(64)),
        forged({"arrays": [["x", "<i8", 1, 0]]}, bytes(64)),
        forged({"arrays": [["x", "<f8", 1 << 62, 0]]}, bytes(64)),
        forged({"arrays": [[3, "<f8", 1, 0]]}, bytes(64)),
        forged({"arrays": [["x", "<f8", 8, 0]] * 2}, bytes(64)),
        forged({"arrays": [["x", "<f8", 8, 0], ["y", "<f8", 8, 0]]}, bytes(64)),
        forged({"arrays": [], "schema": 1}),
    ],
)
def test_forged_headers(make_choice: Make, tmp_path: Path, contents: bytes) -> None:
    (tmp_path / "model").write_bytes(contents)
    with pytest.raises(acumen.ModelError):
        make_choice().load(tmp_path / "model")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1e300, 1e300])
def test_forged_numbers(make_choice: Make, tmp_path: Path, value: float) -> None:
    """Whatever the numbers, the choice works afterwards, with the model or without."""
    original = taught(make_choice())
    for name, array in original._state().items():
        arrays = original._state()
        if array.dtype == np.uint64:
            arrays[name] = np.full_like(array, 2**64 - 1)
        else:
            with np.errstate(over="ignore"):
                arrays[name] = np.full_like(array, value)
        model_file.write(tmp_path / "model", original._header(), arrays)
        choice = taught(make_choice(holdback=0.0), 9)
        before = choice._state()
        try:
            choice.load(tmp_path / "model")
        except acumen.ModelError:
            for same, values in choice._state().items():  # nothing has changed
                np.testing.assert_array_equal(values, before[same])
        decision = choice.choose(size=1.0)
        assert decision.reason in ("learned", "learner_failed")
        assert 0 < decision.propensity <= 1
        decision.feedback(1.0)


def test_an_unwritable_folder_leaves_the_old_file(
    make_choice: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model"
    choice = taught(make_choice())
    choice.save(path)
    old = path.read_bytes()
    for function in ("fsync", "replace"):

        def refuse(*_: Any) -> None:
            raise PermissionError("read-only")

        with monkeypatch.context() as patch:
            patch.setattr(f"acumen.core.array_file.os.{function}", refuse)
            with pytest.raises(PermissionError):
                choice.save(path)
        assert path.read_bytes() == old
        assert [p.name for p in tmp_path.iterdir()] == ["model"]
    with pytest.raises(FileNotFoundError):
        choice.save(tmp_path / "missing" / "model")


def test_an_early_model_goes_on_calibrating(make_choice: Make, tmp_path: Path) -> None:
    young = make_choice()
    for i in range(9):
        young.choose(size=float(i)).feedback(1.0)
    young.save(tmp_path / "model")
    choice = make_choice(model=tmp_path / "model")
    for i in range(600):
        choice.choose(size=1000.0 + i % 100).feedback(1.0)
    center, inverse, _ = choice._state()["schema.scales"]
    assert center == pytest.approx(1050, abs=5)
    assert 1 / inverse == pytest.approx(29, abs=3)
    assert choice.learner.version >= 590  # and nearly all lessons are kept


def test_nothing_is_written_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model"
    arrays = {"a": np.zeros(3)}
    most = array_file._HEADER_BYTES_MAX
    size = struct.unpack_from("<I", model_file.encode({"padding": ""}, arrays), 12)[0]
    header = {"padding": "x" * (most - size - 64)}
    model_file.write(path, header, arrays)
    assert model_file.read(path)[0] == header  # just about the largest
    old = path.read_bytes()
    assert most - 128 < struct.unpack_from("<I", old, 12)[0] <= most
    header = {"padding": "x" * most}
    with pytest.raises(acumen.ModelError, match="more than a model file may have"):
        model_file.encode(header, arrays)
    with pytest.raises(acumen.ModelError, match="more than a model file may have"):
        model_file.write(path, header, arrays)
    monkeypatch.setattr(model_file._MODEL, "bytes_max", 1 << 12)
    with pytest.raises(acumen.ModelError, match="more than a model file may have"):
        model_file.write(path, {}, {"a": np.zeros(1 << 9)})
    model_file.write(tmp_path / "small", {}, {"a": np.zeros(1 << 8)})
    assert len(model_file.read(tmp_path / "small")[1]["a"]) == 1 << 8
    assert path.read_bytes() == old
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "small"]
