#!/usr/bin/env bash
# run.sh BUILD [--reduced] [run.py's options]: everything that is compared live. `make parity` calls it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$1" && pwd)
shift
reduced=no
for word in "$@"; do [ "$word" = --reduced ] && reduced=yes; done
python=$("$here/setup.sh")
work=${CLIPSPAN_PARITY_WORK:-$here/../../build/parity}
mkdir -p "$work"
status=0

if [ $reduced = yes ]; then pictures=60 texts=1500; else pictures=300 texts=20000; fi
echo "== pixels of every kind of picture"
"$python" "$here/pixels.py" --driver "$build/tests/pixels_driver" --count $pictures || status=1
echo "== token ids of texts of every kind"
"$python" "$here/tokens.py" --driver "$build/tests/tokens_driver" --count $texts || status=1
echo "== heads replaced inside"
"$python" "$here/intervene.py" --driver "$build/tests/intervene_driver" --work "$work/intervene" \
    $([ $reduced = yes ] && echo --reduced) || status=1
echo "== maps of texts over tokens"
"$python" "$here/maps.py" --build "$build" --work "$work/maps" $([ $reduced = yes ] && echo --reduced) || status=1
echo "== ablations in NumPy"
"$python" "$here/ablation.py" --build "$build" --work "$work" $([ $reduced = yes ] && echo --reduced) || status=1
echo "== derivatives and relevance"
"$python" "$here/relevance.py" --library "$build/src/libclipspan.so" $([ $reduced = yes ] && echo --reduced) || status=1
echo "== MLP terms by neuron"
"$python" "$here/neurons.py" --clipspan "$build/clipspan" --work "$work/neurons" \
    $([ $reduced = yes ] && echo --reduced) || status=1
echo "== whole models"
"$python" "$here/run.py" --clipspan "$build/clipspan" --work "$work" "$@" || status=1
echo "== edited models, loaded by the other programs"
"$python" "$here/edit.py" --build "$build" --work "$work" || status=1
echo "== nearest images"
"$python" "$here/retrieval.py" --build "$build" --work "$work" $([ $reduced = yes ] && echo --reduced) || status=1
echo "== TextSpan evaluated, in NumPy"
"$python" "$here/textspan_evaluation.py" --build "$build" --work "$work" || status=1
echo "== segmentation"
"$python" "$here/segmentation.py" --clipspan "$build/clipspan" --scenes "$build/models/demo/demo-scenes" --work "$work" \
    $([ $reduced = yes ] && echo --count 8) || status=1
echo "== accuracy by group, and heads taken out"
"$python" "$here/groups.py" --build "$build" --work "$work/groups" $([ $reduced = yes ] && echo --reduced) || status=1
echo "== classification, calibration, open_clip's lists"
"$python" "$here/classification.py" --build "$build" --work "$work" $([ $reduced = yes ] && echo --reduced) || status=1
exit $status
