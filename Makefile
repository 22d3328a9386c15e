# make score: sets up and scores the sample article.  make test: sets up and runs the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install --constraint constraints.txt
CORPORA ?= ../shared/corpora

.NOTPARALLEL:
.PHONY: score test core lint train teacher lessons student events model fast results benchmark picture clean

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

# Retrains the shipped model from nothing: a teacher, what it says of the training text, the model that learns from both, a teacher of events, and the model's
# last part, which learns from that too. Each step is a target of its own too, and goes on where it was stopped. CORPORA is a folder with the public corpora
# (training/README.md), TEACHER the teacher's encoder: a Hugging Face name or a folder; SETTINGS are given to every training and asking, such as "--set seed=2".
TEACHER ?= sentence-transformers/all-mpnet-base-v2
SETTINGS ?=
CONFIGS := training/configs
train: $(VENV)/dev
	$(MAKE) teacher
	$(MAKE) lessons
	$(MAKE) student
	$(MAKE) events
	$(MAKE) model
	$(MAKE) results

# glibc gives large blocks back to the system and asks for them anew at every step, a seventh of a small network's time; these limits keep them.
teacher lessons student events model fast: export MALLOC_MMAP_THRESHOLD_ = 33554432
teacher lessons student events model fast: export MALLOC_TRIM_THRESHOLD_ = 1073741824

teacher: $(VENV)/dev
	$(BIN)/python -m training.train $(CONFIGS)/teacher.toml --set encoder=$(TEACHER) --corpora $(CORPORA) $(SETTINGS)

# Asked about are both draws of names, the unlabelled articles and the variants, and none of the titles of NGEC and AG that have no phrases; those train by
# their labels alone.
ASK := $(BIN)/python -m training.teach runs/teacher
lessons: $(VENV)/dev
	$(ASK) $(CONFIGS)/newswire-en-first.toml --set sources.ngec=0 --set sources.ag=0 --corpora $(CORPORA) --to runs/lessons.safetensors $(SETTINGS)
	$(ASK) $(CONFIGS)/newswire-en-second.toml --set sources.ngec=0 --set sources.ag=0 --corpora $(CORPORA) --to runs/lessons.safetensors $(SETTINGS)
	$(ASK) $(CONFIGS)/newswire-en.toml --set sources.ngec=0 --set sources.ag=0 --corpora $(CORPORA) --to runs/lessons.safetensors $(SETTINGS)

student: $(VENV)/dev
	$(BIN)/python -m training.train $(CONFIGS)/newswire-en-first.toml --corpora $(CORPORA) $(SETTINGS)
	$(BIN)/python -m training.train $(CONFIGS)/newswire-en-second.toml --corpora $(CORPORA) $(SETTINGS)

# What the teacher of events and the student itself say of one draw of names of some of the text.
EVENT_TEXTS := --set name_draws=1 --set epochs=1 --set sources.ngec=0 --set sources.ag=0 --set sources.corpus=1000 --set sources.standoff=2500
events: $(VENV)/dev
	$(BIN)/python -m training.train $(CONFIGS)/event-teacher.toml --set encoder=$(TEACHER) --corpora $(CORPORA) $(SETTINGS)
	$(BIN)/python -m training.teach runs/event-teacher runs/newswire-en-second $(CONFIGS)/newswire-en.toml --events $(EVENT_TEXTS) --corpora $(CORPORA) --to runs/events.safetensors $(SETTINGS)

model: $(VENV)/dev
	$(BIN)/python -m training.train $(CONFIGS)/newswire-en.toml --corpora $(CORPORA) $(SETTINGS)
	$(BIN)/python -m training.export runs/newswire-en --corpora $(CORPORA) --to models/newswire-en

# Half the layers, trained on from the student with the same lessons.
fast: $(VENV)/dev
	$(BIN)/python -m training.train $(CONFIGS)/newswire-en-fast.toml --corpora $(CORPORA) $(SETTINGS)
	$(BIN)/python -m training.export runs/newswire-en-fast --corpora $(CORPORA) --to models/newswire-en-fast

# Evaluates the shipped model on the project's dev and test parts, beside the baselines; rewrites the tables of the README and the model's card.
BASELINES := --against baseline:tfidf --against baseline:petrarch --against baseline:vader --against baseline:majority
results: $(VENV)/dev
	@mkdir -p build
	$(BIN)/python -m training.corpus export build/train.jsonl --split train --corpora $(CORPORA)
	$(BIN)/python -m training.corpus export build/dev.jsonl --split dev --corpora $(CORPORA)
	$(BIN)/python -m training.corpus export build/test.jsonl --split test --corpora $(CORPORA)
	$(BIN)/escalation evaluate build/dev.jsonl $(BASELINES) --train build/train.jsonl --patterns $(CORPORA)/cameo_verb_patterns.txt --json build/dev-report.json --report build/dev-report.html
	$(BIN)/escalation evaluate build/test.jsonl --no-behaviour --json build/test-report.json --report build/test-report.html
	$(BIN)/python -m training.invariance > build/names.json
	$(BIN)/python -m training.screen models/newswire-en --corpora $(CORPORA) --documents README.md --to docs/screen.json
	$(BIN)/python -m training.results README.md models/newswire-en/README.md --dev build/dev-report.json --test build/test-report.json --names build/names.json --benchmark docs/benchmark.json docs/benchmark-no-vnni.json --to docs/results.json

# Speed and memory beside what a user would pick instead; needs an otherwise idle machine and about an hour.
benchmark: $(VENV)/dev
	$(PIP) --editable .[benchmark]
	$(BIN)/python -m training.benchmark

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
