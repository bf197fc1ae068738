#!/bin/sh
# Runs tests/cli/NAME.sh in a scratch folder and holds its output against NAME.expected; with --update writes that.
#   BUILD=build/release SOURCE=. tests/cli/run.sh NAME [--update]
set -u
BUILD=$(cd "${BUILD:-build/release}" && pwd)
SOURCE=$(cd "${SOURCE:-.}" && pwd)
name=$1
here=$SOURCE/tests/cli
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export BUILD SOURCE scratch
export XDG_CACHE_HOME="$scratch/cache" LC_ALL=C.UTF-8 OMP_WAIT_POLICY=passive ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=1"
export LSAN_OPTIONS="${LSAN_OPTIONS:-}:suppressions=$SOURCE/tests/leaks.txt:print_suppressions=0"

cat >"$scratch/start" <<'END'
clipspan() { "$BUILD/clipspan" "$@"; }
# Runs a command that must fail; prints its exit code and its message without scratch paths and times.
fails() {
  code=0
  "$@" >/dev/null 2>"$scratch/err" || code=$?
  echo "exit $code: $(tail -n 1 "$scratch/err" | sed "s|$scratch|TMP|g; s|$SOURCE|SOURCE|g; s|[0-9a-f]\{32\}|HASH|g; s|([0-9a-f]\{8\}|(HASH|g")"
}
# Runs the program and kills it after so many seconds; timeout would not wait until it is gone and its lock with it.
killed_after() {
  seconds=$1
  shift
  "$@" >/dev/null 2>&1 &
  sleep "$seconds"
  { kill -9 $! || true; wait $! || true; } >/dev/null 2>&1
}
# A tiny model with random weights, and some rendered scenes.
tiny() { "$BUILD/tests/make_model" "$@" >/dev/null; }
scenes() { "$BUILD/models/demo/demo-scenes" dir "$1" --count "$2" --seed 7 --split test >/dev/null; }
cd "$scratch/work"
set -e
END
mkdir "$scratch/work"
cat "$scratch/start" "$here/$name.sh" >"$scratch/test.sh"
code=0
sh "$scratch/test.sh" >"$scratch/out" 2>&1 || code=$?
[ $code = 77 ] && cat "$scratch/out" && exit 77 # skipped
echo "ended with $code" >>"$scratch/out"
sed "s|$scratch|TMP|g; s|$SOURCE|SOURCE|g" "$scratch/out" >"$scratch/got"
[ "${2:-}" = --update ] && cp "$scratch/got" "$here/$name.expected"
diff -u "$here/$name.expected" "$scratch/got" && exit 0
echo "again with: BUILD=$BUILD SOURCE=$SOURCE tests/cli/run.sh $name"
exit 1
