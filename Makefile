# Two commands for newcomers: `make demo` and `make test`. PYTHON names the interpreter that makes the environments.
PYTHON ?= python3
VENV ?= .venv
PINS ?= constraints.txt
RUN := $(VENV)/bin
DEMO := demo
ZOO := segface_edge/zoo
# Labelled faces for the metrics of `make release-model`: one folder or several.
DATA ?= ../shared/data/celebamask-hq-mini/val

.PHONY: demo test test-slow test-gpu test-runtime test-lowest lint docs release release-model results clean

# What exports and runs, which is all that the demo needs. Made again when what it is made from changes.
$(VENV)/export: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: $(PYTHON) is older than the pinned packages want: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --upgrade pip
	$(RUN)/python -m pip install --quiet -c constraints.txt -e '.[export]'
	touch $@

# The same environment with everything that runs on a CPU.
$(VENV)/ready: $(VENV)/export
	$(RUN)/python -m pip install --quiet -c constraints.txt -e '.[export,train,longtail,html,serve,label,ray,triton,rtx,openvino,litert,executorch,ncnn,pnnx,docs,notebook,dev]'
	touch $@

demo: $(VENV)/export
	mkdir -p $(DEMO)
	$(RUN)/segface-edge export -o $(DEMO)/face.onnx
	$(RUN)/segface-edge parse $(ZOO)/portrait.jpg --model $(DEMO)/face.onnx -o $(DEMO)/overlay.png
	$(RUN)/segface-edge bench --engine $(DEMO)/face.onnx --json $(DEMO)/bench.json
	@echo
	@echo "Results in $(DEMO)/: overlay.png (open it), face.onnx (the exported model), bench.json"
	@echo "Go on with your own photo:  $(RUN)/segface-edge parse photo.jpg -o overlay.png"
	@echo "Every command has examples: $(RUN)/segface-edge parse --help"

# Two files at a time, a thread each.
PARALLEL := -n 2 --dist loadfile

test: $(VENV)/ready lint
	OMP_NUM_THREADS=1 $(RUN)/python -m pytest -m 'not slow' $(PARALLEL)

test-slow: $(VENV)/ready
	OMP_NUM_THREADS=1 $(RUN)/python -m pytest -m slow $(PARALLEL) --durations=20

# On a machine with an NVIDIA GPU, in an environment that is there already (a Jetson's, or one with CUDA's PyTorch).
test-gpu:
	$(PYTHON) -m pytest -m gpu tests/gpu

lint: $(VENV)/ready
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy

# The suite without torch, on another Python: make test-runtime PYTHON=python3.10 VENV=.venv-3.10
test-runtime:
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet -c $(PINS) -e '.$(EXTRAS)' pytest pytest-xdist hypothesis
	OMP_NUM_THREADS=1 $(RUN)/python -m pytest -m 'not slow' $(PARALLEL)

# The same with the lowest versions that are allowed: make test-lowest PYTHON=python3.10 VENV=.venv-lowest. Six minutes more,
# after a bound was changed: EXTRAS='[fetch,html,label,plot,serve]', and httpx and jsonschema in that environment.
test-lowest: PINS := constraints-lowest.txt
test-lowest: EXTRAS := [fetch,plot]
test-lowest: test-runtime

# All of a release but the upload, in dist/: of the commit that is checked out.
release:
	$(PYTHON) -m venv .venv-release
	.venv-release/bin/python -m pip install --quiet -c constraints.txt -e '.[release]'
	.venv-release/bin/python release/release.py

# Everything that depends on a model's released weights.
release-model: $(VENV)/ready
	$(RUN)/python models/release.py $(foreach folder,$(DATA),--data $(folder))

# The site, in build/docs/: open build/docs/index.html. Warnings are errors, among them a link that leads nowhere.
docs: $(VENV)/ready
	$(RUN)/python -m sphinx --quiet --fresh-env --fail-on-warning --keep-going -c docs/site -d build/doctrees . build/docs

# benchmarks/RESULTS.md from benchmarks/results/.
results: $(VENV)/ready
	$(RUN)/python benchmarks/render.py

clean:
	rm -rf .venv .venv-* $(DEMO) build dist *.egg-info
