# Two commands on a fresh machine with Python >= 3.11: `make demo` and `make test`. Each makes .venv on first use.
PY ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# uv does not read pip's configuration: a local folder of wheels that pip is told of must be handed on.
export UV_FIND_LINKS ?= $(or $(PIP_FIND_LINKS),$(shell $(PY) -m pip config get global.find-links 2>/dev/null))
# Without such a folder, uv chooses the build of PyTorch that fits this machine: no CUDA where there is no GPU.
ifeq ($(strip $(UV_FIND_LINKS)),)
export UV_TORCH_BACKEND ?= auto
endif

.PHONY: demo test lint format slow bench bench-gpu clean

demo: $(VENV)/.ready ## train ALI on handwritten digits and look at the result
	$(BIN)/ali demo

test: $(VENV)/.ready ## the test suite
	$(BIN)/pytest -n 2

lint: $(VENV)/.ready ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyrefly check

format: $(VENV)/.ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

slow: $(VENV)/.ready ## the tests that take longer
	$(BIN)/pytest -n 2 -m slow

bench: $(VENV)/.ready ## speed and memory beside the usual loop: ten minutes; to write them down: make bench ARGS=--write
	$(BIN)/python -m benchmarks $(ARGS)

bench-gpu: $(VENV)/.ready ## the same on a GPU
	$(BIN)/python -m benchmarks --device cuda $(ARGS)

clean:
	rm -rf $(VENV)

$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "ali needs Python 3.11 or newer; say which with: make PY=python3.12"; exit 1; }
	test -x $(BIN)/python || $(PY) -m venv $(VENV)
	-$(BIN)/python -m pip install -q --disable-pip-version-check uv==0.13.8
	$(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt -e '.[dev]' \
	  || $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
