#!/bin/sh
# Builds against oneDNN 3.2 (from PyPI; its OpenMP build) and runs the tests that multiply: the same sources, the
# other C API.   tests/onednn3/run.sh
set -eu
cd "$(dirname "$0")/../.."
there=$PWD/build/onednn3
if [ ! -e "$there/lib/libdnnl.so" ]; then
  mkdir -p "$there"
  python3 -m pip download -q --no-deps -d "$there" onednn-cpu-gomp==2023.2.0 onednn-devel-cpu-gomp==2023.2.0
  for wheel in "$there"/*.whl; do python3 -m zipfile -e "$wheel" "$there/unpacked"; done
  cp -r "$there"/unpacked/*.data/data/include "$there/include"
  mkdir -p "$there/lib"
  cp -r "$there"/unpacked/*.data/data/lib/libdnnl* "$there/lib/"
  ln -sf libdnnl.so.3 "$there/lib/libdnnl.so"
fi
cmake --preset release -B "$there/build" -DDNNL_INCLUDE_DIR="$there/include" -DDNNL_LIBRARY="$there/lib/libdnnl.so" \
  -DCLIPSPAN_WERROR=ON -DCLIPSPAN_FUZZ=OFF -DCLIPSPAN_DEMO=OFF -DCLIPSPAN_BENCH=OFF >/dev/null
tests="compute_products_test engine_towers_test engine_stream_test engine_intervene_test decompose_engine_test \
decompose_neurons_test trace_gradient_test trace_maps_test"
# shellcheck disable=SC2086 # words are words
cmake --build "$there/build" -j "$(nproc)" --target $tests | grep -E ': (error|warning)' || true
for test in $tests; do
  mkdir -p "$there/build/tests/tmp/$test"
  (cd tests && LD_LIBRARY_PATH="$there/lib" CLIPSPAN_TEST_TMP="$there/build/tests/tmp/$test" \
    "$there/build/tests/$test" >"$there/$test.log" 2>&1) || { tail -n 30 "$there/$test.log"; exit 1; }
  grep -c '  OK \]' "$there/$test.log" | sed "s/^/$test: passed /"
done
LD_LIBRARY_PATH="$there/lib" ldd "$there/build/tests/engine_towers_test" | grep -q 'libdnnl.so.3' && echo "on oneDNN 3: good"
