# Every target sets up what it needs by itself: a virtual environment in .venv, the native
# build, the dependencies. Needed beforehand: Python 3.11 or newer with venv, a C++20 compiler.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
JOBS   ?= 2
SANITIZED := build/native-asan
THREADED  := build/native-tsan
FUZZ_SECONDS ?= 2

# What is imported is compiled then, and kept, as each of the hundreds of processes that tests start
# would compile it again; all that is installed, ten times as much, pip would compile first.
unexport PYTHONDONTWRITEBYTECODE
PIP_INSTALL := $(BIN)/python -m pip --disable-pip-version-check --quiet install --no-compile
# The extras race, vw, fleet and placement are installed apart, if need be one by one: not every platform has a wheel of each. obp is
# wanted for the sample of the Open Bandit Dataset that lies in it, not for what it imports.
PRINT_PEERS := import tomllib; extras = tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]; print(*extras["race"], *extras["vw"], *extras["fleet"], *extras["placement"])
PRINT_RIVALS := import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["bench"])
NATIVE_SOURCES := CMakeLists.txt $(shell find native -name '*.[ch]pp' -o -name '*.inl' 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help demo test test-python test-cluster test-faults test-later test-native build-native check bench format clean

help:  ## Show this text
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/.installed  ## Race a learned cache against the strongest heuristics; write out/caching.html
	@mkdir -p out
	$(BIN)/acumen race caching --quick --json out/caching.json --html out/caching.html

test: test-native test-python  ## Run every test, Python and C++ (under ASan, UBSan and TSan)

# What computes is spread over the cores. Later, and one after the other, runs what looks at clocks,
# or at memory and threads of the machine; beside it clusters, which are patient, and mostly wait.
# What `check` runs is not run here again.
CLUSTER := tests/fleet/test_cluster.py
FAULTS := tests/fleet/test_cluster_trials.py tests/fleet/test_faults.py
LATER := tests/test_code_search.py tests/test_cli_tune.py \
  tests/evaluation/programs/test_program_runs.py tests/flags/test_program_subject.py tests/compilers/test_nest_search.py \
  $(addprefix tests/core/test_,background.py choice_feedback.py choice_lifetime.py following.py \
  journal.py journal_busy.py journal_processes.py locks.py python_learner.py)
CHECKED := tests/test_tidy.py
# Beside these nothing else is to run, not even with `make -j2 check test`.
test-python: $(VENV)/.installed | $(filter check,$(MAKECMDGOALS)) $(if $(filter test,$(MAKECMDGOALS)),test-native)
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal tests $(addprefix --ignore=,$(CLUSTER) $(FAULTS) $(LATER) $(CHECKED))
	$(MAKE) -j3 --no-print-directory test-cluster test-faults test-later
test-cluster: $(VENV)/.installed
	$(BIN)/python -m pytest $(CLUSTER)
test-faults: $(VENV)/.installed
	$(BIN)/python -m pytest $(FAULTS)
test-later: $(VENV)/.installed
	$(BIN)/python -m pytest $(LATER)

build-native: $(SANITIZED)/CMakeCache.txt $(THREADED)/CMakeCache.txt
	$(BIN)/cmake --build $(SANITIZED) -j $(JOBS)
	$(BIN)/cmake --build $(THREADED) -j $(JOBS) --target threads_tests

test-native: build-native
	ACUMEN_FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/ctest --test-dir $(SANITIZED) --output-on-failure --no-tests=error -j $(JOBS)
	$(BIN)/ctest --test-dir $(THREADED) --output-on-failure --no-tests=error -j $(JOBS)

check: $(VENV)/.installed  ## Format, lint, types, architecture, doctests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/clang-format --dry-run --Werror $(filter %.hpp %.cpp,$(NATIVE_SOURCES))
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest acumen._native --concise --allowlist tests/stubtest-allowlist.txt
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q $(CHECKED) src

bench: $(VENV)/.benchmarks  ## Measure speed beside peers, in one run
	$(BIN)/python benchmarks/choice_overhead.py
	$(BIN)/python benchmarks/cache_overhead.py
	$(BIN)/python benchmarks/journal_overhead.py
	$(BIN)/python benchmarks/journal_crash.py

format: $(VENV)/.installed  ## Rewrite the sources in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/clang-format -i $(filter %.hpp %.cpp,$(NATIVE_SOURCES))

clean:  ## Remove everything that was built, the virtual environment too
	rm -rf $(VENV) build out

# The virtual environment, the build tools, then the package itself (editable, so that Python
# changes need no step; native changes re-run this rule, incrementally, in build/).
$(VENV)/.tools: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Acumen needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Set PYTHON=") if sys.version_info < (3, 11) else None'
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -c 'import pip, sys; sys.exit(int(pip.__version__.split(".")[0]) < 25)' || \
	  $(PIP_INSTALL) --retries 1 --upgrade "pip>=25" || echo "pip stays as it is: it takes three times as long"
	$(PIP_INSTALL) "scikit-build-core>=0.11" "nanobind>=2.4" "numpy>=2.0" "cmake>=3.21" "ninja>=1.10"
	@touch $@

$(VENV)/.installed: $(VENV)/.tools $(NATIVE_SOURCES)
	$(PIP_INSTALL) --no-build-isolation -e '.[dev]'
	@peers=$$($(BIN)/python -c '$(PRINT_PEERS)'); $(PIP_INSTALL) $$peers || for package in $$peers; do \
	  $(PIP_INSTALL) "$$package" || echo "$$package cannot be installed here: what needs it is left out"; done
	@$(PIP_INSTALL) --no-deps obp || echo "obp cannot be installed here: tests on its sample are left out"
	@touch $@

$(VENV)/.benchmarks: $(VENV)/.installed
	$(PIP_INSTALL) $$($(BIN)/python -c '$(PRINT_RIVALS)')
	@touch $@

$(SANITIZED)/CMakeCache.txt: $(VENV)/.tools
	$(BIN)/cmake -S . -B $(SANITIZED) -G Ninja -DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(BIN)/ninja \
	  -DACUMEN_NATIVE_TESTS=ON -DACUMEN_SANITIZE=address,undefined,float-cast-overflow
	@touch $@

$(THREADED)/CMakeCache.txt: $(VENV)/.tools
	$(BIN)/cmake -S . -B $(THREADED) -G Ninja -DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(BIN)/ninja \
	  -DACUMEN_NATIVE_TESTS=ON -DACUMEN_SANITIZE=thread
	@touch $@
