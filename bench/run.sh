#!/bin/sh
# The benchmark of the main job, beside open_clip in PyTorch, in one run:  bench/run.sh BUILD [options of run.py]
set -eu
cd "$(dirname "$0")/.."
build=$1
shift
tests/parity/setup.sh
exec build/parity-venv/bin/python bench/run.py --build "$build" "$@"
