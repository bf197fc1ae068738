#!/bin/sh
# Installs a build into a scratch prefix and uses it as a stranger would: CMake package, pkg-config, shared and
# static, the man page.   tests/install/run.sh build/release
set -eu
build=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
examples=$here/../../examples
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
prefix=$scratch/prefix

# A program has to start, and to find that there is no such model; one that misses a library ends otherwise.
answers() {
  status=0
  "$1" no-such-model picture text 2>"$scratch/error" || status=$?
  [ "$status" -eq 1 ] && grep -q '^no-such-model' "$scratch/error" ||
    { echo "$1: unexpected answer ($status)"; cat "$scratch/error"; exit 1; }
}

cmake --install "$build" --prefix "$prefix" >/dev/null
cmake -S "$here" -B "$scratch/build" -DCMAKE_PREFIX_PATH="$prefix" -DEXAMPLES="$examples" >/dev/null
cmake --build "$scratch/build" >/dev/null
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name clipspan.pc)")
export PKG_CONFIG_PATH
for example in embed map; do # map.c draws: it needs cairo
  for library in clipspan clipspan_static; do answers "$scratch/build/${example}_with_$library"; done
  # shellcheck disable=SC2046 # words are words
  cc "$examples/$example.c" -o "$scratch/$example" $(pkg-config --cflags --libs clipspan)
  LD_LIBRARY_PATH=$(dirname "$PKG_CONFIG_PATH") answers "$scratch/$example"
  # shellcheck disable=SC2046
  cc "$examples/$example.c" -o "$scratch/$example-static" $(pkg-config --cflags --libs clipspan-static)
  answers "$scratch/$example-static"
done
"$prefix/bin/clipspan" --version
[ -s "$prefix/share/man/man1/clipspan.1" ]
echo "installed, found by CMake and pkg-config, linked shared and static: good"
