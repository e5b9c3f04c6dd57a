"""What is no static control part is refused, with the line and in words."""

import sys
from pathlib import Path

import pytest
from nests import model, region_of

from acumen.compilers.loop_nests import LoopNestError, MissingError, RegionError, optimise

pytest.importorskip("islpy")
pytest.importorskip("pycparser")

from acumen.compilers.loop_nests.program import same_output
from acumen.compilers.loop_nests.scop import sketch
from acumen.compilers.loop_nests.source import read_source
from acumen.compilers.loop_nests.syntax import parse_region

LOOP = "for (int i = 0; i < 9; i++)"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{LOOP}\nA[i * i] = 0;", "line 2.*affine"),
        (f"{LOOP}\n  A[B[i]] = 0;", "line 2.*affine"),
        (f"{LOOP} {{\n\n  A[i] = f(i); }}", r"line 3: f\(\) is not known"),
        ("while (x < 3)\n  x++;", "line 1: a while"),
        (f"{LOOP} {{ if (A[i] > 0) B[i] = 1; }}", "line 1.*affine"),
        ("for (int i = 0; i < 9; i *= 2) A[i] = 0;", "line 1"),
        ("for (int i = 0; i != 9; i++) A[i] = 0;", "does not bound"),
        ("for (int i = 0; i >= 0; i++) A[i] = 0;", "does not bound"),
        ("for (int i = 0; i < 9 && i > 3; i++) A[i] = 0;", "does not bound"),
        (f"{LOOP} *p = 1;", "named arrays"),
        (f"{LOOP} s.x += A[i];", "named arrays"),
        (f"{LOOP} A[i] = B[i++];", "side effects|affine"),
        (f"{LOOP} {{ n = A[i]; for (int j = 0; j < n; j++) B[j] = 0; }}", "n is written"),
        (f"{LOOP} i = 3;", "iterator i is written"),
        (f"{LOOP} {LOOP} A[i] = 0;", "iterator of a loop around"),
        (f"{LOOP} A[i] = A[i][0];", "subscripts"),
        ("for (int i = 5; i < 3; i++) A[i] = 0;", "never runs|ever runs"),
        (f"{LOOP} {{ A[i] = 0 }}", "cannot be parsed"),
        ("", "no statement"),
        (f"{LOOP} {{ int *p; A[i] = 0; }}", "only scalars"),
        (f"{LOOP} {{ if (i == 3) break; A[i] = 0; }}", "a break"),
        ("for (i = 0; i < 9; i++) A[i] = 0;\nA[i] = 1;", "line 2: i is used outside"),
        ("for (i = 0; i < 9; i++) A[i] = 0;\nx = i;", "line 2: i is used outside"),
        (f"{LOOP} {{ static int s = 1; A[i] = s++; }}", "outlives the region"),
        (f"{LOOP} {{ int m = i + 1; A[m] = 0; }}", "m is written"),
        (f"{LOOP} A[i] = (long)(float *)B;", "only scalars"),
        (f"{LOOP} A[(unsigned char)i] = 0;", "affine"),
        (f"{LOOP} A[i < 5 ? i : 2] = 0;", "affine"),
        ("for (unsigned i = 9; i >= 0; i--) A[i] = 0;", "below zero"),
        (f"{LOOP} for (unsigned j = 0; j < 9; j++) if (i - j > 0) A[i] = 0;", "below zero"),
    ],
)
def test_what_is_not_affine_is_refused(text: str, words: str) -> None:
    with pytest.raises(RegionError, match=words):
        model(text)


def test_unsigned_numbers_that_stay_above_zero() -> None:
    region = model("for (unsigned i = 9; i > 0; i--) for (unsigned j = 0; j < i; j++) A[i][j] = 0;")
    assert region.domain.as_set().count_val().to_python() == 45


def test_bounds_that_are_the_least_and_the_largest() -> None:
    region = model(
        "for (int i = 0; i < 9; i++)"
        " for (int j = i - 2 > 0 ? i - 2 : 0; j < (9 < i + 3 ? 9 : i + 3) - 1; j += 2) A[i][j] = 0;"
    )
    wanted = sum(len(range(max(i - 2, 0), min(9, i + 3) - 1, 2)) for i in range(9))
    assert region.domain.as_set().count_val().to_python() == wanted


def test_flags_in_two_words(tmp_path: Path) -> None:
    (tmp_path / "include").mkdir()
    (tmp_path / "include/size.h").write_text("#define N 010\n")
    path = tmp_path / "program.c"
    text = '#include "size.h"\n#pragma scop\nfor (int i = 0; i < N; i++) A[i] = 0; // M\xfcller\n'
    path.write_bytes(f"{text}#pragma endscop\n".encode("latin-1"))
    source = read_source(path, ["-I", str(tmp_path / "include"), "util.c", "-lm"])
    assert source.values == {"N": 8}


def test_marks(tmp_path: Path) -> None:
    for text, words in (
        ("int main(void) { return 0; }", "no region"),
        ("#pragma endscop\n#pragma scop\n", "line 1.*before"),
        ("#pragma scop\n#pragma scop\n#pragma endscop\n", "more than one"),
        ("#pragma scop\n#if\n#pragma endscop\n", "preprocessor refuses"),
        ("for (;;)\n#pragma scop\nx = 1; y = 1;\n#pragma endscop\n", "line 2.*give it braces"),
    ):
        with pytest.raises(LoopNestError, match=words):
            region_of(tmp_path, text)
    with pytest.raises(LoopNestError, match=r"absent\.c"):
        optimise(tmp_path / "absent.c")
    with pytest.raises(LoopNestError, match=r"C\+\+"):
        optimise(tmp_path / "absent.cpp")


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    text = (
        "#define N 9\n/* two\n lines */\n#pragma scop\nfor (int i = 0; i < N; i++)\n  A[i*i] = 0;\n"
    )
    source = region_of(tmp_path, f"{text}#pragma endscop\n")
    assert source.values == {"N": 9}
    tree = parse_region(source.expanded)
    with pytest.raises(RegionError, match="line 6") as refused:
        sketch(tree)
    assert refused.value.line == 6


def test_loops_that_count_down_and_in_steps() -> None:
    region = model("for (int i = 9; i > 0; i -= 3) for (int j = i; j <= 9; j += 2) A[i][j] = 1;")
    domain = region.domain
    found: list[tuple[int, ...]] = []
    domain.foreach_set(
        lambda s: s.foreach_point(
            lambda p: found.append(
                tuple(int(p.get_coordinate_val(3, d).to_python()) for d in range(2))
            )
        )
    )
    wanted = [(i, j) for i in range(9, 0, -3) for j in range(i, 10, 2)]
    assert sorted(found) == sorted(wanted)


def test_outputs_are_compared_number_by_number() -> None:
    assert same_output("a 1.0", "a 1.0")
    assert not same_output("a 1.0", "a 1.00000000001")
    assert same_output("a 1.0 0x12", "a 1.00000000001 0x13", 1e-8)
    assert not same_output("a 1.0", "a 1.001", 1e-8)
    assert not same_output("a 1.0", "b 1.0", 1e-8)
    assert not same_output("1 2", "1", 1e-8)


def test_without_the_extra_a_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "p.c"
    path.write_text(
        f"int A[9];\nint main(void) {{\n#pragma scop\n{LOOP} A[i] = 1;\n#pragma endscop\n}}"
    )
    for name in ("islpy", "pycparser"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, None)
            with pytest.raises(MissingError, match=r"acumen\[compilers\]"):
                optimise(path, budget=2)
