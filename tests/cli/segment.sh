# Masks from maps against true masks, and what segment refuses
tiny model
scenes scenes 6
printf 'circle\nsquare\nstar\n' >classes.txt
clipspan segment model scenes --classes classes.txt --method all --json -o all.json --csv all.csv --quiet
grep -c '"method"' all.json
grep -o '"protocol": "[a-z]*"' all.json
head -n 1 all.csv
cut -d, -f1-3 all.csv | tail -n +2
# folder and CSV are the same pairs; the same input gives the same numbers
clipspan segment model scenes/labels.csv --classes classes.txt --method all --csv again.csv --quiet >/dev/null
cmp all.csv again.csv && echo 'folder and CSV agree'
# scenes are square: both protocols see the same
clipspan segment model scenes --classes classes.txt --protocol aligned --csv aligned.csv --quiet | sed -n '2,4p'
[ "$(sed -n 2p aligned.csv | cut -d, -f4-)" = "$(sed -n 2p all.csv | cut -d, -f4-)" ] && echo 'protocols agree on squares'
clipspan segment model scenes --classes classes.txt --heads last:1,L0.H1 --convention exact --resamples 0 --quiet | sed -n '4p'
# masks and maps
clipspan segment model scenes --classes classes.txt --method decomposition,rollout --masks masks --maps maps --limit 2 --quiet >/dev/null
ls masks masks/rollout maps
for image in masks/rollout/*.png; do head -c 4 "$image" | tail -c 3; echo; done
# semantic: object pixels have the class of a column
printf 'path,mask,shape\n' >list.csv
for i in 0 1 2 3; do echo "scenes/images/00000$i.png,scenes/masks/00000$i.png,star" >>list.csv; done
clipspan segment model list.csv --classes classes.txt --semantic --class-column shape --method decomposition,maskclip --json -o semantic.json --quiet
grep -c '"intersection"' semantic.json
grep '"semantic"' semantic.json
clipspan segment model list.csv --classes classes.txt --class-column shape --quiet | sed -n '3p'
# MATLAB, as ImageNet-Segmentation is distributed
clipspan segment model "$SOURCE/tests/golden/segmentation/row.mat" --classes classes.txt --csv row.csv --quiet | sed -n '1s/,.*//p'
clipspan segment model "$SOURCE/tests/golden/segmentation/column.mat" --classes classes.txt --csv column.csv --quiet >/dev/null
cmp row.csv column.csv && echo 'rows and columns of references agree'
clipspan classify model "$SOURCE/tests/golden/segmentation/row.mat" --classes classes.txt --csv classified.csv --quiet >/dev/null
cut -d, -f1,2 classified.csv
# what is refused
fails clipspan segment model scenes --classes classes.txt --method gradcamm
fails clipspan segment model scenes --classes classes.txt --method rollout --semantic
fails clipspan segment model scenes --classes classes.txt --background mean
fails clipspan segment model scenes --classes classes.txt --semantic --background 2
fails clipspan segment model scenes --classes classes.txt --ignore 300
fails clipspan segment model scenes --classes classes.txt --protocol crop
fails clipspan segment model scenes --classes classes.txt --heads L9
fails clipspan segment model scenes
fails clipspan segment model scenes --classes no-such.txt
printf 'circle\n' >one.txt
fails clipspan segment model scenes --classes one.txt
fails clipspan segment model scenes --classes classes.txt --csv -
fails clipspan segment model no-such --classes classes.txt
fails clipspan segment model scenes/images --classes classes.txt
fails clipspan segment model scenes/labels.csv --classes classes.txt --mask-column nonsense
fails clipspan segment model scenes/labels.csv --classes classes.txt --class-column nonsense
fails clipspan segment model scenes/labels.csv --classes classes.txt --class-column caption
fails clipspan segment model scenes --classes classes.txt --source voc
for name in bad_size bad_double bad_missing bad_old bad_filter; do
  fails clipspan segment model "$SOURCE/tests/golden/segmentation/$name.mat" --classes classes.txt
done
# a mask with a value that no class has; nothing is left of what was begun
cp -r scenes strange
cp "$SOURCE/tests/golden/segmentation/pairs/masks/b.png" strange/masks/000000.png
cp "$SOURCE/tests/golden/segmentation/pairs/images/b.png" strange/images/000000.png
fails clipspan segment model strange --classes classes.txt --semantic --maps begun -o begun.txt
ls begun begun.txt 2>/dev/null | grep -v begun: | wc -l
# a mask that is lost, or of another size
rm strange/masks/000003.png
fails clipspan segment model strange --classes classes.txt
cp strange/masks/000000.png strange/masks/000003.png
fails clipspan segment model strange --classes classes.txt
# a picture that cannot be read is left out; --strict stops
cp -r scenes broken
printf 'no picture' >broken/images/000001.png
clipspan segment model broken --classes classes.txt 2>/dev/null | sed -n '1,2p'
fails clipspan segment model broken --classes classes.txt --strict
# every method of the library is named in the help
clipspan segment --help >help.txt
tail -n +2 all.csv | cut -d, -f1 | while read -r method; do grep -q "^  $method  *[A-Z]" help.txt || echo "help lacks $method"; done
