"""`acumen train`: what it prints, what it leaves, and how it fails."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import acumen
from acumen.cli import main
from acumen.core.journal_segments import folder_of
from acumen.core.published import MODELS, Candidacy, ModelFolder


def journaled(folder: Path, **changes: Any) -> acumen.Choice:
    arguments: dict[str, Any] = {
        "name": "codec",
        "arms": ["a", "b"],
        "context": {"size": float},
        "default": "a",
        "metric": acumen.minimize("seconds"),
        "journal": folder,
        "seed": 1,
    }
    choice = acumen.Choice(**(arguments | changes))
    for i in range(100):
        choice.choose(size=float(i)).feedback(seconds=float(i % 7))
    assert choice.journal is not None
    assert choice.journal.close()
    return choice


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["train", *map(str, arguments)])


def test_it_trains_what_is_there(tmp_path: Path) -> None:
    choices = [journaled(tmp_path), journaled(tmp_path, seed=2)]
    done = run(tmp_path)
    assert done.exit_code == 0, done.output
    assert "200 lessons from 2 streams; model 1.1" in done.output
    (path,) = (tmp_path / "codec" / MODELS).glob("*/model-*.acumen")
    fresh = acumen.Choice(
        "codec",
        ["a", "b"],
        context={"size": float},
        default="a",
        metric=acumen.minimize("seconds"),
        model=path,
    )
    assert fresh.model_version == sum(c.counters()["feedback_learned"] for c in choices) == 200
    again = run(tmp_path, "--quiet")
    assert (again.exit_code, again.output) == (0, "")
    # Nothing was new, so nothing was published.
    assert len(list((tmp_path / "codec" / MODELS).glob("*/model-*.acumen"))) == 1


def test_one_trainer_at_a_time(tmp_path: Path) -> None:
    journaled(tmp_path)
    assert run(tmp_path).exit_code == 0
    (kind,) = (tmp_path / "codec" / MODELS).iterdir()
    candidacy = Candidacy(ModelFolder(kind), 10)
    assert candidacy.stand() is not None
    done = run(tmp_path)
    assert done.exit_code == 1
    assert "another trainer" in done.output
    candidacy.resign()


@pytest.mark.parametrize("arms", [[("x", 1), ("y", 2)], acumen.Range(1, 9), acumen.Candidates(2)])
def test_arms_of_all_kinds_are_read_from_the_journal(tmp_path: Path, arms: Any) -> None:
    fixed = isinstance(arms, list)
    choice = acumen.Choice(
        "codec",
        arms,
        context={"size": float | None, "kind": str, "hot": bool},
        default=arms[0] if fixed else 1,
        metric=acumen.minimize("seconds", log=True) + acumen.at_most("errors", 0.1),
        journal=tmp_path,
        learner=acumen.learners.LinUCB(half_life=1e4),
    )
    more: dict[str, Any] = {}
    if isinstance(arms, acumen.Candidates):
        more["candidates"] = [[1.0, 2.0], [3.0, 4.0]]
    for i in range(60):
        decision = choice.choose(size=float(i), kind="k", hot=True, **more)
        decision.feedback(seconds=1.0 + i, errors=0.0)
    assert choice.journal is not None
    assert choice.journal.close()
    done = run(tmp_path)
    assert done.exit_code == 0, done.output
    assert "60 lessons" in done.output
    assert folder_of(tmp_path, "codec").is_dir()


def test_errors_are_one_line(tmp_path: Path) -> None:
    class Arm:
        pass

    for arguments, message in (
        ((tmp_path / "nowhere",), "no such directory"),
        ((tmp_path,), "no journal here"),
    ):
        done = run(*arguments)
        assert done.exit_code == 2
        assert message in done.output
        assert len(done.output.splitlines()) == 1
    arm = Arm()
    journaled(tmp_path, arms=[arm, "b"], default="b")
    done = run(tmp_path)
    assert done.exit_code == 2
    assert "acumen.follow(choice, train=True)" in done.output
    assert run(tmp_path, "--choice", "other").exit_code == 2
