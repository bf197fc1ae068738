# several engines give the files of one; packed weights kept between runs give them too, whatever happens to them
model=$SOURCE/models/demo/clipspan-demo
scenes scenes 12
clipspan embed $model --images scenes -o one.npy --threads 2 --batch 4
for engines in 1 2 auto; do
  clipspan embed $model --images scenes -o other.npy --threads 2 --batch 4 --engines $engines 2>/dev/null
  cmp one.npy other.npy && echo "embed, $engines: the same"
done
for engines in 0 3 two; do fails clipspan embed $model --images scenes -o no.npy --threads 2 --engines $engines; done
(export CLIPSPAN_MAX_ISA=avx3; fails clipspan embed $model --images scenes -o no.npy --quiet)
clipspan decompose $model scenes -o one.store --threads 2 --batch 4 --shard-images 8 --quiet
clipspan decompose $model scenes -o two.store --threads 2 --batch 4 --shard-images 8 --engines 2 --json 2>note |
  grep -oE '"(engines|mapped)": [0-9]+'
grep -oE '^2 engines: [0-9]+ MB of weights between them' note
for file in one.store/*.safetensors; do cmp $file two.store/$(basename $file) && echo same; done | sort | uniq -c | tr -d ' '

clipspan embed $model --images scenes -o cached.npy --threads 2 --batch 4 --cache=kept
cmp one.npy cached.npy && ls kept | sed 's/[0-9a-f]\{32\}/HASH/; s/f32-.*\.weights/f32-LAYOUT.weights/' | sort
again() { clipspan embed $model --images scenes -o again.npy --threads 2 --batch 4 --cache=kept 2>&1 | sed 's|kept/.*: |FILE: |'; cmp one.npy again.npy && echo "$1: the same"; }
again whole
for file in kept/*.weights; do printf X | dd of=$file bs=1 seek=70000 conv=notrunc 2>/dev/null; done
again damaged
again "packed anew"
for file in kept/*; do head -c 50 $file >cut && mv cut $file; done
again "cut short"
again "packed anew"
rm -r kept
again deleted
echo >no-folder
clipspan embed $model --images scenes -o again.npy --threads 2 --batch 4 --cache=no-folder/kept 2>&1 | sed 's|: no-folder.*||' | sort -u
cmp one.npy again.npy && echo "nowhere to keep it: the same"
mkdir pipes # nobody reads them: a cache that waited for that would hang
for name in $(ls kept); do mkfifo "pipes/$name"; done
clipspan embed $model --images scenes -o again.npy --threads 2 --batch 4 --cache=pipes 2>&1 | sed 's|pipes/[^:]*|PIPE|' | sort -u
cmp one.npy again.npy && echo "pipes in the files' places: the same"
(clipspan embed $model --images scenes -o a.npy --threads 1 --batch 4 --cache=both & clipspan embed $model --images scenes -o b.npy --threads 1 --batch 4 --cache=both; wait)
cmp one.npy a.npy && cmp one.npy b.npy && ls both | wc -l | tr -d ' '
CLIPSPAN_MAX_ISA=portable clipspan embed $model --images scenes -o plain.npy --threads 2 --batch 4
for run in 1 2; do # other instructions beside those of before
  CLIPSPAN_MAX_ISA=portable clipspan embed $model --images scenes -o a.npy --threads 2 --batch 4 --cache=both
  cmp plain.npy a.npy && ls both | grep -c portable
done
clipspan embed $model --images scenes -o default.npy --cache --quiet
ls "$XDG_CACHE_HOME/clipspan" | wc -l | tr -d ' '
