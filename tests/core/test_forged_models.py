"""Published models and checkpoints that say anything at all: refused with a reason, or harmless.

Their checksums are right; what is done to those that are not is in test_model_file.py. Seeded.
"""

from __future__ import annotations

import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forged import forge
from journaled import live, make

import acumen
from acumen.core import model_file
from acumen.core.following import Follower
from acumen.core.published import Published, Stamp
from acumen.core.trainer import Trainer
from acumen.core.training import Training
from acumen.core.twin import twin

TRIALS = 120
KINDS: list[dict[str, Any]] = [
    {},
    {"learner": acumen.learners.LinUCB()},
    {"arms": acumen.Candidates(features=2, most=8), "default": 0},
]


class Given:
    """A source of models that gives the one that it was given last."""

    def __init__(self) -> None:
        self.model: Published | None = None

    def newer(self, than: Stamp, problems: list[str]) -> Published | None:
        return self.model if self.model is not None and self.model.stamp > than else None


def trained(folder: Path, kind: dict[str, Any]) -> Trainer:
    """What two processes have learned."""
    choices = [make(folder, seed=i, **kind) for i in range(2)]
    for i, choice in enumerate(choices):
        live(choice, 150, seed=i)
        assert choice.journal is not None
        assert choice.journal.close()
    trainer = Trainer(twin(choices[0]))
    for batch in acumen.Journal(folder).events("codec"):
        trainer.take(batch)
    return trainer


def expect_sound(choice: acumen.Choice, seed: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for decision in live(choice, 20, seed):
            assert 0.0 < decision.propensity <= 1.0, seed
            assert decision.index >= 0, seed


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_who_follows_survives_any_model(tmp_path: Path, kind: dict[str, Any]) -> None:
    good = trained(tmp_path / "others", kind).publish((1, 1))
    choice, source = make(tmp_path / "own", seed=9, **kind), Given()
    follower = Follower(choice, source)
    live(choice, 50)
    for seed in range(TRIALS):
        contents = forge(good.header, good.arrays, random.Random(seed))
        source.model = Published((2, seed + 1), *model_file.decode(contents))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            follower.step()
        expect_sound(choice, seed)
    health = follower.health
    assert health.refused > TRIALS // 3, health
    assert health.taken > 0, health
    # The good one is still welcome.
    source.model = Published((3, 1), good.header, good.arrays)
    assert follower.step() or health.own, health
    assert all(np.isfinite(choice.learner.state()[n]).all() for n in choice.learner.state())


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_successor_survives_any_checkpoint(tmp_path: Path, kind: dict[str, Any]) -> None:
    first = trained(tmp_path, kind)
    whole = first.publish((1, 1), whole=True)
    batches = list(acumen.Journal(tmp_path).events("codec"))
    refused = 0
    for seed in range(TRIALS):
        contents = forge(whole.header, whole.arrays, random.Random(seed))
        trainer = Trainer(twin(first.choice))
        try:
            trainer.resume(Published((1, 1), *model_file.decode(contents)))
        except ValueError:
            refused += 1
            continue
        for batch in batches:
            assert trainer.take(batch) in ("applied", "known", "early", "foreign"), seed
        trainer.publish((2, 1), whole=True)
    assert refused > TRIALS // 3


def test_a_directory_of_forged_checkpoints_is_begun_anew(tmp_path: Path) -> None:
    choice = make(tmp_path)
    live(choice, 200)
    assert choice.journal is not None
    assert choice.journal.flush()
    settings = {"publish_seconds": 1e-6, "checkpoint_seconds": 1e-6}
    first = Training(lambda: twin(choice), tmp_path, **settings)
    while first.step():
        pass
    first.stop()
    for stamp, path in first.models.files("checkpoint"):
        header, arrays = model_file.read(path)
        header["trainer"]["runs"] = {"x": [[1, 2]]}
        first.models.write(Published(stamp, header, arrays), "checkpoint")
    second = Training(lambda: twin(choice), tmp_path, **settings)
    while second.step():
        pass
    assert second.trainer.choice.model_version == choice.model_version
    assert any("makes no sense" in problem for problem in second.problems)
