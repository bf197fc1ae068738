# The two commands: `make demo`, `make test`. Everything underneath is plain CMake (CMakePresets.json).
.PHONY: all demo study test test-web asan check parity parity-reduced bench bench-quick bench-peers instructions install docs clean deps
MAKEFLAGS += --no-print-directory
JOBS ?= $(shell nproc 2>/dev/null || echo 2)

all: build/release/Makefile
	cmake --build build/release -j $(JOBS)

deps:
	@scripts/deps build

build/%/Makefile: | deps
	cmake --preset $* -G "Unix Makefiles"

demo: all
	scripts/demo build/release out/demo

study: all
	scripts/study build/release out/study

test: all
	ctest --test-dir build/release --output-on-failure -j $(JOBS)

# The pages in real browsers: Debian's Chromium, and its Firefox where it can be had.
test-web: all
	scripts/deps web
	scripts/deps firefox || true
	tests/web/run.sh build/release

asan: build/asan/Makefile
	cmake --build build/asan -j $(JOBS)
	ctest --test-dir build/asan --output-on-failure -j $(JOBS)

check: all
	scripts/deps python
	python3 tools/check_rooms.py build/release
	python3 tools/check_rooms_test.py

parity: all
	scripts/deps python
	tests/parity/run.sh build/release

parity-reduced: all
	scripts/deps python
	tests/parity/run.sh build/release --reduced

bench: all
	python3 bench/run.py --build build/release

bench-quick: all
	python3 bench/run.py --build build/release --quick

# What the bench is measured beside: torch, onnxruntime, OpenVINO.
bench-peers:
	scripts/deps python
	bench/peers.sh

# Instructions of the hot kernels against the committed baseline.
instructions: all
	scripts/deps bench
	python3 bench/callgrind.py build/release

docs: all
	build/release/clipspan --markdown > docs/cli.md

install: all
	cmake --install build/release

clean:
	rm -rf build/release build/debug build/asan out
