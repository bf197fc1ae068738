# good and bad images: reported, skipped, counted; --strict stops at the first
tiny model
scenes scenes 6
mkdir mixed
cp $(find scenes -name '*.png' | grep -v mask | sort | head -n 3) mixed/
: >mixed/empty.png
echo 'not a picture' >mixed/text.jpg
first=$(ls mixed/*.png | grep -v empty | head -n 1)
head -c 700 "$first" >mixed/cut.png
cp "$first" mixed/really_a_png.jpg
# a PNG whose header says 60,000 x 60,000
{ printf '\211PNG\r\n\032\n\000\000\000\015IHDR\000\000\352\140\000\000\352\140\010\002\000\000\000'; printf '\247\213\122\230'; } >mixed/enormous.png
status=0
clipspan embed model --images mixed -o rows.npy 2>err.txt || status=$?
echo "exit $status"
grep -c '^warning: ' err.txt
for name in empty.png text.jpg cut.png enormous.png; do grep -c "$name" err.txt; done
tail -n 1 err.txt
head -c 128 rows.npy | tr -cd '(0-9, )' ; echo
fails clipspan embed model --images mixed -o strict.npy --strict
[ ! -e strict.npy ] && echo 'nothing half-written'
clipspan decompose model mixed -o store 2>err.txt
grep 'could not be read' err.txt
# sources
mkdir nothing
fails clipspan embed model --images nothing -o x.npy
fails clipspan embed model --images no-such-folder -o x.npy
printf 'a,b\n1,2\n' >bad.csv
fails clipspan embed model --images bad.csv -o x.npy
printf 'path,label\nx.png\n' >bad.csv
fails clipspan embed model --images bad.csv -o x.npy
: >none.txt
fails clipspan embed model --images none.txt -o x.npy
ls *.npy
cp scenes/labels.csv packed.tar.gz
fails clipspan embed model --images packed.tar.gz -o x.npy
fails clipspan embed model --images mixed -o -
# one image does not pay for a whole batch
clipspan embed model --images "$first" -o one.npy --batch 4096
ls one.npy
