"""Trials of a program side by side, each worker in a copy of the folder that the program runs in.

Programs that run at once in one folder would overwrite each other's files.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from acumen.evaluation.programs.pairs import RunFailedError
from acumen.flags.program import ProgramSubject
from acumen.flags.subject import TuneError
from acumen.flags.trying import Trying
from acumen.learners.search import Setting
from acumen.learners.search.parallel import Pool, Processes, TrialFailedError

COPY_BYTES_MAX = 1 << 30
PREFIX = "acumen-tune-"


@dataclass(frozen=True)
class SideBySide:
    """How many trials at once, and where.

    Args:
        jobs: how many; None: as many as the cluster has processors.
        ray: address of a Ray cluster, ``auto``, ``local``, ``HOST:PORT`` or ``ray://HOST:PORT``,
            whose machines all see the folder; None: processes of this machine.

    Raises:
        TuneError: the cluster is not to be reached, or Ray is not installed.
    """

    jobs: int | None = None
    ray: str | None = None

    def __post_init__(self) -> None:
        if self.ray is None:
            return
        from acumen.fleet.trials import connect

        try:
            connect(self.ray)
        except (ImportError, ConnectionError, RuntimeError, ValueError) as error:
            raise TuneError(f"--ray {self.ray}: {error}") from None

    @contextlib.contextmanager
    def pool(self, trying: Trying) -> Iterator[Pool]:
        """Where trials are measured; what it leaves behind is removed.

        Raises:
            TuneError: the default fails in a copy of the folder.
        """
        subject = trying.subject
        if not isinstance(subject, ProgramSubject):
            raise TuneError("only programs can be run side by side")
        with tempfile.TemporaryDirectory(prefix=PREFIX) as root:
            _try_default(subject, Path(root))
            measure = Elsewhere(trying, subject.folder, Path(root))
            if self.ray is None:
                yield Processes(measure, self.jobs or 1, None)
                return
            from acumen.fleet.trials import ray_pool

            yield ray_pool(measure, workers=self.jobs)


class Elsewhere:
    """Measures settings in whatever process it is sent to: in a copy of the folder, made once.

    Args:
        trying: of a program.
        folder: that it runs in.
        scratch: where copies are made; on a machine that has no such folder, where it keeps what
            is temporary.
    """

    def __init__(self, trying: Trying, folder: Path, scratch: Path) -> None:
        self._trying, self._folder, self._scratch = trying, folder, scratch
        self._name = uuid.uuid4().hex

    def __call__(self, setting: Setting) -> dict[str, float]:
        """See `Trying.measure`."""
        try:
            return self._here().measure(setting)
        except (RunFailedError, TuneError, OSError) as error:
            raise TrialFailedError(str(error)) from None

    def _here(self) -> Trying:
        subject = self._trying.subject
        assert isinstance(subject, ProgramSubject)
        if self._name not in _here:
            _here.clear()  # of a tuning that is over
            place = tempfile.TemporaryDirectory(
                prefix=PREFIX, dir=self._scratch if self._scratch.is_dir() else None
            )
            there = Path(place.name, "folder")
            copy_folder(self._folder, there)
            _here[self._name] = self._trying.of(subject.at(there)), place
        return _here[self._name][0]


# What this process measures: one program, in one copy, as long as it lives.
_here: dict[str, tuple[Trying, tempfile.TemporaryDirectory[str]]] = {}


def _try_default(subject: ProgramSubject, root: Path) -> None:
    try:
        copy_folder(subject.folder, root / "first")
        with subject.at(root / "first") as copied:
            copied.measure(subject.space.default)
    except (RunFailedError, OSError) as error:
        raise TuneError(
            f"the default failed in a copy of this folder, where trials side by side run: {error}"
            " (what lies outside the folder needs an absolute path)"
        ) from None
    shutil.rmtree(root / "first", ignore_errors=True)


def copy_folder(source: Path, target: Path) -> None:
    """Copies files, folders and links; what else there is, sockets and pipes, is left out.

    Raises:
        TuneError: it holds more than a gigabyte.
        OSError: something cannot be read or written.
    """
    left = COPY_BYTES_MAX

    def left_out(folder: str, names: list[str]) -> list[str]:
        nonlocal left
        skipped = []
        for name in names:
            found = os.lstat(os.path.join(folder, name))
            left -= found.st_size if stat.S_ISREG(found.st_mode) else 0
            plain = stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)
            inside = Path(folder, name) in target.parents
            if inside or not (plain or stat.S_ISDIR(found.st_mode)):
                skipped.append(name)
        if left < 0:
            raise TuneError(f"{source} holds more than a gigabyte: trials side by side each work"
                            " in a copy of it; run from a smaller folder")  # fmt: skip
        return skipped

    shutil.copytree(source, target, symlinks=True, ignore=left_out)
