#!/usr/bin/env bash
# Installs what clipspan is measured beside: torch and open_clip (the parity tests' environment), onnxruntime and OpenVINO
# in an environment of their own that sees those; then makes the models and ONNX files. `make bench-peers`; a second call
# changes nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
wanted="onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1"
venv=build/bench/peers-venv
parity=$(tests/parity/setup.sh)
if [ ! -x $venv/bin/python ]; then
    mkdir -p build/bench
    python3 -m venv $venv
fi
site=$($venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
"$parity" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' >"$site/parity.pth"
# shellcheck disable=SC2086 # the list is a list
$venv/bin/python -m pip install --disable-pip-version-check --quiet $wanted
python3 bench/run.py --prepare
