"""Flags written in a command: what they mean, and what is not understood."""

from __future__ import annotations

import shlex
import string
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acumen.flags import TemplateError, parse_command, parse_piece
from acumen.learners.search import Categorical, Integer, Real, When

ISSUED = (
    "gcc -O3 {opt:-funroll-loops?} {unroll:--param=max-unroll-times=[2..32]} kernel.c -o kernel"
    " && ./kernel"
)


def test_by_default_the_command_is_what_it_was() -> None:
    command = parse_command(ISSUED.split())
    default = command.space().default
    assert command.shown(default) == "gcc -O3 kernel.c -o kernel && ./kernel"
    assert command.arguments(default) == (
        ("gcc", "-O3", "kernel.c", "-o", "kernel"),
        ("./kernel",),
    )
    setting = command.space().complete({"opt": True, "use_unroll": True, "unroll": 8})
    assert command.arguments(setting)[0] == (
        *("gcc", "-O3", "-funroll-loops", "--param=max-unroll-times=8"),
        *("kernel.c", "-o", "kernel"),
    )


def test_a_shell_leaves_placeholders_alone() -> None:
    """So that the command can be written as the documents say."""
    for shell in ("sh", "bash"):
        words = "{opt:-funroll-loops?} {unroll:--param=max-unroll-times=[2..32]} {flags}"
        said = subprocess.run(
            [shell, "-c", f"printf '%s\\n' {words}"], capture_output=True, text=True, check=True
        )
        assert said.stdout.split() == words.split()


@pytest.mark.parametrize(
    ("text", "parameter", "default"),
    [
        ("-O[1,2,3]", Categorical(["1", "2", "3"]), "-O1"),
        ("-O[1,2*,3]", Categorical(["1", "2", "3"], default="2"), "-O2"),
        ("-O[1,2*,3]?", Categorical(["1", "2", "3"], default="2"), None),
        ("-O[1,2*,3]?on", Categorical(["1", "2", "3"], default="2"), "-O2"),
        ("-f[,no-]gcse?", Categorical(["", "no-"]), None),
        ("-n[2..32]", Integer(2, 32), None),
        ("-n[2..32]?", Integer(2, 32), None),
        ("-n[2..32=5]", Integer(2, 32, default=5), "-n5"),
        ("-n[2..32=5]?", Integer(2, 32, default=5), None),
        ("-n[-3..3=-1]x", Integer(-3, 3, default=-1), "-n-1x"),
        ("[1..1024 log=64]", Integer(1, 1024, log=True, default=64), "64"),
        ("[1..1024log=64]", Integer(1, 1024, log=True, default=64), "64"),
        ("-r[0.5..2=1]", Real(0.5, 2.0, default=1.0), "-r1"),
        ("-r[1e-3..1 log=0.1]", Real(1e-3, 1.0, log=True, default=0.1), "-r0.1"),
        ("--x?", None, None),
        ("--x?on", None, "--x"),
    ],
)
def test_pieces(text: str, parameter: object, default: str | None) -> None:
    piece = parse_piece("name", text)
    assert piece.parameter == parameter
    command = parse_command([f"{{name:{text}}}", "x"])
    assert piece.render(command.space().default) == default


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["x"], "nothing may vary"),
        (["x", "{a:-[1]}"], "neither a range, [2..32], nor a choice"),
        (["x", "{a:-[9..1]}"], "low < high"),
        (["x", "{a:-[1..9=12]}"], "outside"),
        (["x", "{a:-[0..9 log=3]}"], "positive"),
        (["x", "{a:[1,2][3,4]}"], "only one part"),
        (["x", "{a:[1*,2*]}"], "only one value"),
        (["x", "{a:[1,1]}"], "equal"),
        (["x", "--n={a:[1..9]}"], "as in [1..9=4]"),
        (["x", "{a:[1..9]?on}"], "with which number"),
        (["x", "{a:-x?}", "{a:-y?}"], "two flags are called a"),
        (["x", "{a:-x[1..2]}", "{use_a:-y?}"], "two flags are called use_a"),
        (["x", "{flags:-x?}"], "cannot be a flag's name"),
        (["&&", "x", "{a:-x?}"], "a command is missing beside &&"),
        ([], "a command is missing"),
        (["x", "level:-O[1", "2", "3]"], "put it between quotes"),
    ],
)
def test_what_is_not_understood_is_explained(words: list[str], message: str) -> None:
    with pytest.raises(TemplateError) as error:
        parse_command(words).space()
    assert message in str(error.value)


@pytest.mark.parametrize(
    "text", ["{print $1}", '{"a": [1, 2]}', "{a:1}", "{name}", "{}", "{flags}"]
)
def test_other_braces_stay(text: str) -> None:
    command = parse_command(["awk", text, "{x:-y?}"])
    assert command.arguments({"x": False}) == (("awk", text),)


def test_a_flag_may_be_a_part_of_a_word_or_several() -> None:
    command = parse_command(["x", "--lzma2=mode={mode:[fast,normal]},nice={nice:[8..273=64]}"])
    assert command.arguments({"mode": "fast", "nice": 100}) == (
        ("x", "--lzma2=mode=fast,nice=100"),
    )
    command = parse_command(["clang", "{u:-mllvm -unroll-count=[2,4]?}", "{q:-D 'A B'?}"])
    assert command.arguments({"u": "4", "q": True}) == (
        ("clang", "-mllvm", "-unroll-count=4", "-D", "A B"),
    )


def test_flags_from_elsewhere_go_where_they_are_wanted() -> None:
    pieces = {name: parse_piece(name, f"-{name}[1..9=5]") for name in "abc"}
    command = parse_command(["x", "{b}", "--", "{flags}"], pieces)
    assert command.arguments({"a": 1, "b": 2, "c": 3}) == (("x", "-b2", "--", "-a1", "-c3"),)
    command = parse_command(["x", "y={flags}"], pieces, join=",")
    assert command.arguments({"a": 1, "b": 2, "c": 3}) == (("x", "y=-a1,-b2,-c3"),)
    command = parse_command(["./x", "{a}"], pieces)
    assert command.environment({"a": 1, "b": 2, "c": 3}) == {"ACUMEN_FLAGS": "-b2 -c3"}
    assert command.shown({"a": 1, "b": 2, "c": 3}) == "ACUMEN_FLAGS='-b2 -c3' ./x -a1"


def test_conditions_and_constraints() -> None:
    pieces = {"a": parse_piece("a", "-a?"), "b": parse_piece("b", "-b[1..9=5]")}
    command = parse_command(["x", "{flags}"], pieces, conditions={"b": When("a", True)})
    assert command.arguments(command.space().default) == (("x",),)
    limited = parse_command(["x", "{n:[1..9=5]}"], constraints=["n <= 6"]).space()
    assert all(limited.sample(np.random.default_rng(i))["n"] <= 6 for i in range(20))
    with pytest.raises(TemplateError, match="there is no parameter 'm'"):
        parse_command(["x", "{n:[1..9=5]}"], constraints=["m <= 6"]).space()


def test_for_a_shell_it_is_one_line() -> None:
    command = parse_command(["x {a:-y?} | wc && echo $HOME"], shell=True)
    line = "x -y | wc && echo $HOME"
    assert command.arguments({"a": True}) == (("/bin/sh", "-c", line),)
    assert command.shown({"a": True}) == line


NAMES = st.text(string.ascii_lowercase, min_size=1, max_size=5)
VALUES = st.text(string.ascii_letters + string.digits + "-_=/", min_size=1, max_size=5)
TEXTS = st.one_of(
    st.builds(lambda v: f"-{v}?", VALUES),
    st.builds(lambda v: f"-{v}?on", VALUES),
    st.builds(
        lambda v, more: f"-{v}=[{','.join(more)}]",
        VALUES, st.lists(VALUES, min_size=2, max_size=4, unique=True),
    ),
    st.builds(
        lambda v, low, size: f"--{v}=[{low}..{low + size}]", VALUES,
        st.integers(-99, 99), st.integers(1, 99),
    ),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES.filter(lambda n: n != "flags"), TEXTS, min_size=1, max_size=5),
       st.integers(0, 9))  # fmt: skip
def test_what_is_shown_is_what_is_run(flags: dict[str, str], seed: int) -> None:
    """And every setting can be drawn and rendered; the default shows no flag that was optional."""
    command = parse_command(["prog", *(f"{{{name}:{text}}}" for name, text in flags.items())])
    space = command.space()
    for setting in (space.default, space.sample(np.random.default_rng(seed))):
        (arguments,) = command.arguments(setting)
        assert shlex.split(command.shown(setting)) == list(arguments)
        for name, piece in command.pieces.items():
            text = piece.render(setting)
            assert (text is None) or text in arguments
            assert "[" not in (text or ""), name
    for name, text in flags.items():
        if text.endswith("?") or ".." in text:
            assert command.pieces[name].render(space.default) is None


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text("{}[]:?,.-&ab19=* ", max_size=12), max_size=4))
def test_anything_is_understood_or_refused(words: list[str]) -> None:
    try:
        command = parse_command(words)
        space = command.space()
    except TemplateError:
        return
    assert len(command.arguments(space.default)) == words.count("&&") + 1
