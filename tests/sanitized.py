"""Runs Python tests with the extension module built under AddressSanitizer and UBSan.

    .venv/bin/python tests/sanitized.py [pytest arguments]

By hand, not in `make test`: it takes minutes. The module is built in build/python-asan; python
itself is not instrumented, so the sanitizer's library is preloaded, and leaks, of which an
interpreter has many on purpose, are not looked for.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "python-asan"
SITE = BUILD / "site"
SANITIZED = "ACUMEN_SANITIZED"


def build() -> None:
    tools = Path(sys.executable).parent
    configure = [tools / "cmake", "-S", ROOT, "-B", BUILD, "-G", "Ninja"]
    configure += [
        f"-DCMAKE_MAKE_PROGRAM={tools / 'ninja'}",
        f"-DPython_EXECUTABLE={sys.executable}",
    ]
    configure += ["-DACUMEN_SANITIZE=address,undefined", "-DCMAKE_BUILD_TYPE=Release"]
    configure += ["-DACUMEN_UNITY=OFF"]  # so that it is compiled in both ways
    subprocess.run(configure, check=True)
    subprocess.run([tools / "cmake", "--build", BUILD, "-j", "2"], check=True)
    shutil.rmtree(SITE, ignore_errors=True)
    shutil.copytree(ROOT / "src", SITE)
    subprocess.run([tools / "cmake", "--install", BUILD, "--prefix", SITE], check=True)


def library(name: str) -> str:
    found = subprocess.run(
        ["g++", f"-print-file-name={name}"], check=True, capture_output=True, text=True
    )
    return found.stdout.strip()


def main() -> None:
    if SANITIZED not in os.environ:
        build()
        os.environ[SANITIZED] = "1"
        os.environ["LD_PRELOAD"] = f"{library('libasan.so')}:{library('libubsan.so')}"
        os.environ["ASAN_OPTIONS"] = "detect_leaks=0:abort_on_error=1"
        os.environ["UBSAN_OPTIONS"] = "halt_on_error=1:print_stacktrace=1"
        # Every object an allocation of its own: what is used after free is seen.
        os.environ["PYTHONMALLOC"] = "malloc"
        os.execv(sys.executable, [sys.executable, __file__, *sys.argv[1:]])
    # The editable install finds the package by a finder of its own, before sys.path.
    sys.meta_path[:] = [f for f in sys.meta_path if "ScikitBuild" not in type(f).__name__]
    sys.path.insert(0, str(SITE))
    import pytest

    import acumen._native as native

    assert native.__file__ is not None
    assert Path(native.__file__).is_relative_to(SITE), native.__file__
    sys.exit(pytest.main(["-p", "no:cacheprovider", *(sys.argv[1:] or [str(ROOT / "tests")])]))


if __name__ == "__main__":
    main()
