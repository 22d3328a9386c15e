# make score: sets up and scores the sample article.  make test: sets up and runs the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install --constraint constraints.txt
CORPORA ?= ../shared/corpora

.PHONY: score test core lint train picture clean

score: $(VENV)/score
	@$(BIN)/escalation score tests/data/sample.txt

test: lint
	$(BIN)/python -m pytest -m "not slow"
	$(BIN)/python -m pytest -m slow

core: $(VENV)/dev
	$(BIN)/python -m pytest -m "not slow"

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Retrains the shipped model from nothing; CORPORA is a folder with the public corpora (training/README.md).
train: $(VENV)/dev
	$(BIN)/python -m training.train training/configs/newswire-en.toml --corpora $(CORPORA)
	$(BIN)/python -m training.export runs/newswire-en --corpora $(CORPORA) --to models/newswire-en
	$(BIN)/python -m training.card README.md

picture: $(VENV)/score
	$(BIN)/escalation score tests/data/sample.txt --svg docs/sample.svg >/dev/null

$(VENV)/score: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	@touch $@

$(VENV)/dev: pyproject.toml constraints.txt | $(VENV)/score
	$(PIP) torch
	$(PIP) --editable .[train,dev]
	@touch $@

clean:
	rm -rf $(VENV)
