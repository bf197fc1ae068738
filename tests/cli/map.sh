# Maps of texts over images: from a model, from a store, pictures, arrays, JSON; and what is refused
tiny model --image 48 --patch 8
scenes scenes 8
images=scenes/labels.csv
number() { od -An -tu1 -j "$2" -N 4 "$1" | awk '{ print $1 * 16777216 + $2 * 65536 + $3 * 256 + $4 }'; }
# A PNG: $2 x $3 pixels or up to 120 more (its labels take what the machine's font needs); it has some bytes, and it
# decodes: the model sees many colours in it.
picture() {
  wide=$(($(number "$1" 16) - $2)) high=$(($(number "$1" 20) - $3))
  [ $wide -ge 0 ] && [ $wide -le 120 ] && [ $high -ge 0 ] && [ $high -le 120 ] && echo "about $2 x $3"
  [ "$(wc -c <"$1")" -gt 8000 ] && echo 'of some size'
  clipspan preprocess model "$1" -o seen.npy --quiet
  [ "$(od -An -tx4 -v -j 128 -w4 seen.npy | sort -u | wc -l)" -gt 60 ] && echo 'of many colours'
}
shape() { head -c 128 "$1" | tr -d '\n' | grep -ao "'shape': ([^)]*)"; }
clipspan map model $images --rows 0,3 -t 'a red circle' -t snow --png a.png --npy a.npy --csv a.csv --top 3 >a.txt
picture a.png 900 700
shape a.npy
head -n 1 a.csv
wc -l <a.csv
head -n 1 a.txt
grep -c 'largest at row' a.txt
# the map's sum is the heads' effect, to the last printed digit or one beside it
awk '/sum of the map/ { for (i = 1; i < NF; i++) { if ($i == "effect") e = $(i + 1); if ($i == "map") m = $(i + 1) }
  d = e - m; n++; if (d < -0.000015 || d > 0.000015) print "differs:", $0 } END { print n, "sums" }' a.txt
# the same from a store, whatever the batches; by layer, by head
clipspan decompose model $images -o store --tokens --shard-images 3 --quiet
clipspan map store --rows 0,3 -t 'a red circle' -t snow --npy b.npy --png b.png >b.txt
cmp a.npy b.npy && cmp a.png b.png && echo 'model and store agree'
# one run, several pictures
clipspan map store --rows 0,3 -t 'a red circle' -t snow --png c.png --png c.svg -o /dev/null && cmp a.png c.png && grep -c '</svg>' c.svg
fails clipspan map store -t snow --png c.png --npy n.npy --png ./c.png
clipspan map store -t snow --detail layer --heads last:2 --npy l.npy --png l.png --tile 64 --json -o l.json
shape l.npy
picture l.png 320 960
grep -c '"values"' l.json
clipspan map store -t snow -t night --detail head --top 2 --rows 1-4 --npy h.npy >h.txt
shape h.npy
clipspan map store -t snow --detail head --heads L0.H1,L2.H3 --name images/000002.png --json | grep -o '"name": "[^"]*"'
clipspan map store -t snow --minus 'a red circle' --rows 2 --evidence for --png f.png --convention exact | sed -n '1,4p' | sed 's/-*[0-9]\.[0-9]*$/N/'
printf 'a red circle\nsnow\nsand\n' >pool.txt
clipspan map store -t snow --detail head --top 2 --pick textspan --pool pool.txt --rows 0 --json | grep -c '"name": "L'
# the store's tokens of some layers alone
clipspan decompose model $images -o late --token-layers last:1 --quiet
clipspan map late --text snow --rows 0 | grep -o "all heads kept"
clipspan map late -t snow --rows 0 | grep -o 'strongest *L[0-9]*' | sed 's/  */ /'
fails clipspan map late -t snow --heads L0.H1
# other methods
clipspan map model $images --rows 0 -t snow --method all --png m.png --npy m.npy --tile 60 >m.txt
grep -c 'patches: for' m.txt
grep 'patches: for' m.txt | awk '{print index($0, "patches")}' | sort -u
grep -c '[+]0[.]0* to [+]0[.]0*,' m.txt || true
picture m.png 880 200
shape m.npy
clipspan map model $images --rows 0 -t snow --method lrp --npy p.npy -o /dev/null && shape p.npy
# pictures that were moved
mv scenes moved
fails clipspan map store -t snow --rows 0 --png n.png
clipspan map store -t snow --rows 0 --png n.png --images moved/labels.csv | head -n 2 | tail -n 1
sed '/000005/d' moved/labels.csv >moved/fewer.csv
fails clipspan map store -t snow --rows 0 --png x.png --images moved/fewer.csv
sed 's/000001/000002/' moved/labels.csv >moved/other.csv
fails clipspan map store -t snow --rows 0 --png x.png --images moved/other.csv
# an image that cannot be read is passed over; further rows keep their pictures
echo nonsense >moved/images/000001.png
clipspan map model moved/labels.csv -t snow --rows 0-2 2>warned | grep '^images'
tail -n 1 warned
clipspan decompose model moved/labels.csv -o gap --tokens --quiet 2>/dev/null
clipspan map gap -t snow --rows 1 --png gap.png | grep '^images'
clipspan map model moved/labels.csv -t snow --name images/000002.png --png straight.png >/dev/null
cmp gap.png straight.png && echo 'the right picture'
images=moved/labels.csv
fails clipspan map model $images
fails clipspan map model $images -t ''
fails clipspan map model $images -t snow --rows 99
fails clipspan map model $images -t snow --rows 1-
fails clipspan map model $images -t snow --name nobody.png
fails clipspan map model $images -t snow --heads L9.H9
fails clipspan map model $images -t snow --minus-mean
fails clipspan map model $images -t snow --scale 0
fails clipspan map model $images -t snow --tile 7
fails clipspan map model $images -t snow --png -
fails clipspan map model $images -t snow --png x --npy x
fails clipspan map model $images -t snow --method nonsense
fails clipspan map model $images -t snow --method gradcam --detail head
fails clipspan map model $images -t snow --pick textspan --detail head --top 1
fails clipspan map model $images -t snow --images x
fails clipspan map store -t snow --limit 3
clipspan decompose model moved/labels.csv -o bare --quiet 2>/dev/null
fails clipspan map bare -t snow
clipspan decompose model moved/labels.csv -o moments --moments --quiet 2>/dev/null
fails clipspan map moments -t snow
: >empty.txt
fails clipspan map model $images --texts empty.txt
fails clipspan map model $images -t snow --npy no/such/folder.npy
fails clipspan map no-such-store -t snow
for file in x x.png n.png no; do [ ! -e $file ] && echo "no $file"; done
# the example
"$BUILD/examples/example_map" model moved/images/000000.png snow | sed 's/[-+][0-9.]* /N /' | head -n 3 | sed '2,3s/./x/g'
