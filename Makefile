# make setup        install everything into .venv (done by the others when it is needed)
# make notebooks    run the course: executed notebooks and an index in build/$(LANE)/
# make test | lab | bench | clean
PYTHON ?= python3
LANE ?= cpu
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup notebooks test lab bench lock clean distclean

help:
	@grep '^# make' Makefile | sed 's/^# //'

setup: $(STAMP)

# Made anew only when what it depends on changes. The last line: torchaudio beside a CPU-only torch.
$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make setup PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -c 'from vcemo_lib import _torchaudio; _torchaudio.install()'
	touch $(STAMP)

# ONLY="03 05" runs these alone; JOBS=1 runs one at a time.
notebooks: $(STAMP)
	$(BIN)/python -m vcemo_lib course run --lane $(LANE) $(if $(ONLY),--only $(ONLY)) $(if $(JOBS),--jobs $(JOBS))

# TESTS="-k audio -x" is passed on.
test: $(STAMP)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(TESTS)

lab: $(STAMP)
	$(BIN)/python -m jupyterlab notebooks

bench: $(STAMP)
	@for script in tests/benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

# What is installed becomes the lock, without what a platform brings by itself.
lock: $(STAMP)
	{ grep '^#' requirements.lock; $(BIN)/python -m pip list --format=freeze --exclude-editable; } \
	  | sed -E -e '/^(pip|vcemo-lib|triton|nvidia-.*|cuda-.*)==/d' -e 's/\+[a-z0-9]+$$//' \
	           -e '/^(pexpect|ptyprocess)==/s/$$/; sys_platform != "win32"/' > requirements.lock.new
	mv requirements.lock.new requirements.lock

clean:
	rm -rf build .pytest_cache .ruff_cache *.egg-info
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)
