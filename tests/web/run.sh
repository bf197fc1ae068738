#!/bin/sh
# The pages' tests in a real browser.   tests/web/run.sh BUILD [TEST.mjs ...]
# Installs what package-lock.json names (npm), makes the demo's small report and store once, runs node's test runner.
set -eu
build=$(cd "$1" && pwd)
shift
cd "$(dirname "$0")"
[ -d node_modules/axe-core ] && [ -d node_modules/playwright-core ] || npm ci --ignore-scripts --no-audit --no-fund
export CLIPSPAN_BUILD="$build" CLIPSPAN_RUN="$(date +%s).$$"
[ $# -gt 0 ] || set -- ./*.test.mjs
exec node --test --test-concurrency=1 "$@"
