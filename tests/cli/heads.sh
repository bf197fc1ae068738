# every head at a glance: the grid, descriptions, JSON and CSV against the other subcommands; colours and widths
unset COLUMNS
tiny model
scenes scenes 60
prompts=$SOURCE/models/demo/zero_shot
classes="--column setting --classes $prompts/setting.classes.txt --templates $prompts/setting.templates.txt"
clipspan decompose model scenes/labels.csv -o store --quiet
clipspan decompose model scenes/labels.csv -o moments --moments --quiet
printf 'a red circle\n\na blue square\na red circle\nsnow\nthree shapes\nwater\n' >pool.txt
printf 'a blue square\nsand\n' >more.txt
printf 'a red circle\na blue square\nsnow\nthree shapes\nwater\nsand\n' >both.txt
fits() { sed 's/[▁▂▃▄▅▆▇█]/#/g' | awk -v most="$1" 'length($0) > most { print "too long:", $0 } END { print NR > 5 ? "fits" : "empty" }'; }
# the grid; the model is random: what its numbers are hangs on the processor's instructions
clipspan heads store >grid.txt
sed 's/^\(L[0-9]\) .*/\1/' grid.txt
grep -cE '^L[0-2]( [ 0-9.]{3}){4} +[0-9]+\.[0-9]$' grid.txt
clipspan heads store --by variance | grep -cE '^L[0-2]( [ 0-9.]{3}){4} +[0-9]+\.[0-9]$'
COLUMNS=200 clipspan heads store --by variance | sed -n 2p | sed 's/units of [^ ]*/units of N/'
clipspan heads moments | cmp - grid.txt && echo 'moments give the same grid'
clipspan heads store --by role --columns setting,shape,size >role.txt
sed -n '2,4p; $p' role.txt
grep -cE '^L[0-2](( [shi][0-9]{2})|(   \.)){4}$' role.txt
COLUMNS=200 clipspan heads store --by effect $classes >effect.txt
sed -n 2p effect.txt | sed 's/units of [^ ]*/units of N/'
grep -cE '^L[0-2]( [- 0-9]{3}){4}$' effect.txt
# what heads say: at length, one line each
COLUMNS=100 clipspan heads store --texts pool.txt --heads L2.H1 --stability --resamples 10 --size 3 --pictures 3 >long.txt
sed -n '/^L2.H1:/,$p' long.txt | sed 's/tells [a-z]* best/tells X best/; s/images\/[0-9]*.png/IMAGE/g
  s/ \(a red circle\|a blue square\|snow\|three shapes\|water\)$/ TEXT/; s/"[^"]*"/"TEXT"/; s/\([ (]\)[-+]\{0,1\}[0-9][0-9]*\.[0-9]*/\1N/g
  s/[0-9][0-9]* %/N %/g; s/rank [0-9]*/rank N/; s/N [ ▁▂▃▄▅▆▇█]\{32\} N/N HISTOGRAM N/; s/  */ /g'
grep -c '[▁▂▃▄▅▆▇█]' long.txt
clipspan heads store --texts pool.txt --size 2 | grep -c '^L[0-9].H[0-9] .*|'
clipspan heads store --heads last:1 | grep -c '^L[0-9].H[0-9]: variance'
# the same numbers as other subcommands'
clipspan heads store --texts pool.txt --heads last:2 --stability --resamples 10 --size 3 --pictures 3 --by effect $classes --json -o heads.json --csv heads.csv
clipspan textspan store --texts pool.txt --heads last:2 --stability --resamples 10 --size 3 --json -o textspan.json
clipspan attributes store --json -o attributes.json
clipspan ablate store $classes --json --resamples 0 -o ablate.json
python3 "$SOURCE/tests/cli/heads_check.py" heads.json heads.csv textspan.json attributes.json ablate.json
head -n 1 heads.csv
# threads change nothing; a store of moments has no activations
clipspan heads store --texts pool.txt --json --threads 1 -o one.json
clipspan heads store --texts pool.txt --json --threads 2 -o two.json
cmp one.json two.json && echo 'threads agree'
clipspan heads moments --texts pool.txt --json | grep -c '"activation": {\|"role"' || true
grep -c '"activation": {' one.json
# several pools are one, their embeddings too
clipspan heads store --texts both.txt --json -o both.json
clipspan heads store --texts pool.txt --texts more.txt --json | sed 's/.*more.txt"//; s/pool.txt",/both.txt"/' | grep -v '^$' | cmp - both.json && echo 'two pools are one'
clipspan embed model --texts pool.txt -o pool.npy --quiet
clipspan embed model --texts more.txt -o more.npy --quiet
mv model moved
clipspan heads store --texts pool.txt --texts more.txt --embeddings pool.npy --embeddings more.npy --json | sed 's/.*more.txt"//; s/pool.txt",/both.txt"/' | grep -v '^$' >files.json
cmp files.json both.json && echo 'embeddings from files'
mv moved model
# lines fit, colours come when asked for
COLUMNS=120 clipspan heads store --texts pool.txt --heads L2.H1 | fits 120
COLUMNS=40 clipspan heads store --texts pool.txt --heads L2.H1 | fits 40
COLUMNS=7 clipspan heads store --texts pool.txt --by role | fits 40
tiny wide --heads 16 --layers 3 --width 64
clipspan decompose wide scenes/labels.csv -o wide.store --quiet
clipspan heads wide.store | fits 80
COLUMNS=60 clipspan heads wide.store | grep -c 'H[0-9]* *H'
escapes() { tr -cd '\033' | wc -c; }
clipspan heads store | escapes
clipspan heads store --colour always | escapes
NO_COLOR=1 clipspan heads store --colour always | escapes
clipspan heads store --colour always | sed 's/\x1b\[[0-9;]*m//g' | sed -n '1,/^$/p; /^ /p; /^L/p' | cmp - grid.txt && echo 'colours are all that differs'
on() { python3 "$SOURCE/tests/cli/terminal_check.py" on "$@"; }
unset NO_COLOR COLORTERM
export TERM=xterm-256color
on silent "$BUILD/clipspan" heads store
COLORTERM=truecolor on silent "$BUILD/clipspan" heads store
NO_COLOR=1 on silent "$BUILD/clipspan" heads store
TERM=dumb on silent "$BUILD/clipspan" heads store
on silent "$BUILD/clipspan" heads store --colour never
# refused
fails clipspan heads
fails clipspan heads store --by size
fails clipspan heads store --heads L9
fails clipspan heads store --stability
fails clipspan heads store --embeddings pool.npy
fails clipspan heads store --classes both.txt
fails clipspan heads store --texts pool.txt --embeddings pool.npy --embeddings more.npy
fails clipspan heads store --texts pool.txt --size 0
fails clipspan heads store --texts no-such-pool
fails clipspan heads store --by role --columns nonsense
fails clipspan heads moments --by role
fails clipspan heads moments --by effect
fails clipspan heads moments --texts pool.txt --stability
fails clipspan heads store --csv x --json -o x
[ ! -e x ] && echo 'no x'
