# Accuracy by group, heads taken out, what is searched for and scored, the Waterbirds folder, and what is refused
tiny model
"$BUILD/models/demo/demo-scenes" dir birds --count 120 --seed 7 --split test --set birds >/dev/null
clipspan decompose model birds/labels.csv -o store --quiet
printf 'heron\nwren\n' >classes.txt
groups() { clipspan groups store --attribute setting --classes classes.txt "$@"; }
columns() { cut -d, -f1-2 "$1" | sort -u; }
# all rules; nothing but rounding differs from run to run, so the table's form is shown and its halves
printf 'water\nGRASS\n' >words.txt
printf 'something on water\na wren on grass\na red circle\nsnow\n' >pool.txt
groups --cue 'water' --cue 'grass' --cue-words words.txt --texts pool.txt --size 2 --heads L0.H1,L2.H3 --csv table.csv --png table.png --json -o table.json --quiet
head -n 1 table.csv
columns table.csv
cut -d, -f1 table.csv | sort -u | wc -l
head -c 4 table.png | tail -c 3; echo
grep -c '"worst"' table.json
groups --cue 'water' --cue 'grass' --cue-words words.txt --texts pool.txt --size 2 --heads L0.H1,L2.H3 --threads 1 --json -o again.json --quiet
cmp table.json again.json && echo 'the same from one thread'
# the groups are those of the list
grep '^as it is,.*,group,' table.csv | awk -F, '{print $6, $7, $8}'
# heads given are scored on all images where nothing is searched for
groups --heads L0.H1 --no-search --csv given.csv | sed -n '1,3p'
grep ',average,' given.csv | awk -F'"?,"?' '{print $1}'
grep '^as it is,.*,group,' given.csv | awk -F, '{print $6, $7, $8}'
# the paper's protocol needs no part but the heads
clipspan decompose model birds/labels.csv -o heads --quiet --no-mlp
clipspan groups heads --attribute setting --classes classes.txt --protocol paper --last 2 --heads L0.H0 --json -o heads.json
clipspan groups store --attribute setting --classes classes.txt --protocol paper --last 2 --heads L0.H0 --json -o whole.json
cmp heads.json whole.json && echo 'no MLP term is needed'
grep -c '"L0' whole.json || true
clipspan groups heads --attribute setting --classes classes.txt --protocol paper --last 2 | grep '^Paper'
# part of the images
groups --where setting=water --where 'caption=x' --no-search 2>/dev/null || echo 'no image has both'
groups --where setting=water --no-search | head -n 1
# means of another store
groups --mean-from heads --no-search | sed -n 3p
# Waterbirds as it is distributed
mkdir -p waterbirds/001.Albatross
cp birds/images/00000[0-9].png birds/images/00001[0-5].png waterbirds/001.Albatross/
{
  echo img_id,img_filename,y,split,place,place_filename
  for i in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
    printf '%d,001.Albatross/%06d.png,%d,%d,%d,/o/ocean/1.jpg\n' "$i" "$i" $((i % 2)) $((i / 12)) $((i / 2 % 2))
  done
} >waterbirds/metadata.csv
clipspan decompose model waterbirds -o wb --quiet
clipspan info wb | grep 'images as'
clipspan groups wb --attribute place --where split=train --csv wb.csv >/dev/null
grep '^as it is,.*,group,' wb.csv | awk -F, '{print $6, $7, $8}'
clipspan groups wb --attribute place --column label --where split_id=0 --where place=water --no-search | head -n 1
# what is refused
fails groups --where setting=nowhere
fails groups --where mask=masks/000000.png
fails clipspan groups store --attribute shape --classes classes.txt
fails groups --where setting
fails groups --where weight=3
fails clipspan groups store --classes classes.txt
fails clipspan groups store --attribute weight --classes classes.txt
fails clipspan groups store --attribute setting --column weight --classes classes.txt
fails clipspan groups wb --attribute place --where split=test
fails clipspan groups wb --attribute img_id
clipspan groups wb --attribute img_id --skip-empty --no-search | head -n 1
fails groups --heads L9
fails groups --candidates nonsense
fails groups --published auto
fails groups --published ViT-L-14
fails groups --published ViT-S
fails groups --cue-words words.txt
printf 'sand\n' >other.txt
fails groups --cue-words other.txt --texts pool.txt
: >empty.txt
fails groups --cue-words empty.txt --texts pool.txt
fails groups --no-search --cue water
fails groups --cue ' '
fails groups --most 0
fails groups --protocol paper --last 9
fails groups --csv - 
fails groups --csv same --png same
fails groups --png -
fails groups --mean-from no-such-store
clipspan decompose model birds/labels.csv -o moments --moments --quiet
fails clipspan groups moments --attribute setting --classes classes.txt
fails groups --mean-from moments
tiny other --seed 9 2>/dev/null || tiny other 9
clipspan decompose other birds/labels.csv -o otherstore --quiet
fails groups --mean-from otherstore
sed -i 's/,1,0,0,/,7,0,0,/' waterbirds/metadata.csv
fails clipspan decompose model waterbirds -o wb2
ls
