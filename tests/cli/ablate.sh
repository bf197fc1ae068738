# what terms are worth: from a store, in all, and what is refused
tiny model
scenes scenes 40
prompts="--column setting --classes $SOURCE/models/demo/zero_shot/setting.classes.txt"
clipspan decompose model scenes/labels.csv -o store --quiet
clipspan ablate store $prompts --heads L2.H1,L0.H0 --resamples 50 --json -o out.json --csv out.csv --plot curve.png --grid grid.png
head -n 1 out.csv
cut -d, -f1-6 out.csv | tail -n +2 | sed 's/,[0-9][0-9]*,/,N,/' | cut -d, -f1,2,6 | sort | uniq -c | sed 's/^ *//'
grep -c '"kind"' out.json
file() { head -c 8 "$1" | od -An -c | tr -d ' '; }
file curve.png; file grid.png
# the same input gives the same file; another seed moves the intervals alone
clipspan ablate store $prompts --heads L2.H1,L0.H0 --resamples 50 --json -o again.json --threads 1
clipspan ablate store $prompts --heads L2.H1,L0.H0 --resamples 50 --seed 1 --json -o seed.json
cmp out.json again.json && echo 'the same again'
values() { grep '"value"' "$1"; }
[ "$(values out.json)" = "$(values seed.json)" ] && ! cmp -s out.json seed.json && echo 'seed moves intervals alone'
clipspan ablate store $prompts --resamples 0 | sed -n '1,4p;8,9p' | sed 's/  *[0-9.-][0-9.-]*/ N/g'
# means of this store, by name: the same figures, and the output says so
clipspan ablate store $prompts --heads L2.H1,L0.H0 --resamples 50 --mean-from store --json -o named.json
[ "$(values out.json)" = "$(values named.json)" ] && echo 'the same means'
clipspan ablate store $prompts --resamples 0 --mean-from store | grep 'replaced by'
clipspan ablate store $prompts --resamples 0 --zero | grep 'replaced by'
# total effects: nothing later reacts to the last layer but its own MLP, so there the class token is all that matters
total() { clipspan ablate store $prompts --heads L2.H1 --resamples 0 --total "$@" --quiet --csv total.csv -o text.txt; }
total; grep 'total' total.csv | cut -d, -f1-6,7,10 >every.txt
total --at class; grep 'total' total.csv | cut -d, -f1-6,7,10 >class.txt
cut -d, -f1-6 every.txt
grep '^total effect' text.txt
tail -n 2 every.txt >a; tail -n 2 class.txt >b; cmp a b && echo 'the last layer: the class token is all'
total --zero; grep '^total effect' text.txt
# a column's values are the classes where none are named
printf 'bricks\ngrass\nnight\nsand\nsnow\ntiles\nwater\nwood\n' >values.txt
clipspan ablate store --column setting --resamples 0 --json -o column.json --quiet
clipspan ablate store --column setting --classes values.txt --resamples 0 --json -o file.json --quiet
cmp column.json file.json && grep '"classes"' column.json
# folders' names are labels, which can be asked for by that name
mkdir -p tree/bricks tree/grass
cp scenes/images/00000[0-3].png tree/bricks
cp scenes/images/00000[4-7].png tree/grass
clipspan decompose model tree -o trees --quiet
clipspan ablate trees --column label --resamples 0 | head -n 1
# a store without MLP terms
clipspan decompose model scenes/labels.csv -o heads --no-mlp --no-cls --quiet
clipspan ablate heads $prompts --resamples 0 2>&1 | grep -c 'keeps no'
clipspan decompose model scenes/labels.csv -o moments --moments --quiet
clipspan ablate store $prompts --resamples 0 --mean-from moments 2>&1 | grep 'moments alone'
# what is refused
fails clipspan ablate store
printf 'apple\npear\n' >fruit.txt
fails clipspan ablate store --column setting --classes fruit.txt
fails clipspan ablate store --column nonsense --classes fruit.txt
: >empty.txt
fails clipspan ablate store --column setting --classes empty.txt
fails clipspan ablate store $prompts --templates fruit.txt
fails clipspan ablate store $prompts --heads L9
fails clipspan ablate store $prompts --heads L0.H9
fails clipspan ablate moments $prompts
fails clipspan ablate no-such-store $prompts
clipspan decompose model scenes/images -o unlabelled --quiet
fails clipspan ablate unlabelled
fails clipspan ablate unlabelled --classes fruit.txt
tiny other --seed 9
clipspan decompose other scenes/labels.csv -o others --quiet
fails clipspan ablate store $prompts --mean-from others
fails clipspan ablate store $prompts --mean-from no-such-store
fails clipspan ablate store $prompts --zero --mean-from store
fails clipspan ablate store $prompts --at class
fails clipspan ablate store $prompts --total --images nowhere
fails clipspan ablate store $prompts --csv same -o same
fails clipspan ablate store $prompts --plot same.png --grid same.png
fails clipspan ablate store $prompts --plot -
fails clipspan ablate store $prompts --resamples 99999999
# a picture that was changed since
picture=$(ls scenes/images | head -n 1)
cp "scenes/images/$(ls scenes/images | tail -n 1)" "scenes/images/$picture"
fails clipspan ablate store $prompts --total --resamples 0
mv scenes/images moved
fails clipspan ablate store $prompts --total --resamples 0
ls | grep -c 'part-' || true
# the example
mv moved scenes/images
printf 'night\nsnow\nwater\nforest\n' >classes.txt
"$BUILD/examples/example_ablation" store model classes.txt | sed 's/[-0-9][0-9.]*/N/g'
