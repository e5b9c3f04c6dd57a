"""`acumen nests`: better loops for a marked region of a C program."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import click

from acumen.cli_parts import fail
from acumen.compilers.loop_nests import LoopNestError, optimise


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("arguments", nargs=-1)
@click.option(
    "--flags",
    default="",
    metavar="TEXT",
    help="What compiling needs, as on a command line: '-DN=500 -I include util.c'.",
)
@click.option("--budget", type=click.IntRange(2, 10_000), default=30, show_default=True,
              help="How many candidates to try, the original among them.")  # fmt: skip
@click.option("--threads", type=click.IntRange(1, 1024), default=None, metavar="N",
              help="At most so many; as many as there are cores unless given.")  # fmt: skip
@click.option("--repeats", type=click.IntRange(6, 1000), default=9, show_default=True,
              help="Fresh pairs with the original that confirm the winner.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**62), default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Where to write the better file; FILE-better.c unless given.")  # fmt: skip
@click.option("--json", "json_path", type=click.Path(path_type=Path, dir_okay=False),
              metavar="FILE", help="Write the verdict here.")  # fmt: skip
def nests(
    file: Path,
    arguments: tuple[str, ...],
    flags: str,
    budget: int,
    threads: int | None,
    repeats: int,
    seed: int,
    out: Path | None,
    json_path: Path | None,
) -> None:
    """Find faster loops for a region of a C program, and prove that they are right.

    FILE is a program whose loops stand between `#pragma scop` and `#pragma endscop`; it is run
    with ARGUMENTS and must print what it computes. Every candidate is proved to keep all
    dependences before it is compiled, and must print what the original prints. The winner is
    measured again beside the original.

    \b
      acumen nests gemm.c
      acumen nests stencil.c --flags '-DN=4000 -I include' --out fast.c -- 100
    """  # noqa: D301 (a real backspace is how click is told to leave lines as they are)
    target = out or file.with_name(f"{file.stem}-better.c")
    if target.resolve() == file.resolve():
        fail(f"{target} is the file itself; give another name with --out")
    try:
        found = optimise(
            file,
            flags=shlex.split(flags),
            arguments=arguments,
            budget=budget,
            threads=threads,
            repeats=repeats,
            seed=seed,
            tell=lambda line: click.echo(line, err=True),
        )
        if found.verdict == "better":
            target.write_text(found.text, encoding="utf-8", errors="surrogateescape")
        if json_path is not None:
            json_path.write_text(json.dumps(found.to_json(), indent=2) + "\n", encoding="utf-8")
    except (LoopNestError, ValueError, OSError) as error:
        fail(f"{file}: {error}" if isinstance(error, LoopNestError) else str(error))
    click.echo(str(found))
    if found.verdict == "better":
        click.echo(found.command.replace(f"{file.stem}-better.c", str(target)))
