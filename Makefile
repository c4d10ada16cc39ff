# `make demo` and `make test` do all the set-up themselves: a virtual environment in .venv.
# In another environment: make test VENV=/path/to/it; the pinned releases are installed into it, while
# docs/install.md leaves an environment as it was.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.skelact-installed
TORCH ?= torch==2.13.0
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test lint docs check install clean

install: $(STAMP)

$(STAMP): requirements.txt requirements-dev.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) $(TORCH)
	$(PIP) -r requirements.txt -r requirements-dev.txt
	$(PIP) --no-deps mmengine==0.10.7 mmcv-lite==2.2.0 mmpose==1.3.2 -e .
	touch $@

# Labels a shot of a real clip (a guitarist; from the package iscc-samples, CC BY 4.0).
DEMO_LIST = import iscc_samples as i; print("path,start_seconds,end_seconds"); \
	print(i.videos("mp4")[0], 23.2, 30.5, sep=",")
demo: $(STAMP)
	mkdir -p demo_out
	$(BIN)/python -c '$(DEMO_LIST)' > demo_out/clip.csv
	$(BIN)/skelact predict demo_out/clip.csv --json demo_out/prediction.json \
		--overlay demo_out/overlay.mp4 --html demo_out/report
	cat demo_out/prediction.json

# A process per core, each with one thread: with more they wait for each other.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal --durations=30

# mypy has to find the root folder under the package's name, whatever the clone is called.
lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	mkdir -p $(VENV)/typed && ln -sfn "$(CURDIR)" $(VENV)/typed/skelact
	MYPYPATH=$(VENV)/typed $(BIN)/mypy -p skelact.pipeline -p skelact.models -p skelact.pose_extract
	$(BIN)/hadolint docker/Dockerfile.cpu docker/Dockerfile.cuda

# The pages of docs/ in build/site; a dead link is an error. The variable leaves out news of the tool.
docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

check: lint docs test

clean:
	rm -rf .venv demo_out build dist *.egg-info
