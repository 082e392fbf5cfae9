# make demo: set everything up and run the main job.    make test: set everything up and run the tests.
# make quick: a part of the tests, the quick ones.
# Another Python: make demo PYTHON=python3.11
# Without PYTHON, the one that .venv was made with, or python3.
PYTHON ?= $(shell cat .venv/dfmamba-python 2>/dev/null || echo python3)
RUN := .venv/bin/python
export OMP_WAIT_POLICY ?= passive

.PHONY: setup ext demo test quick check clean

setup:
	@$(PYTHON) tools/setup_env.py

# The native operators, in place; only what has changed is compiled.
ext: setup
	@PATH=$(CURDIR)/.venv/bin:$$PATH $(RUN) setup.py -q build_ext --inplace

test: setup ext
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 --dist loadfile --no-loadscope-reorder --cov --cov-report=term-missing:skip-covered --cov-fail-under=90 --durations=15

# The operators' definition, layers, heads, codecs, protocols, parsers, readers, geometry.
QUICK := tests/test_geometry.py tests/test_numbers.py tests/test_skeleton.py tests/codecs tests/datasets tests/evaluation \
	tests/io tests/models/heads tests/models/layers tests/models/necks tests/ops/test_definition.py \
	tests/ops/test_fuzz.py
quick:  # after make setup and make ext
	OMP_NUM_THREADS=1 $(RUN) -m pytest -q -n 2 --dist loadfile -m "not slow" -k "not finite_differences" $(QUICK) \
		--ignore=tests/datasets/test_odd_inputs.py --ignore=tests/datasets/test_index_damage.py --ignore=tests/datasets/test_skipped_samples.py

check: setup
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

demo: setup
	$(RUN) tools/run_demo.py

clean:
	rm -rf .venv build setup.log work_dirs projects/*.egg-info
