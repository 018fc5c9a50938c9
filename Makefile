VENV := .venv
PYTHON ?= python3
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export DVC_NO_ANALYTICS := 1

.PHONY: demo help test check bench lock clean

demo: $(VENV)/installed  ## run the pipeline on the embedded data set, print its results
	amtss preset demo
	dvc repro
	amtss results

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile

test: check  ## the checks and all tests, slow end-to-end runs included
	pytest -n 3 --dist worksteal  # on two cores the third works while others wait

check: $(VENV)/installed  ## style, types, and which package imports which
	ruff check .
	mypy
	lint-imports

# the project to measure, where `dvc repro` has ended; folders of other texts, if you have some
PROJECT ?= .
TEXTS ?=
# MASSIVE and XNLI, {language}/{split}.jsonl and {language}/*.parquet, if you have them
MASSIVE ?=
XNLI ?=
# a project where a transformer of each language is taught; made of the demo's data where empty
TAUGHT ?=
# a static student of MASSIVE and multilingual-e5-small, which bench/front.py compares
STATIC ?=
E5 ?=
PARTS := training_profile training training_topk languages vocabulary unsure drift labels front \
  serving at_once scaling size
PART ?= $(PARTS)

# A part that is done is not measured again, so that an interrupted run goes on with the next one.
bench: $(PART:%=bench/%.json)  ## benchmarks; PART="serving ..." PROJECT=FOLDER MASSIVE=FOLDER ...

REPORT := $(PROJECT)/artifacts/report/report.html
$(PARTS:%=bench/%.json): $(VENV)/bench
$(patsubst %,bench/%.json,training_profile training_topk languages vocabulary unsure drift serving): $(REPORT)

$(REPORT):
	@echo "PROJECT=$(PROJECT): expected a project with a report, found none; run \`dvc repro\` there"
	@exit 1

bench/training_profile.json bench/training_topk.json: bench/%.json:
	python bench/$*.py $(PROJECT) --out $@

bench/training.json:
	$(if $(TAUGHT),python bench/training.py $(TAUGHT) --out $@,folder=$$(mktemp -d) && \
	  git clone --quiet . $$folder && cp bench/five_teachers.yaml $$folder/params.yaml && \
	  (cd $$folder && dvc repro teach start) && python bench/training.py $$folder --rounds 1 --out $@ && \
	  rm -rf $$folder)

bench/languages.json:
	python bench/languages.py $(PROJECT) --out $@

bench/vocabulary.json:
	python bench/vocabulary.py $(PROJECT) $(if $(TEXTS),--texts $(TEXTS)) --sides --out $@

bench/unsure.json bench/drift.json: bench/%.json:
	python bench/$*.py $(PROJECT) $(if $(XNLI),--foreign $(XNLI)) --out $@

bench/labels.json:
	$(if $(MASSIVE),python bench/labels.py $(MASSIVE) --out $@)

bench/front.json:
	$(if $(and $(MASSIVE),$(STATIC)),python bench/front.py $(PROJECT)/artifacts/student \
	  --static $(STATIC) --data $(MASSIVE) $(if $(E5),--encoder $(E5)) --out $@ \
	  --picture docs/front.svg)

bench/serving.json:
	python bench/serving.py $(PROJECT) --rounds 3 --out $@

bench/at_once.json:
	python bench/at_once.py --rounds 1 --out $@

bench/scaling.json:
	python bench/scaling.py --languages 5 --out $@

bench/size.json:
	folder=$$(mktemp -d) && python bench/size.py $$folder --rows 2000 --out $@ && rm -r $$folder

$(VENV)/bench: $(VENV)/installed
	pip install --quiet --upgrade "pip>=25.1"
	pip install --quiet --group bench --constraint requirements.lock
	pip check
	touch $@

$(VENV)/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	pip install --quiet --requirement requirements.lock
	pip install --quiet --no-deps --no-build-isolation --editable .
	pip check
	touch $@

lock: $(VENV)/installed  ## write the installed versions to requirements.lock
	{ sed -n 1p requirements.lock; pip freeze --all --exclude-editable --exclude pip \
	  | sed 's/+cpu$$//'; } > requirements.lock.new
	mv requirements.lock.new requirements.lock

clean:  ## remove the environment and all results
	rm -rf artifacts $(VENV)
