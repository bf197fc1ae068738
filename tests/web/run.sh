#!/bin/sh
# The pages' tests in real browsers.   tests/web/run.sh BUILD [TEST.mjs ...]
# All of them in Chromium, and those of the whole pages, the layout and the accessibility tree in Firefox too, where it is
# installed. CLIPSPAN_BROWSER=firefox (or chromium): the tests that are named, or all, in that one alone.
# Installs what package-lock.json names (npm), makes the demo's small report and store once, runs node's test runner.
set -eu
build=$(cd "$1" && pwd)
shift
cd "$(dirname "$0")"
[ -d node_modules/axe-core ] && [ -d node_modules/playwright-core ] || npm ci --ignore-scripts --no-audit --no-fund
export CLIPSPAN_BUILD="$build" CLIPSPAN_RUN="$(date +%s).$$"
in_browser() {
  browser=$1
  shift
  CLIPSPAN_BROWSER=$browser node --test --test-concurrency=1 "$@"
}
if [ -n "${CLIPSPAN_BROWSER:-}" ] || [ $# -gt 0 ]; then
  [ $# -gt 0 ] || set -- ./*.test.mjs
  in_browser "${CLIPSPAN_BROWSER:-chromium}" "$@"
  exit
fi
in_browser chromium ./*.test.mjs
firefox=${FIREFOX:-$(command -v firefox-esr || command -v firefox || true)}
if [ -n "$firefox" ]; then
  echo "and in Firefox:"
  FIREFOX=$firefox in_browser firefox ./firefox.test.mjs ./layout.test.mjs ./report.test.mjs ./viewer.test.mjs
else
  echo "in Firefox: skipped, it is not installed (Debian: firefox-esr)"
fi
