# text embeddings and classifiers that were made before: what export wrote is taken back, and what is refused
tiny model
scenes scenes 60
clipspan decompose model scenes/labels.csv -o store --neurons --quiet
printf 'a red circle\n\na blue square\na red circle\nsnow\nthree shapes\nwater\n' >pool.txt
printf 'one\ntwo\nthree\n' >words.txt
prompts="--column setting --classes $SOURCE/models/demo/zero_shot/setting.classes.txt"
clipspan export store --name s $prompts --texts pool.txt --texts-name pool -o arrays
clipspan export store --name s --texts words.txt --texts-name words -o arrays
pool=arrays/pool_model.npy
words=arrays/words_model.npy
classifier=arrays/s_classifier_model.npy
same() { cmp "$1" "$2" && echo "$3: the same"; }
# with the model, then without it: it is moved away
clipspan textspan store --texts pool.txt --size 4 --json -o a.json
clipspan attributes store --columns setting --texts pool.txt --csv b.csv -o b.txt
clipspan neurons store --texts pool.txt --top 5 --json -o c.json
evaluate="clipspan textspan store --evaluate --last 2 --sizes 1,2 --column setting --json --quiet"
evaluate="$evaluate --classes $SOURCE/models/demo/zero_shot/setting.classes.txt"
$evaluate --texts pool.txt --texts words.txt -o d.json
clipspan ablate store $prompts --heads L2.H1 --resamples 20 --json -o e.json
groups="--attribute shape --column setting --classes $SOURCE/models/demo/zero_shot/setting.classes.txt --skip-empty --json"
clipspan groups store $groups --no-search --heads L2.H1 --quiet -o f.json
clipspan classify store $prompts --csv g.csv | grep -v '^prompts: ' >g.txt
clipspan neurons store --texts pool.txt --embeddings $pool --top 5 --json -o c2.json
same c.json c2.json neurons
clipspan edit store $prompts --heads L2.H1 -o edited --json >h.json
clipspan edit store $prompts --heads L2.H1 --classifier $classifier -o edited2 --json >h2.json
sed 's/"edited2"/"edited"/' h2.json >h3.json
same h.json h3.json edit
clipspan classify model scenes/labels.csv $prompts --csv i.csv >/dev/null
clipspan classify model scenes/labels.csv $prompts --classifier $classifier --csv i2.csv >/dev/null
same i.csv i2.csv 'classify a list'
mv model moved
clipspan textspan store --texts pool.txt --embeddings $pool --size 4 --json -o a2.json
same a.json a2.json textspan
clipspan attributes store --columns setting --texts pool.txt --embeddings $pool --csv b2.csv -o b2.txt
same b.csv b2.csv attributes
$evaluate --texts pool.txt --embeddings $pool --texts words.txt --embeddings $words --classifier $classifier -o d2.json
same d.json d2.json evaluate
clipspan ablate store $prompts --classifier $classifier --heads L2.H1 --resamples 20 --json -o e2.json
same e.json e2.json ablate
clipspan groups store $groups --no-search --heads L2.H1 --classifier $classifier --quiet -o f2.json
same f.json f2.json groups
clipspan classify store $prompts --classifier $classifier --csv g2.csv >told.txt
grep -v '^classifier: ' told.txt >g2.txt
same g.csv g2.csv classify; same g.txt g2.txt 'its table'
grep '^classifier' told.txt
clipspan classify store $prompts --classifier $classifier --json | grep -A 2 '"templates"'
# a row a line, blank and repeated lines too: their rows are passed over, whatever stands in them
E=$((($(wc -c <$pool) - 128) / 4 / 5))
npy() { printf '\223NUMPY\001\000\166\000%-117s\n' "{'descr': '$1', 'fortran_order': False, 'shape': $2, }"; }
row() { tail -c +129 $pool | tail -c +$(($1 * E * 4 + 1)) | head -c $((E * 4)); }
{ npy '<f4' "(7, $E)"; row 0; head -c $((E * 4)) /dev/zero; row 1; row 3; row 2; row 3; row 4; } >lines.npy
clipspan textspan store --texts pool.txt --embeddings lines.npy --size 4 --json -o a3.json
same a.json a3.json 'a row a line'
clipspan textspan store --texts - --embeddings lines.npy --size 4 --json -o a4.json <pool.txt
same a.json a4.json 'a pool from standard input'
# not of unit length: made so, and said
ones() { i=0; while [ $i -lt $1 ]; do printf '\000\074'; i=$((i + 1)); done; }
{ npy '<f2' "(3, $E)"; ones $((3 * E)); } >ones.npy
clipspan textspan store --texts words.txt --embeddings ones.npy --heads L0.H0 --size 1 2>&1 >/dev/null
# what is refused
span="clipspan textspan store --texts words.txt"
fails $span --embeddings $pool
fails clipspan textspan store --texts pool.txt --embeddings $words
{ npy '<f2' "(3, 5)"; ones 15; } >narrow.npy
fails $span --embeddings narrow.npy
{ npy '<f2' "(3,)"; ones 3; } >flat.npy
fails $span --embeddings flat.npy
{ npy '<f2' "(1, 3, 1)"; ones 3; } >deep.npy
fails $span --embeddings deep.npy
{ npy '<i2' "(3, $E)"; ones $((3 * E)); } >whole.npy
fails $span --embeddings whole.npy
head -c 300 $words >cut.npy
fails $span --embeddings cut.npy
{ npy '<f2' "(3, $E)"; ones $((2 * E + 4)); printf '\000\176'; ones $((E - 5)); } >nan.npy
fails $span --embeddings nan.npy
{ npy '<f2' "(3, $E)"; ones $E; printf '\000\374'; ones $((2 * E - 1)); } >infinite.npy
fails $span --embeddings infinite.npy
{ npy '<f2' "(3, $E)"; ones $((2 * E)); head -c $((2 * E)) /dev/zero; } >zeros.npy
fails $span --embeddings zeros.npy
fails $span --embeddings words.txt
fails $span --embeddings no-such.npy
fails $span --embeddings $words --embeddings $words
fails clipspan attributes store --columns setting --embeddings $pool
fails clipspan neurons store --embeddings $pool
fails clipspan neurons store --texts words.txt --embeddings $pool
fails $evaluate --texts pool.txt --texts words.txt --embeddings $pool
fails $evaluate --texts pool.txt --texts words.txt --embeddings $words --embeddings $pool
fails $span --classifier $classifier
fails clipspan ablate store $prompts --classifier $words
fails clipspan groups store $groups --no-search --heads L2.H1 --classifier $words
fails clipspan classify store $prompts --classifier $words
fails clipspan ablate store $prompts --classifier nan.npy
fails clipspan ablate store $prompts --classifier $classifier --templates single
fails clipspan classify store $prompts --classifier $classifier --templates single
fails clipspan edit store $prompts --heads L2.H1 --classifier $words -o refused --model moved
# the pictures' embedding and the cue's texts still need the model
fails clipspan groups store $groups --classifier $classifier --cue water
fails clipspan ablate store $prompts --classifier $classifier --total
ls -d refused 2>/dev/null || echo 'nothing of it'
