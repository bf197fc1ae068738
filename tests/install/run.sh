#!/bin/sh
# Installs a build into a scratch prefix and uses it as a stranger would: CMake package, pkg-config, shared and
# static, the man page.   tests/install/run.sh build/release
set -eu
build=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
prefix=$scratch/prefix

cmake --install "$build" --prefix "$prefix" >/dev/null
cmake -S "$here" -B "$scratch/build" -DCMAKE_PREFIX_PATH="$prefix" -DEXAMPLES="$here/../../examples" >/dev/null
cmake --build "$scratch/build" >/dev/null
for library in clipspan clipspan_static; do
  status=0
  "$scratch/build/with_$library" no-such-model picture text 2>"$scratch/error" || status=$?
  [ "$status" -eq 1 ] && grep -q no-such-model "$scratch/error" || { echo "with_$library: unexpected answer"; exit 1; }
done

PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name clipspan.pc)")
export PKG_CONFIG_PATH
# shellcheck disable=SC2046 # words are words
cc "$here/../../examples/embed.c" -o "$scratch/embed" $(pkg-config --cflags --libs clipspan)
LD_LIBRARY_PATH=$(dirname "$PKG_CONFIG_PATH") "$scratch/embed" 2>/dev/null && exit 1
# shellcheck disable=SC2046
cc "$here/../../examples/embed.c" -o "$scratch/embed_static" $(pkg-config --cflags --libs clipspan-static)
"$scratch/embed_static" 2>/dev/null && exit 1
"$prefix/bin/clipspan" --version
[ -s "$prefix/share/man/man1/clipspan.1" ]
echo "installed, found by CMake and pkg-config, linked shared and static: good"
