# one page of a store: its sections are the commands' own figures, it asks for nothing, it says what is missing
tiny model
scenes scenes 40
"$BUILD/models/demo/demo-scenes" dir single --count 12 --seed 11 --split test --set single >/dev/null
prompts=$SOURCE/models/demo/zero_shot
# how many pictures and queries there are hangs on the last digits
check() { python3 "$SOURCE/tests/cli/report_check.py" "$@" | uniq; }
head -n 30 "$SOURCE/models/demo/pool.txt" >pool.txt
clipspan decompose model scenes/labels.csv -o store --store-dtype f16 --quiet
clipspan decompose model scenes/labels.csv -o moments --moments --quiet
clipspan decompose model single/labels.csv -o other --quiet
# all there is
clipspan report store -o full.html --texts pool.txt --column setting --classes $prompts/setting.classes.txt \
  --templates $prompts/setting.templates.txt --attribute place --cue 'a place' --row 3 --row 5 \
  --segment single --segment-classes $prompts/shape.classes.txt --title 'A </script><script>alert(1)</script> title' \
  >out.txt 2>notes.txt
cat out.txt
grep 'left out: ' notes.txt | grep -v 'caption' || true
check full.html --commands
# the same again, byte for byte
clipspan report store -o again.html --texts pool.txt --column setting --classes $prompts/setting.classes.txt \
  --templates $prompts/setting.templates.txt --attribute place --cue 'a place' --row 3 --row 5 \
  --segment single --segment-classes $prompts/shape.classes.txt --title 'A </script><script>alert(1)</script> title' 2>/dev/null
cmp full.html again.html && echo 'the same bytes'
# little is asked for; another store beside it; another convention, a few pictures
clipspan report store -o little.html --pictures 3 --maps 0 --quiet 2>/dev/null
check little.html --commands
clipspan report store -o two.html --beside other --texts pool.txt --texts single/labels.csv --heads last:1 --size 3 \
  --resamples 0 --convention exact --maps 1 --quiet 2>/dev/null
check two.html --commands
# groups of the birds' cue
"$BUILD/models/demo/demo-scenes" dir birds --count 60 --seed 2026 --split test --set birds >/dev/null
clipspan decompose model birds/labels.csv -o birds.store --quiet
clipspan report birds.store -o birds.html --classes $prompts/bird.classes.txt --templates $prompts/bird.templates.txt \
  --attribute setting --cue 'something on water' --cue 'something on grass' --columns setting,label --pictures 0 --quiet 2>/dev/null
check birds.html --commands
# what a store cannot give is said, on the page and on standard error
clipspan report moments -o moments.html --texts pool.txt 2>&1 | sed "s|$scratch|TMP|g"
check moments.html --commands
mv model moved
mv scenes gone
clipspan report store -o bare.html --texts pool.txt --quiet 2>/dev/null
check bare.html --commands | sed 's|(.*||'
clipspan report store -o found.html --texts pool.txt --model moved --images gone/labels.csv --resamples 3 --quiet 2>/dev/null
check found.html --commands
mv moved model
mv gone scenes
# a store whose parts lie in folders of their own gives the page of one that lies in one
clipspan decompose model scenes/labels.csv -o store-a --shard-images 16 --quiet
for k in 1 2 3; do clipspan decompose model scenes/labels.csv -o disk$k/part --shard-images 16 --part $k/3 --quiet; done
clipspan report disk1/part -o part.html 2>&1 | sed 's/^clipspan report: //'
clipspan merge disk1/part disk2/part disk3/part -o store-b --quiet
for store in store-a store-b; do
  clipspan report $store -o $store.html --texts pool.txt --column setting --classes $prompts/setting.classes.txt \
    --templates $prompts/setting.templates.txt --quiet 2>/dev/null
  sed -e 's/store-b/store-a/g' -e 's/"bytes": *[0-9]*//' $store.html >$store.page
done
check store-b.html --commands
cmp store-a.page store-b.page && echo 'of parts: the same page'
# what the first store has and the second has not
"$BUILD/models/demo/demo-scenes" dir bare.single --count 5 --seed 3 --split test --set single >/dev/null
clipspan decompose model bare.single/images -o plain --quiet
clipspan report store -o uneven.html --beside plain --columns setting,place --texts pool.txt --row 30 --heads L2 --maps 0 --quiet \
  2>/dev/null
check uneven.html --commands
# the folder that it is made in and the user's own are not told; the commands run all the same
mkdir -p "home/my models" "home/the'work"
cp -r model "home/my models/tiny"
cp -r scenes "home/the'work/-scenes"
cp pool.txt home/pool.txt
(
  cd "home/the'work"
  export HOME="$scratch/work/home"
  clipspan decompose "$HOME/my models/tiny" ./-scenes/labels.csv -o ./-store --quiet
  clipspan report -o here.html --texts "$HOME/pool.txt" --heads L2 --maps 1 --resamples 0 --classes "$HOME/gone.txt" -- -store ||
    echo 'a file that is not there is an error'
  clipspan report -o here.html --texts "$HOME/pool.txt" --heads L2 --maps 1 --resamples 0 --columns setting --quiet -- -store \
    2>/dev/null
  check here.html --commands --show
  mv "$HOME/my models" "$HOME/elsewhere"
  clipspan report -o gone.html --quiet -- -store 2>/dev/null
  python3 "$SOURCE/tests/cli/report_check.py" gone.html | grep 'absent ablate'
)
# odd names: what a page cannot hold is left to printf, what a shell would take for its own is quoted
odd=$(printf 'o\377d "$HOME" `x` !\033[1m')
mkdir odd
cp pool.txt "odd/$odd"
printf '%s\n' '--dash text' "it's <b>\"quoted\"</b> \$HOME" '</script><script>alert(1)</script>' "$(printf '\342\200\256right')" >>"odd/$odd"
sed '1s/setting/"a ""b"" <i>"/; s/,grass,/,"<script>'"'"'s",/g' scenes/labels.csv >scenes/odd.csv
cp "scenes/images/000000.png" "$(printf 'scenes/images/\376 "<b>.png')"
LC_ALL=C sed "$(printf '2s/000000.png/\376 ""<b>.png/; 2s/^\\([^,]*\\)/"\\1"/')" scenes/odd.csv >scenes/odder.csv
clipspan decompose model scenes/odder.csv -o odd/store --quiet
clipspan report odd/store -o odd.html --texts "odd/$odd" --columns 'a "b" <i>' --heads L2 --maps 1 --resamples 0 --row 0 \
  --title "$(printf 'a \377 </title>')" --quiet 2>/dev/null
check odd.html --commands --show
# the one head does not tell what the images are named by: its nearest images are shown all the same
tiny narrow --layers 1 --heads 1
awk -F, 'NR == 1 { print "path,side" } NR > 1 { print $1 "," (NR % 2 ? "left" : "right") }' scenes/labels.csv >scenes/sides.csv
clipspan decompose narrow scenes/sides.csv -o sides --quiet
clipspan report sides -o sides.html --maps 0 --pictures 0 --quiet 2>/dev/null
check sides.html
clipspan attributes sides --csv sides.csv --quiet >/dev/null
tail -n 1 sides.csv | grep -c ',-' # beyond chance: less than nothing
# bad input, and nothing is left of it
fails clipspan report store
fails clipspan report store -o -
fails clipspan report nowhere -o bad.html
fails clipspan report store -o nowhere/bad.html
fails clipspan report store -o bad.html --texts nowhere.txt
fails clipspan report store -o bad.html --texts pool.txt --embeddings a.npy --embeddings b.npy
fails clipspan report store -o bad.html --column nothing
fails clipspan report store -o bad.html --attribute nothing
fails clipspan report store -o bad.html --columns setting,nothing
fails clipspan report store -o bad.html --cue water
fails clipspan report store -o bad.html --row 40
fails clipspan report store -o bad.html --row x
fails clipspan report store -o bad.html --heads L99
fails clipspan report store -o bad.html --classes -
fails clipspan report store -o bad.html --segment nowhere
fails clipspan report store -o bad.html --segment-classes pool.txt
fails clipspan report store -o bad.html --beside nowhere
fails clipspan report store -o bad.html --maps 1000
fails clipspan report store -o bad.html --segment single --segment-method gradcam,nothing
fails clipspan report store -o bad.html --model single
fails clipspan report store -o bad.html --vocab pool.txt
fails clipspan report store -o bad.html --images single/labels.csv
ls | grep -c bad || true
