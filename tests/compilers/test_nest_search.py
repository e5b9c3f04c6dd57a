"""From a file to a verdict, in Python and on the command line."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from nests import KERNELS

pytest.importorskip("islpy")
pytest.importorskip("pycparser")

from acumen.cli import main
from acumen.compilers.loop_nests import LoopNestError, optimise
from acumen.compilers.loop_nests.first_settings import (
    features_of,
    first_settings,
    read_lessons,
)
from acumen.compilers.loop_nests.guided import Guided
from acumen.compilers.loop_nests.program import load_program
from acumen.compilers.loop_nests.settings import Choices, space_of
from acumen.compilers.loop_nests.workloads import KERNELS as SHIPPED
from acumen.compilers.loop_nests.workloads import PARAMETERS, VALUES

SMALL = ["-DNI=300", "-DNJ=320", "-DNK=340"]


def test_gemm_gets_faster(tmp_path: Path) -> None:
    found = optimise(
        KERNELS / "2mm.c",
        flags=[*SMALL, "-DNL=310"],
        budget=2,
        threads=1,
        repeats=8,
        out=tmp_path / "better.c",
    )
    # Dot products down the columns: the original is at least three times as slow.
    assert found.verdict == "better"
    assert found.low > 1
    assert found.pairs == 8
    assert "faster by" in str(found)
    made = subprocess.run(
        [*found.command.split()[:-3], "-o", tmp_path / "better", "-lm"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    assert "#pragma scop" in (tmp_path / "better.c").read_text()


def test_a_program_that_fails_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "p.c"
    body = "#pragma scop\nfor (int i = 0; i < 9; i++) A[i] = 1;\n#pragma endscop\n"
    path.write_text(f"int A[9];\nint main(void) {{\n{body}return 3; }}")
    with pytest.raises(LoopNestError, match="fails as it is: exit code 3"):
        optimise(path, budget=2)
    path.write_text(f"int A[9]\nint main(void) {{\n{body}return 0; }}")
    with pytest.raises(LoopNestError, match="refuses the program"):
        optimise(path, budget=2)


def test_an_output_that_proves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "p.c"
    for line, words in (("", "prints nothing"), ('printf("%ld\\n", clock());', "each time")):
        path.write_text(
            "#include <stdio.h>\n#include <time.h>\nint A[9];\nint main(void) {\n#pragma scop\n"
            f"for (int i = 0; i < 9; i++) A[i] = 1;\n#pragma endscop\n{line} return 0; }}"
        )
        with pytest.raises(LoopNestError, match=words):
            optimise(path, budget=2)
    path.write_text(
        "int A[9];\nint main(void) {\n#pragma scop\nint s = 1;\n"
        "for (int i = 0; i < 9; i++) A[i] = s;\n#pragma endscop\nreturn s - 1; }"
    )
    with pytest.raises(LoopNestError, match="line 4: what the region declares is used after it"):
        optimise(path, budget=2)


def test_the_command(tmp_path: Path) -> None:
    path = tmp_path / "p.c"
    path.write_text(
        "#include <stdio.h>\ndouble A[9];\nint main(void) {\n#pragma scop\n"
        "for (int i = 0; i < 9; i++)\n  A[i] = 1;\n#pragma endscop\n"
        'printf("%g\\n", A[3]); }\n'
    )
    verdict = tmp_path / "verdict.json"
    done = CliRunner().invoke(
        main, ["nests", str(path), "--budget", "2", "--repeats", "6", "--json", str(verdict)]
    )
    assert done.exit_code == 0, done.output
    said = json.loads(verdict.read_text())
    assert said["verdict"] in ("better", "no_difference")
    assert {"ratio", "low", "high", "n", "command", "setting"} <= set(said)
    path.write_text(path.read_text().replace("A[i] = 1", "A[i * i] = 1"))
    done = CliRunner().invoke(main, ["nests", str(path)])
    assert done.exit_code == 2
    assert "line 6" in done.output
    done = CliRunner().invoke(main, ["nests", str(path), "--out", str(path)])
    assert "the file itself" in done.output


def test_first_settings_leave_a_program_s_own_lesson_out(tmp_path: Path) -> None:
    flags = ["-DM=20", "-DN=30"]
    program = load_program(KERNELS / "syrk.c", tmp_path, flags)
    choices, space = Choices(program.model, program.types), space_of(2)
    features = features_of(choices)
    assert all(0 <= value < 3 for value in features.values())
    lessons = read_lessons()
    assert {lesson.program for lesson in lessons} <= set(PARAMETERS)
    everything = first_settings(choices, space, 2, lessons)
    for setting in everything:
        space.check(setting)
    others = first_settings(choices, space, 2, lessons, without="syrk")
    own = next((lesson for lesson in lessons if lesson.program == "syrk"), None)
    if own and own.settings:
        assert everything != others


def test_guided_search_begins_as_told_and_goes_on_from_the_best() -> None:
    space = space_of(2)
    first = [space.complete({"schedule": "split", "rows": rows}) for rows in (2, 4, 8)]
    searcher = Guided([*first, first[0]]).build(space, 1)
    asked = [searcher.ask() for _ in range(3)]
    assert [each.setting for each in asked] == first
    for each, value in zip(asked, (3.0, 1.0, 2.0), strict=True):
        searcher.tell(each, value)
    steps = [searcher.ask() for _ in range(30)]
    assert {each.learner for each in steps} == {"step"}
    keys = {space.key(each.setting) for each in [*asked, *steps]}
    assert len(keys) == 33
    near = [sum(first[1].get(k) != v for k, v in each.setting.items()) for each in steps]
    assert np.median(near) <= 3


def test_every_kernel_has_its_sizes() -> None:
    assert {path.stem for path in SHIPPED.glob("*.c")} == set(PARAMETERS) == set(VALUES)
    for name, values in VALUES.items():
        for each in values:
            assert len(each.split()) == len(PARAMETERS[name].split())
        text = (SHIPPED / f"{name}.c").read_text()
        for parameter, value in zip(PARAMETERS[name].split(), values[3].split(), strict=True):
            # What a kernel is without flags is the large size.
            assert f"#define {parameter} {value}\n" in text
