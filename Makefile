# make demo   set up, then train, segment and score on made-up images; opens napari if there is a screen
# make test   set up, a virtual screen included where it may be installed, then run all tests
# make quick  the tests that take a moment, without windows: two minutes
# make check  ruff, mypy (of the program, tests, benchmarks and docs), the plugin's manifest, and the documentation
# make coverage  all tests again, counting lines: at least 90 % without the window, 80 % with it; an hour
# make docs   the documentation as a site in build/site; a link that leads nowhere is an error
# make bench  all that is compared side by side, into docs/benchmarks/bench.md; at most 50 minutes, on a quiet machine
# make fuzz   open N damaged files of every kind (N=10000; SEED= KEEP= folder of those that fail): ten minutes
# make window the benchmark of the real window, on a virtual screen
# make results  recipes, networks, ensembles, objects on the real sets: hours, resumes where it was stopped
#               (DATA= WORK= MINUTES= of each network, OBJECT_MINUTES= MEGAPIXELS= of each recipe, SETS="isbi2012 tgs-salt
#               dsb2018" PARTS="recipes networks ensembles objects")
# make screenshots, make animation  the pictures in docs/images, from the real window

PYTHON ?= $(shell for p in python3 python3.12 python3.11 python3.13; do \
	if $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; \
	then echo $$p; break; fi; done)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
APT := DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends
SCREEN := xvfb libgl1-mesa-dri libegl1 libgl1 libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 \
	libxcb-keysyms1 libxcb-shape0 libdbus-1-3
WINDOW := $(if $(DISPLAY)$(WAYLAND_DISPLAY)$(filter-out Linux,$(shell uname -s)),window,headless)

.PHONY: help demo test quick check coverage docs bench results screenshots animation window fuzz setup screen clean
.DEFAULT_GOAL := help

help:
	@sed -n '1,13s/^# //p' Makefile

# Debian and Ubuntu part ensurepip from Python: the system's package, virtualenv or another pip stand in.
$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed: make PYTHON=path/to/python3"; exit 1; }
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { rm -rf $(VENV); \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "installing python3-venv"; apt-get update -qq; \
			$(APT) $$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])') >/dev/null \
			|| $(APT) python3-venv >/dev/null || :; fi; \
		$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 \
		|| { rm -rf $(VENV); $(PYTHON) -m virtualenv -q $(VENV) 2>/dev/null; } \
		|| { rm -rf $(VENV); $(PYTHON) -m venv --without-pip $(VENV) && \
			$(PYTHON) -m pip --disable-pip-version-check --python $(BIN)/python install -q pip; } \
		|| { rm -rf $(VENV); echo "$(PYTHON) cannot make an environment: install python3-venv"; exit 1; }; }

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	@echo "installing into $(VENV) (some minutes the first time)"
	@$(PIP) install -q -e ".[test]"
	@touch $@

# The demo needs nothing of the tests, whose PyTorch and JAX are large, and no Qt where no window can open.
$(VENV)/.installed-headless: pyproject.toml | $(VENV)/bin/python
	@echo "installing into $(VENV), without a window as there is no screen (some minutes the first time)"
	@$(PIP) install -q -e .
	@touch $@

$(VENV)/.installed-window: pyproject.toml | $(VENV)/bin/python
	@echo "installing into $(VENV) (some minutes the first time)"
	@$(PIP) install -q -e ".[all]"
	@touch $@

setup: $(VENV)/.installed

screen:
	@PATH="$$PATH:/sbin:/usr/sbin"; \
	if [ "$$(uname -s)" != Linux ]; then :; \
	elif { [ -n "$$DISPLAY" ] || command -v Xvfb >/dev/null; } && ldconfig -p | grep -q libxcb-cursor; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing a virtual screen"; apt-get update -qq; $(APT) $(SCREEN) >/dev/null \
		|| echo "no virtual screen could be installed: window tests are skipped"; \
	else echo "no virtual screen may be installed here: window tests are skipped ($(SCREEN))"; fi

demo: $(VENV)/.installed-$(WINDOW)
	@$(BIN)/napari-unet demo --out demo --overwrite

# Windows have a process of their own, as in use: Mesa and TensorFlow each bring an LLVM, and one process with
# both crashes. It runs at the same time as the others, so that no core waits; what it said follows theirs.
test: setup screen
	@mkdir -p build; $(BIN)/python -m pytest -m window --durations=15 >build/windows.log 2>&1 & windows=$$!; \
	trap 'kill $$windows' INT TERM; \
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not window" --durations=25; others=$$?; \
	wait $$windows; windows=$$?; cat build/windows.log; [ $$others = 0 ] && [ $$windows = 0 ]

quick: setup
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m "not window and not slow"

# Lines in processes that the tests start count as well. Windows apart and at the same time, as in `make test`.
# The paths are absolute, because these processes work in other folders.
coverage: setup screen
	@rm -f .coverage .coverage.*; mkdir -p build
	@COVERAGE_FILE=$(CURDIR)/.coverage.windows $(BIN)/python -m pytest -q -m window --cov --cov-report= \
		>build/windows.log 2>&1 & windows=$$!; trap 'kill $$windows' INT TERM; \
	COVERAGE_FILE=$(CURDIR)/.coverage.others $(BIN)/python -m pytest -q -n 2 --dist worksteal -m "not window" --cov --cov-report=; \
	others=$$?; wait $$windows; windows=$$?; cat build/windows.log; [ $$others = 0 ] && [ $$windows = 0 ]
	@$(BIN)/coverage combine -q .coverage.windows .coverage.others
	@rm -f .coverage.*  # torn files of processes that tests kill
	@$(BIN)/coverage report --omit="*/widgets/*" --fail-under=90
	@$(BIN)/coverage report --format=total --fail-under=80

check: setup docs
	@$(BIN)/ruff check src tests benchmarks docs
	@$(BIN)/ruff format --check src tests benchmarks docs
	@$(BIN)/mypy
	@$(BIN)/npe2 validate napari-unet-workbench

$(VENV)/.installed-docs: pyproject.toml | $(VENV)/bin/python
	@$(PIP) install -q -e ".[docs]"
	@touch $@

docs: $(VENV)/.installed-docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

screenshots: setup screen
# The window needs a screen; a virtual one has the same picture everywhere.
	@Xvfb -displayfd 3 -screen 0 1280x800x24 3>.xvfb-display 2>/dev/null & pid=$$!; sleep 2; \
	DISPLAY=:$$(cat .xvfb-display) $(BIN)/python docs/make_screenshots.py; code=$$?; \
	kill $$pid; rm -f .xvfb-display; exit $$code

animation: setup screen
	@Xvfb -displayfd 3 -screen 0 1280x800x24 3>.xvfb-display 2>/dev/null & pid=$$!; sleep 2; \
	DISPLAY=:$$(cat .xvfb-display) $(BIN)/python docs/make_animation.py; code=$$?; \
	kill $$pid; rm -f .xvfb-display; exit $$code

window: setup screen
	@Xvfb -displayfd 3 -screen 0 1280x800x24 3>.xvfb-display 2>/dev/null & pid=$$!; sleep 2; \
	DISPLAY=:$$(cat .xvfb-display) $(BIN)/python benchmarks/window.py; code=$$?; \
	kill $$pid; rm -f .xvfb-display; exit $$code

bench: setup
	@$(PIP) install -q -e ".[bench]"
	-@$(BIN)/python benchmarks/bench.py
	-@$(BIN)/python benchmarks/open_data.py
	-@$(BIN)/python benchmarks/run_lengths.py
	-@$(BIN)/python benchmarks/scores.py

N ?= 10000
SEED ?= 0
KEEP ?=
fuzz: setup
	@$(BIN)/python benchmarks/fuzz.py $(N) --seed $(SEED) $(if $(KEEP),--keep $(KEEP))

DATA ?= ../shared/data
WORK ?= results
MINUTES ?= 20
PARTS ?= recipes networks ensembles objects
MEGAPIXELS ?=
OBJECT_MINUTES ?=
SETS ?=
results: setup
	@$(BIN)/python benchmarks/results.py --data $(DATA) --work $(WORK) --minutes $(MINUTES) --parts $(PARTS) \
		$(if $(MEGAPIXELS),--megapixels $(MEGAPIXELS)) $(if $(SETS),--sets $(SETS)) \
		$(if $(OBJECT_MINUTES),--object-minutes $(OBJECT_MINUTES))

clean:
	rm -rf .venv build dist demo .pytest_cache .mypy_cache .ruff_cache .coverage .coverage.*
