# A paper's figures: which files there are, what they hold, and what is refused
tiny model
scenes photos 40
clipspan decompose model photos/labels.csv -o store --quiet
cp "$SOURCE/models/demo/zero_shot/setting.classes.txt" classes.txt
printf 'a red circle\na blue square\nsnow, 50 %% of it\ngrass_land\n' >pool.txt
figure() { clipspan figure store -o figures --texts pool.txt --heads L2.H0,L2.H1 --size 2 --column setting --classes classes.txt "$@"; }
figure --rows 3,5-6 --map 'a red circle' --map snow --stability 5 --quiet
ls figures
head -c 5 figures/curve.pdf; echo
for pdf in figures/*.pdf; do tail -c 6 "$pdf"; grep -c -a '/FontFile' "$pdf" | sed 's/^[1-9].*/its fonts are inside/'; done | sort | uniq -c
for svg in figures/*.svg; do python3 -c 'import sys, xml.dom.minidom as m; d = m.parse(sys.argv[1]).documentElement; print(d.tagName, "font-family" in open(sys.argv[1]).read())' "$svg"; done | sort | uniq -c
head -n 3 figures/textspan.tex
grep -c 'L2.H' figures/textspan.md
clipspan textspan store --texts pool.txt --heads L2.H0,L2.H1 --size 2 --stability --resamples 5 --images 6 --json -o same.json --quiet
cmp same.json figures/textspan.json && echo 'the numbers of textspan'
clipspan ablate store --column setting --classes classes.txt --json -o same.json --quiet
cmp same.json figures/ablate.json && echo 'the numbers of ablate'
clipspan map model photos/labels.csv --rows 3,5-6 -t 'a red circle' -t snow --heads L2.H0,L2.H1 --detail head --top 0 --json -o same.json --quiet
cmp same.json figures/maps.json && echo 'the numbers of map'
# the same command, the same bytes
cp -r figures first
figure --rows 3,5-6 --map 'a red circle' --map snow --stability 5 --quiet
diff -r first figures && echo 'the same again'
# some kinds alone, some formats; bare ones are smaller
clipspan figure store -o deep/er/bare --only grid --format png,svg --bare --quiet && ls deep/er/bare
# what is not there is left out, unless it was asked for
clipspan decompose model photos/labels.csv -o moments --moments --quiet
clipspan figure moments -o few 2>&1 && ls few
fails clipspan figure moments -o few --only curve
fails clipspan figure store -o few --only sheets
fails clipspan figure store -o few --only maps --map snow
fails figure --map snow --rows 40
fails figure --map snow --rows 2-
fails figure --only curve,tables
fails figure --format jpeg
fails clipspan figure store
touch file
fails clipspan figure store -o file/figures --only grid
