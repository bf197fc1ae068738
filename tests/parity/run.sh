#!/usr/bin/env bash
# run.sh BUILD [--reduced] [run.py's options]: everything that is compared live. `make parity` calls it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$1" && pwd)
shift
reduced=
for word in "$@"; do [ "$word" = --reduced ] && reduced=--reduced; done
python=$("$here/setup.sh")
work=${CLIPSPAN_PARITY_WORK:-$here/../../build/parity}
mkdir -p "$work"
work=$(cd "$work" && pwd)
failed=

# part TITLE SCRIPT [OPTION...]: one comparison; the others run whatever it ends with.
part() {
    local title=$1 script=$2 begin=$SECONDS
    shift 2
    echo "== $title"
    "$python" "$here/$script" "$@" || failed="$failed $script"
    echo "   ($((SECONDS - begin)) s)"
}

if [ "$reduced" ]; then pictures=60 texts=1500; else pictures=300 texts=20000; fi
part "pixels of every kind of picture" pixels.py --driver "$build/tests/pixels_driver" --count $pictures
part "token ids of texts of every kind" tokens.py --driver "$build/tests/tokens_driver" --count $texts
part "heads replaced inside" intervene.py --driver "$build/tests/intervene_driver" --work "$work/intervene" $reduced
part "maps of texts over tokens" maps.py --build "$build" --work "$work/maps" $reduced
part "ablations in NumPy" ablation.py --build "$build" --work "$work" $reduced
part "derivatives and relevance" relevance.py --library "$build/src/libclipspan.so" $reduced
part "MLP terms by neuron" neurons.py --clipspan "$build/clipspan" --work "$work/neurons" $reduced
part "whole models" run.py --clipspan "$build/clipspan" --work "$work" "$@"
part "edited models, loaded by the other programs" edit.py --build "$build" --work "$work"
part "nearest images" retrieval.py --build "$build" --work "$work" $reduced
part "their store, by its specification" check_store.py "$work/retrieval_f16/store"
part "TextSpan evaluated, in NumPy" textspan_evaluation.py --build "$build" --work "$work"
part "segmentation" segmentation.py --clipspan "$build/clipspan" --scenes "$build/models/demo/demo-scenes" --work "$work" \
    ${reduced:+--count 8}
part "accuracy by group, and heads taken out" groups.py --build "$build" --work "$work/groups" $reduced
part "classification, calibration, open_clip's lists" classification.py --build "$build" --work "$work" $reduced
[ -z "$failed" ] || { echo "parity: DIFFERENT:$failed" >&2; exit 1; }
