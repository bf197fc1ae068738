# A model edited from a store: what is written, what is printed, what is refused
tiny model
scenes scenes 40
clipspan decompose model scenes/labels.csv -o store --quiet
printf 'a photo of {}\n' >templates.txt
printf 'circle\nsquare\ntriangle\nstar\nheart\ncross\nring\nmoon\n' >classes.txt
scored="--classes classes.txt --templates templates.txt --column shape --quiet"
clipspan edit store --heads L1.H2,L2 -o new $scored >text.txt
sed 's/[0-9][0-9]*\.[0-9]*/N/g; s/  */ /g' text.txt
ls new
cmp model/config.json new/config.json && cmp model/vocab.json new/vocab.json && echo 'other files are the same'
[ "$(wc -c <model/model.safetensors)" = "$(wc -c <new/model.safetensors)" ] && echo 'as long as it was'
clipspan info new | grep -c fingerprint
# the edited model's own store says what the command said
clipspan decompose new scenes/labels.csv -o again --quiet
clipspan classify again --classes classes.txt --templates templates.txt --column shape --json --quiet | sed -n 's/.*"top1": \([0-9.]*\).*/\1/p' >top1.txt
rm -r new
clipspan edit store --heads L1.H2,L2 -o new $scored --json | sed -n 's/.*"total": \([0-9.]*\).*/\1/p' | cmp - top1.txt && echo 'accuracy agrees'
# by attribute, as a table; means over all tokens; zeros
clipspan edit store --heads all -o all $scored --attribute setting --csv groups.csv --mean tokens | grep -c .
head -n 1 groups.csv
cut -d, -f1 groups.csv | sed -n 2p
clipspan edit store --heads L0.H0 -o zero --zero --no-accuracy --json
# sharded, open_clip, f16
tiny sharded --layout open_clip --dtype f16 --sharded
clipspan decompose sharded scenes/labels.csv -o sharded.store --quiet
clipspan edit sharded.store --heads last:1 -o sharded.new --no-accuracy
ls sharded.new
clipspan info sharded.new | grep 'weights on disk'
# images without labels: the model alone, unless accuracy was asked for
clipspan decompose model scenes/images -o unlabelled --quiet
clipspan edit unlabelled --heads L1.H2 -o plain 2>&1 | head -n 2
fails clipspan edit unlabelled --heads L1.H2 -o bad --classes classes.txt
# refused
fails clipspan edit store --heads L1.H2 -o new --quiet --no-accuracy
fails clipspan edit store --heads L1.H2 -o model/inside --quiet --no-accuracy
fails clipspan edit store --heads L1.H2 -o classes.txt --quiet --no-accuracy
fails clipspan edit store --heads L9 -o bad
fails clipspan edit store --heads L1.H2
fails clipspan edit store -o bad
fails clipspan edit store --heads L1.H2 -o bad --remove
fails clipspan edit store --heads L1.H2 -o bad --zero --mean tokens
fails clipspan edit store --heads L1.H2 -o bad --mean median
fails clipspan edit store --heads L1.H2 -o bad $scored --attribute nonsense
fails clipspan edit store --heads L1.H2 -o bad --classes classes.txt
fails clipspan edit store --heads L1.H2 -o bad --no-accuracy --attribute setting
fails clipspan edit store --heads L1.H2 -o bad $scored --images nowhere
fails clipspan edit no-such-store --heads L1.H2 -o bad
clipspan decompose model scenes/labels.csv -o moments --moments --quiet
fails clipspan edit moments --heads L1.H2 -o bad --no-accuracy
clipspan edit moments --heads L1.H2 -o tokens --no-accuracy --mean tokens --quiet | head -n 1
# a full disk leaves nothing
( ulimit -f 100; fails clipspan edit store --heads L1.H2 -o bad --no-accuracy --quiet )
ls -d bad* 2>/dev/null || echo 'nothing of it'
mv model moved
fails clipspan edit store --heads L1.H2 -o bad --no-accuracy
