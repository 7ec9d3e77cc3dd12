# make demo    set up, then colour a picture and a film with sound
# make test    set up, then check style and run every test
# make bench   measure everything on this machine; results go to bench/results, tables to README.md
# make gpu     build, test, sanitize and measure the CUDA kernels with what PYTHON has, no network; results go to OUT
# make gpu-budget   count the instructions of the CUDA kernels; needs nvcc and no GPU
# make int8    quantise the default network anew, after every change of its weights; bench/int8.py measures it
PYTHON ?= python3
OUT ?= gpu-results
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find csrc -type f) CMakeLists.txt setup.py pyproject.toml constraints.txt

.PHONY: demo test test-large bench gpu gpu-budget int8 clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	$(BIN)/python bench/demo.py

# A worker that dies names its test, and another goes on with the rest (under --dist loadfile pytest waits for ever).
test: $(VENV)/.installed-test
	$(BIN)/ruff check fastcolor tests bench integrations setup.py
	$(BIN)/ruff format --check fastcolor tests bench integrations setup.py
	$(BIN)/mypy
	$(BIN)/python tests/emulation/build.py
	$(BIN)/python -m pytest -q -n 2 --dist worksteal --durations 10

# The largest published networks, against what the originals compute and exported whole, and kernels for every GPU: 8 GB
# and some minutes.
test-large: $(VENV)/.installed-test
	FASTCOLOR_LARGE=1 $(BIN)/python -m pytest -q -n 0 tests/models/test_peers.py tests/batch/test_published.py \
	  tests/ops/test_cuda_compile.py tests/web/test_portable.py

bench: $(VENV)/.installed-bench
	$(BIN)/python -m bench.run --save
	$(BIN)/python -m bench.bench_size
	$(BIN)/python -m bench.bench_train
	$(BIN)/python -m bench.bench_train_step --save
	$(BIN)/python -m bench.parity --save
	$(BIN)/python -m bench.bench_pipeline
	$(BIN)/python -m bench.table

gpu:
	$(PYTHON) bench/gpu.py --out "$(OUT)"

gpu-budget: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(BIN)/python bench/sass.py

# Its name says of which weights it is, so one of others would never be used.
int8: $(VENV)/.installed-test
	rm -f fastcolor/assets/*-int8.onnx
	$(BIN)/python -c 'import fastcolor; from fastcolor.engines.files import shipped_path; from fastcolor.models.weights import load; \
	  print(fastcolor.export("default", shipped_path(load("default")), precision="int8"))'

# Torch comes first, pinned: the package itself is built without it. The install is editable: tests and demo run on
# this source tree.
$(VENV)/.installed: $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch numpy
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --editable ".[onnx]"
	touch $@

# The package is there already: this adds what its `test` extra names, without building again.
$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "fastcolor[test]"
	touch $@

$(VENV)/.installed-bench: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "fastcolor[bench]"
	touch $@

clean:
	rm -rf $(VENV) build demo fastcolor/_C*.so *.egg-info
