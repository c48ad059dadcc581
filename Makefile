# The doors of the project. `make demo` and `make test` do their own set-up.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench soak fuzz models clean

help:
	@echo "make demo    first intents on an emulated STM32, with all set-up (no TensorFlow)"
	@echo "make test    the whole test suite, with all set-up"
	@echo "make setup   .venv with everything (training, tests, lint)"
	@echo "make lint    ruff, mypy, cppcheck"
	@echo "make bench   instruction counts and sizes of the runtime"
	@echo "make soak    an hour through the emulated board, a day through the PC's, a million damaged packets (long)"
	@echo "make fuzz    mutated models through the loader, 10 million inputs to each side of the link (long)"
	@echo "make models  train the shipped models again (long; needs ../shared)"

setup:
	@tools/setup.sh full

demo:
	@tools/setup.sh demo
	@.venv-demo/bin/shiftmcu demo

test: setup
	.venv/bin/python -m pytest -n 2 --dist loadfile

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	tools/typecheck.sh

bench: setup
	@.venv/bin/python tools/bench.py

soak: setup
	.venv/bin/python tools/soak.py
	.venv/bin/python tools/power_cuts.py
	.venv/bin/python tools/soak_day.py
	.venv/bin/python tools/soak_line.py

fuzz: setup
	.venv/bin/python tests/c/fuzz.py --runs 1000000
	.venv/bin/python tests/c/fuzz_link.py packets
	.venv/bin/python tests/c/fuzz_link.py firmware
	.venv/bin/python tests/fuzz_host.py packets
	.venv/bin/python tests/fuzz_host.py session

models: setup
	tools/train_models.sh

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache
