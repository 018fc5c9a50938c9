VENV := .venv
PYTHON ?= python3
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export DVC_NO_ANALYTICS := 1

.PHONY: demo test check bench lock clean

demo: $(VENV)/installed  ## the pipeline on the embedded data set, and its results
	amtss preset demo
	dvc repro
	amtss results

test: check  ## everything, the slow end-to-end runs too
	pytest -n 2 --dist worksteal

check: $(VENV)/installed
	ruff check .
	mypy
	lint-imports

# where `dvc repro` has ended; folders of texts that are not that project's, where there are some
PROJECT ?= .
TEXTS ?=

bench: $(VENV)/bench  ## all of bench/
	python bench/training_profile.py $(PROJECT) --out bench/training_profile.json
	python bench/training.py $(PROJECT) --out bench/training.json
	python bench/training_topk.py $(PROJECT) --out bench/training_topk.json
	python bench/languages.py $(PROJECT) --out bench/languages.json
	python bench/vocabulary.py $(PROJECT) $(if $(TEXTS),--texts $(TEXTS)) --sides \
	  --out bench/vocabulary.json
	python bench/serving.py $(PROJECT) --rounds 3 --out bench/serving.json
	python bench/at_once.py --rounds 1 --out bench/at_once.json
	python bench/scaling.py --languages 5 --out bench/scaling.json
	folder=$$(mktemp -d) && python bench/size.py $$folder --rows 2000 --out bench/size.json && \
	  rm -r $$folder

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

lock: $(VENV)/installed  ## after an upgrade: pin what is installed now
	{ sed -n 1p requirements.lock; pip freeze --all --exclude-editable --exclude pip \
	  | sed 's/+cpu$$//'; } > requirements.lock.new
	mv requirements.lock.new requirements.lock

clean:
	rm -rf artifacts $(VENV)
