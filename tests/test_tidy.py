"""The house's own rules, as far as a machine can see them: size, place, and what is imported."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "acumen"
COLUMNS_MAX = 100
FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 500
HEADINGS = ["Choice", "Context", "Metric", "Heuristics", "Bound", "Result", "References"]
# Modules that are entered from outside, not imported by another module: the command, readers of
# other people's formats, and adapters whose users have installed what they adapt.
ENTRANCES = {
    "acumen.cli",
    "acumen.evaluation.open_bandit",
    "acumen.gym",
    "acumen.learners.vowpal_wabbit",
    "acumen.testing.logged_worlds",
}


def files(*patterns: str) -> list[Path]:
    folders = ("src", "tests", "benchmarks", "examples", "native")
    return sorted(
        path
        for folder in folders
        for pattern in patterns
        for path in (ROOT / folder).rglob(pattern)
    )


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


PYTHON = files("*.py")
NATIVE = files("*.hpp", "*.cpp")
SOURCES = [path for path in PYTHON if PACKAGE in path.parents]
DOMAINS = sorted(p.parent for p in PACKAGE.rglob("race.py") if p.parent.name != "evaluation")


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def test_there_is_something_to_check() -> None:
    assert len(SOURCES) > 20
    assert NATIVE
    assert DOMAINS


def test_lines_are_short() -> None:
    long = [
        f"{name_of(path)}:{number}"
        for path in files("*.py", "*.pyi", "*.hpp", "*.cpp", "*.css", "*.js")
        for number, line in enumerate(lines_of(path), 1)
        if len(line) > COLUMNS_MAX
    ]
    assert not long, f"longer than {COLUMNS_MAX} columns: {long}"


def test_modules_are_short() -> None:
    long = [name_of(path) for path in PYTHON + NATIVE if len(lines_of(path)) > MODULE_LINES_MAX]
    assert not long, f"longer than {MODULE_LINES_MAX} lines: {long}"


def test_functions_are_short() -> None:
    long = [
        f"{name_of(path)}: {name}, {lines} lines"
        for path in PYTHON + NATIVE
        for name, lines in functions_of(path)
        if lines > FUNCTION_LINES_MAX
    ]
    assert not long, f"longer than {FUNCTION_LINES_MAX} lines: {long}"


def functions_of(path: Path) -> Iterator[tuple[str, int]]:
    return python_functions(path) if path.suffix == ".py" else native_functions(path)


def python_functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def native_functions(path: Path) -> Iterator[tuple[str, int]]:
    """Functions of formatted C++: from where a definition begins to the brace below its start."""
    lines = lines_of(path)
    for opening, line in enumerate(lines):
        if not re.search(r"\).*\{$", line):
            continue
        start = opening
        while start and not re.search(r"(^\s*|[;{}:]|^\s*//.*)$", lines[start - 1]):
            start -= 1
        first = lines[start]
        if re.match(r"\s*(\} )?(if|else|for|while|switch|catch|do|namespace)\b", first):
            continue
        closing = re.compile(re.match(r" *", first)[0] + r"\}[;)]*")  # type: ignore[index]
        for end in range(opening + 1, len(lines)):
            if closing.fullmatch(lines[end]):
                yield first.strip(), end - start + 1
                break


@pytest.mark.parametrize("folder", DOMAINS, ids=name_of)
def test_a_domain_folder_has_its_evidence(folder: Path) -> None:
    for needed in ("__init__.py", "heuristics.py", "learned.py", "race.py", "README.md"):
        assert (folder / needed).is_file(), f"{name_of(folder)} has no {needed}"
    headings = [line[3:].strip() for line in lines_of(folder / "README.md") if line[:3] == "## "]
    assert headings == HEADINGS


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Modules that a file imports, and whether already when it is loaded."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    eager = set()
    for node in tree.body:
        eager |= {id(n) for n in ast.walk(node)} if isinstance(node, ast.Import) else {id(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in eager) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, id(node) in eager
            for alias in node.names:
                yield f"{node.module}.{alias.name}", id(node) in eager
        elif isinstance(node, ast.Constant) and re.fullmatch(r"acumen(\.\w+)+", str(node.value)):
            # Lazy tables name modules as text.
            yield str(node.value), False


def test_no_module_is_an_orphan() -> None:
    imported = {name for path in SOURCES for name, _ in imports(path) if name != module_name(path)}
    orphans = [
        module_name(path)
        for path in SOURCES
        if path.name != "__init__.py"
        # Races are found by looking.
        and not (path.name == "race.py" and path.parent in DOMAINS)
        and module_name(path) not in imported | ENTRANCES
    ]
    assert not orphans


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=!~;\[ ]", name.strip())[0]).lower()


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BASE = {normal(name) for name in PROJECT["dependencies"]}
EXTRAS = {
    extra: {normal(name) for name in names}
    for extra, names in PROJECT["optional-dependencies"].items()
}
DISTRIBUTIONS = packages_distributions()


def third_party(path: Path) -> Iterator[tuple[str, bool]]:
    own = {"acumen", *(p.stem for p in PYTHON if PACKAGE not in p.parents)}
    for name, eager in imports(path):
        top = name.partition(".")[0]
        if top not in own and top not in sys.stdlib_module_names and top != "__future__":
            yield top, eager


def distributions(top: str) -> set[str]:
    return {normal(name) for name in DISTRIBUTIONS.get(top, [top])}


def test_the_package_imports_what_is_declared() -> None:
    product = BASE.union(*(EXTRAS[extra] for extra in EXTRAS if extra not in ("bench", "dev")))
    undeclared = [
        f"{name_of(path)} imports {top}"
        for path in SOURCES
        for top, eager in third_party(path)
        # Optional ones only where they are needed, in a function.
        if not distributions(top) & (BASE if eager else product)
    ]
    assert not undeclared


def test_tests_and_benchmarks_import_what_is_declared() -> None:
    declared = BASE.union(*EXTRAS.values())
    undeclared = [
        f"{name_of(path)} imports {top}"
        for path in PYTHON
        if path not in SOURCES
        for top, _ in third_party(path)
        if not distributions(top) & declared
    ]
    assert not undeclared


def test_each_optional_dependency_is_imported_in_one_file() -> None:
    where: dict[str, set[str]] = {}
    for path in SOURCES:
        for top, _ in third_party(path):
            if not distributions(top) & BASE:
                where.setdefault(top, set()).add(name_of(path))
    assert {top: paths for top, paths in where.items() if len(paths) > 1} == {}


def test_the_product_knows_no_development_path() -> None:
    for path in [*SOURCES, *NATIVE]:
        assert "shared/data" not in path.read_text(encoding="utf-8"), name_of(path)


def test_test_modules_have_names_of_their_own() -> None:
    """Those of the same name in two folders cannot be run in one go."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert {name for name in names if names.count(name) > 1} == set()
