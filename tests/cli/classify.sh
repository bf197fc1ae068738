# zero-shot classification: rows, labels, and what a file of classes says
tiny model
scenes scenes 12
mkdir -p tree/cat tree/dog
i=0
for picture in $(find scenes -name '*.png' | grep -v mask | sort | head -n 6); do
  i=$((i + 1))
  [ $((i % 2)) = 0 ] && cp "$picture" tree/cat/$i.png || cp "$picture" tree/dog/$i.png
done
echo 'no picture' >tree/cat/0.png
clipspan classify model tree --csv by_image.csv -o told.txt 2>err.txt
cat err.txt | sed 's/^warning: .*/warning/'
head -n 2 told.txt | sed 's/[0-9.]* %/P %/g'
# the unreadable image has no line, and the others keep the numbers that embed gives them
cut -d, -f1-3 by_image.csv
clipspan classify model tree --json -o by_image.json 2>/dev/null
grep -c '"row": [1-6],\{0,1\}$' by_image.json
grep -c '"label": "\(cat\|dog\)"' by_image.json
grep -c '"right": \(true\|false\)' by_image.json
# without the images' choices the rest is the same
clipspan classify model tree --no-predictions --json -o short.json 2>/dev/null
python3 -c 'import json; a, b = (json.load(open(f)) for f in ("by_image.json", "short.json")); del a["predictions"]; print(a == b)'
# the same from a store, by row of the store; in another order of the classes
clipspan decompose model tree -o store --quiet 2>/dev/null
printf 'dog\tdog\n\ncat\tcat\n' >classes.txt
clipspan classify store --classes classes.txt --csv of_store.csv >/dev/null
cut -d, -f1-3 of_store.csv
cut -d, -f2- by_image.csv >a; cut -d, -f2- of_store.csv >b
cut -d, -f1-4 a >a4; cut -d, -f1-4 b >b4; cmp a4 b4 && echo 'the same choices'
# and from embeddings in f16
clipspan decompose model tree -o halves --store-dtype f16 --quiet 2>/dev/null
clipspan classify halves --classes classes.txt --csv of_halves.csv >/dev/null
cut -d, -f2-5 of_halves.csv | cmp - b4 && echo 'the same in f16'
# labels that no class has are said
printf 'dog\nhorse\n' >others.txt
clipspan classify store --classes others.txt 2>&1 >other.txt
head -n 2 other.txt | sed 's/[0-9.]* %/P %/g'
# exported labels are numbered as the classifier's columns
labels() { od -An -j128 -t d8 -v "$1" | tr -s ' \n' ' '; echo; }
clipspan export store --name tree -o arrays
labels arrays/tree_labels.npy
clipspan export store --name tree --classes classes.txt -o arrays
labels arrays/tree_labels.npy
clipspan export store --name tree --classes others.txt -o arrays
labels arrays/tree_labels.npy
# export's classifier is classify's: the project's own prompts, the single one, and words after a tab
printf 'dog\ta dog\ncat\ta cat\n' >worded.txt
printf 'a photo of a {}.\n' >templates.txt
clipspan export store --name a --classes worded.txt -o arrays
clipspan export store --name b --classes worded.txt --templates "$SOURCE/models/pools/templates.txt" -o arrays
cmp arrays/a_classifier_model.npy arrays/b_classifier_model.npy && echo 'the same prompts'
clipspan export store --name c --classes worded.txt --templates single -o arrays
clipspan export store --name d --classes worded.txt --templates templates.txt -o arrays
cmp arrays/c_classifier_model.npy arrays/d_classifier_model.npy && echo 'the same single prompt'
printf 'a dog\na cat\n' >bare.txt
clipspan export store --name b --classes bare.txt -o arrays 2>/dev/null
cmp arrays/a_classifier_model.npy arrays/b_classifier_model.npy && echo 'words after the tab are the prompt'
# which prompts, how well the probabilities are believed, which class is taken for which
prompts() { grep -A 2 '"templates"' "$1"; }
clipspan classify store --json -o own.json; prompts own.json
clipspan classify store --templates single --json -o single.json; prompts single.json
clipspan classify store --templates templates.txt | grep '^prompts'
clipspan classify store --classes classes.txt --json -o scored.json
grep -c '"low"' scored.json
grep -c '"taken_for"' scored.json
clipspan classify store --classes classes.txt | sed -n '3s/[0-9.]* %/P %/gp; 6p; 9,$p' | sed 's/  *[0-9][0-9]*$/  N/'
# labels that fit no class, a class that stands twice
printf 'lion\nhorse\n' >none.txt
clipspan classify store --classes none.txt 2>&1 >/dev/null
printf 'dog\ncat\n\ndog\n' >twice.txt
fails clipspan classify store --classes twice.txt
printf '\n\n' >blank.txt
fails clipspan classify store --classes blank.txt
printf 'a photo\n' >holeless.txt
fails clipspan classify store --templates holeless.txt
fails clipspan classify store --templates blank.txt
# what only images, or only a store, can be asked for
fails clipspan classify store --limit 3
fails clipspan classify store --exif
fails clipspan classify model tree --model model
fails clipspan classify store --column nonsense
fails clipspan export store -o arrays --templates templates.txt
fails clipspan export store -o arrays --column colour
# two outputs that are one file by another path; a folder that is not there, and one in a file's place
fails clipspan classify store --csv ./same -o same
fails clipspan classify store --csv nowhere/table.csv
fails clipspan classify store --csv twice.txt/table.csv
fails clipspan classify store -o tree
