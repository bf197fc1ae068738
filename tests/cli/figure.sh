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
clipspan textspan store --texts pool.txt --heads L2.H0,L2.H1 --size 2 --stability --resamples 5 --pictures 6 --json -o same.json --quiet
cmp same.json figures/textspan.json && echo 'the numbers of textspan'
clipspan ablate store --column setting --classes classes.txt --json -o same.json --quiet
cmp same.json figures/ablate.json && echo 'the numbers of ablate'
clipspan map model photos/labels.csv --rows 3,5-6 -t 'a red circle' -t snow --heads L2.H0,L2.H1 --detail head --top 0 --json -o same.json --quiet
cmp same.json figures/maps.json && echo 'the numbers of map'
# the same command, the same bytes
cp -r figures first
figure --rows 3,5-6 --map 'a red circle' --map snow --stability 5 --quiet
diff -r first figures && echo 'the same again'
# some kinds alone, some formats; bare ones are smaller, maps too, which the model makes once for all formats
clipspan figure store -o deep/er/bare --only grid --format png,svg --bare --quiet && ls deep/er/bare
clipspan figure store -o plain --only grid,maps --heads L2.H0 --rows 3 --map snow --format png --quiet
clipspan figure store -o bare --only grid,maps --heads L2.H0 --rows 3 --map snow --format png,svg --bare --quiet
high() { od -An -tu1 -j 20 -N 4 "$1" | awk '{ print $1 * 16777216 + $2 * 65536 + $3 * 256 + $4 }'; }
for png in grid-variance maps; do [ "$(high bare/$png.png)" -lt "$(high plain/$png.png)" ] && echo "$png: less above and below"; done
# in vector files photographs have twice a PNG's pixels, and maps
python3 - <<'END'
import os, struct, zlib
os.mkdir('large')
for n in range(4):
    rows = b''.join(b'\0' + bytes((x * (n + 1) + y * c) % 256 for x in range(500) for c in (1, 2, 3)) for y in range(400))
    chunk = lambda kind, data: struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
    head = chunk(b'IHDR', struct.pack('>IIBBBBB', 500, 400, 8, 2, 0, 0, 0))
    open(f'large/{n}.png', 'wb').write(b'\x89PNG\r\n\x1a\n' + head + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b''))
END
clipspan decompose model large -o large.store --quiet
clipspan figure large.store -o sharp --only sheets,maps --texts pool.txt --heads L2.H0 --size 1 --pictures 2 --rows 1 --map snow --quiet
clipspan retrieve large.store --whole --row 1 --png sharp/retrieve.svg -k 2 -o /dev/null
python3 - <<'END'
import base64, re
for name in ('sheet-L2.H0', 'maps', 'retrieve'):
    pictures = re.findall('data:image/png;base64,([A-Za-z0-9+/=]+)', open(f'sharp/{name}.svg').read())
    print(name, sorted({int.from_bytes(base64.b64decode(p[:44])[16:20], 'big') for p in pictures}))
END
# what is not there is left out, unless it was asked for
clipspan decompose model photos/labels.csv -o moments --moments --quiet
clipspan figure moments -o few 2>&1 && ls few
fails clipspan figure moments -o few --only curve
fails clipspan figure store -o few --only sheets
fails clipspan figure store -o few --only maps --map snow
fails figure --map snow --rows 40
fails figure --map snow --rows 2-
fails figure --map snow --rows ''
fails figure --map ' ' --rows 3
fails figure --map snow --rows 0-39,0-39
fails figure --only curve,tables
fails figure --format jpeg
fails clipspan figure store
touch file
fails clipspan figure store -o file/figures --only grid
