# make setup        install everything into .venv (done by the others when it is needed)
# make notebooks    run the course: executed notebooks and an index in build/$(LANE)/
# make app          the playground as a page of its own, for a class or a demo
# make site         the executed course as one HTML site for a folder or a stick: build/site/index.html
# make browser      tests of notebooks, app and site in this machine's Chromium; screenshots in build/screenshots/
# make lint         the linter, the type checker, the count of lines
# make test | lab | bench | clean
PYTHON ?= python3
LANE ?= cpu
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup notebooks test lint lab app site browser bench lock clean distclean

help:
	@grep '^# make' Makefile | sed 's/^# //'

setup: $(STAMP)

# Made anew only when what it depends on changes. The last lines: torchaudio beside a CPU-only torch, and librosa's
# loops compiled by one process, before several might do so at once.
$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make setup PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -c 'from vcemo_lib import _torchaudio; _torchaudio.install()'
	$(BIN)/python -c 'from vcemo_lib.course import prosody; prosody.compile_loops()'
	touch $(STAMP)

# ONLY="03 05" runs these alone; JOBS=1 runs one at a time.
notebooks: $(STAMP)
	$(BIN)/python -m vcemo_lib course run --lane $(LANE) $(if $(ONLY),--only $(ONLY)) $(if $(JOBS),--jobs $(JOBS))

# TESTS="-k audio -x" is passed on.
test: $(STAMP)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --ignore tests/browser $(TESTS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python tests/lines.py

# Skips, saying so, where there is no Chromium: on the PATH, or named by VCEMO_CHROMIUM.
browser: $(STAMP)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-build-isolation --editable '.[browser]'
	$(BIN)/python -m pytest tests/browser $(TESTS)

lab: $(STAMP)
	$(BIN)/python -m jupyterlab notebooks

# APP="--port=8867 --no-browser" is passed on.
app: $(STAMP)
	$(BIN)/python -m vcemo_lib course app $(APP)

site: $(STAMP)
	$(BIN)/python -m vcemo_lib course site

# What it finds is kept in data/expected/bench/ and stands in README's results.
bench: $(STAMP)
	@for script in tests/benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python $$script --write || exit 1; done
	$(BIN)/python data/build/results.py

# What is installed becomes the lock, without what a platform brings by itself.
lock: $(STAMP)
	{ grep '^#' requirements.lock; $(BIN)/python -m pip list --format=freeze --exclude-editable; } \
	  | sed -E -e '/^(pip|vcemo-lib|triton|nvidia-.*|cuda-.*|playwright|greenlet)==/d' -e 's/\+[a-z0-9]+$$//' \
	           -e '/^(pexpect|ptyprocess)==/s/$$/; sys_platform != "win32"/' > requirements.lock.new
	mv requirements.lock.new requirements.lock

clean:
	rm -rf build .pytest_cache .ruff_cache *.egg-info
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)
