# nearest images in a head's space: queries, outputs, which head retrieves what, and what it refuses
tiny model
scenes scenes 40
clipspan decompose model scenes/labels.csv -o store --store-dtype f16 --quiet
clipspan decompose model scenes/labels.csv -o moments --moments --quiet
# an image of the store by row and by name; the query itself is left out
clipspan retrieve store --row 3 --heads L1.H2 -k 5 --json -o by_row.json --csv by_row.csv
clipspan retrieve store --name images/000003.png --heads L1.H2 -k 5 --json | cmp - by_row.json && echo 'row and name agree'
grep -c '"score"' by_row.json
head -n 1 by_row.csv
cut -d, -f3 by_row.csv | grep -cx 3 || true
# a picture file is its own nearest neighbour
clipspan retrieve store --image scenes/images/000007.png --heads L1.H2,L2.H0 -k 1 --csv own.csv >/dev/null
tail -n 1 own.csv | cut -d, -f2-5
# every head alone, then the whole; a text; values of a column
clipspan retrieve store --row 3 --heads L2 --each --whole --column setting -k 4 >each.txt
head -n 2 each.txt
grep '^in ' each.txt
grep -c 'of these 4 have the query.s setting' each.txt
clipspan retrieve store --text 'a red circle' --heads last:1 --column setting -k 2 --json | grep -c '"value"'
clipspan retrieve store --row 3 --whole -k 2 --similarity inner --convention exact --centre | head -n 3
# norms are kept and found again
clipspan retrieve store --row 3 --heads L1.H2 -k 5 --norms norms --json -o kept.json && cmp kept.json by_row.json
clipspan retrieve store --row 3 --heads L1.H2 -k 5 --norms norms --json -o found.json && cmp found.json by_row.json && echo 'norms agree'
# pictures
clipspan retrieve store --row 3 --heads L1.H2 -k 5 --png sheet.png >/dev/null
od -An -c -N4 sheet.png
# which head retrieves what
clipspan retrieve store --evaluate setting --heads L1 -k 3 --csv precision.csv >table.txt
head -n 3 table.txt
cut -d, -f1,4,7-10 precision.csv
clipspan retrieve store --evaluate all --heads L1 -k 3 --json | grep -c '"best_head"' | sed 's/^[1-9][0-9]*$/some/'
# bad input
fails clipspan retrieve store --heads L1
fails clipspan retrieve store --row 3 --text x --heads L1
fails clipspan retrieve store --row 3
fails clipspan retrieve store --row 40 --heads L1
fails clipspan retrieve store --name nobody.png --heads L1
fails clipspan retrieve store --row 3 --heads L99
fails clipspan retrieve store --row 3 --heads L1 -k 0
fails clipspan retrieve store --row 3 --heads L1 --column nonsense
fails clipspan retrieve store --row 3 --heads L1 --png -
fails clipspan retrieve store --row 3 --heads L1 --each --norms norms
fails clipspan retrieve store --row 3 --heads L1 --norms scenes/labels.csv
fails clipspan retrieve store --row 3 --heads L1 --csv a --png a
fails clipspan retrieve store --evaluate nonsense
fails clipspan retrieve store --evaluate setting --row 3
fails clipspan retrieve store --image no-such.png --heads L1
fails clipspan retrieve store --text '' --heads L1
fails clipspan retrieve store --image scenes --heads L1
fails clipspan retrieve moments --row 3 --heads L1
fails clipspan retrieve store --text x --heads L1 --model no-such-model
printf 'x' | dd of=store/shard-00000.safetensors bs=1 seek=9000 conv=notrunc 2>/dev/null
fails clipspan retrieve store --row 3 --heads L1 | sed 's/checksum is .*/checksum is/'
mv scenes moved
clipspan decompose model moved/labels.csv -o second --quiet
mv moved scenes
fails clipspan retrieve second --row 3 --heads L1 --png sheet.png
clipspan retrieve second --row 3 --heads L1 --png sheet.png --images scenes/labels.csv >/dev/null && echo 'found where they are now'
ls store | grep -c part || true
# what is compared, told in full: whole layers by their names
clipspan retrieve second --row 3 --heads last:1,L0.H1 -k 1 --json | grep '"space"'
