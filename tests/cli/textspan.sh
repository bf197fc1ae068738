# TextSpan from a store and from moments, and what it refuses
tiny model
scenes scenes 60
clipspan decompose model scenes/labels.csv -o store --quiet
clipspan decompose model scenes/labels.csv -o moments --moments --quiet
printf 'a red circle\n\na blue square\na red circle\nsnow\nthree shapes\nwater\n' >pool.txt
clipspan textspan store --texts pool.txt --size 4 --heads all --json -o out.json --csv out.csv
grep -c '"layer"' out.json
grep -c '"explained"' out.json | sed 's/^[1-9][0-9]*$/some/'
head -n 1 out.csv
clipspan textspan moments --texts pool.txt --size 4 --heads last:1 --json -o from_moments.json
clipspan textspan store --texts pool.txt --size 4 --heads last:1 --json --pictures 0 -o from_store.json
picks() { grep -o '"text": "[^"]*"' "$1"; }
[ "$(picks from_moments.json)" = "$(picks from_store.json)" ] && echo 'moments and store agree'
# the cache of text embeddings gives the same answer
clipspan textspan store --texts pool.txt --size 4 --json -o cached.json
clipspan textspan store --texts pool.txt --size 4 --json --no-cache -o fresh.json
cmp cached.json fresh.json && echo 'cache agrees'
fails clipspan textspan store --texts pool.txt --heads L99
fails clipspan textspan store --texts pool.txt --heads L0.H99
fails clipspan textspan store --texts pool.txt --heads nonsense
fails clipspan textspan store --texts pool.txt --size 0
fails clipspan textspan store --texts no-such-pool
: >empty.txt
fails clipspan textspan store --texts empty.txt
fails clipspan textspan no-such-store --texts pool.txt
fails clipspan textspan store --texts pool.txt --model no-such-model
mv model moved
fails clipspan textspan store --texts pool.txt
clipspan textspan store --texts pool.txt --size 4 --model moved --json -o moved.json && cmp moved.json cached.json && echo 'moved model found'
# attributes
clipspan attributes store --columns setting,shape | head -n 1 | grep -c . 
clipspan attributes store --columns setting --heads L0.H1,L2.H3 | grep -c '^L'
clipspan attributes store --columns setting --heads L0.H1 --texts pool.txt --model moved --csv shares.csv | tail -n 1 | cut -d' ' -f1
cut -d, -f1-3 shares.csv
clipspan attributes store --heads L0.H1 2>&1 >/dev/null
fails clipspan attributes store --heads L9
# every image that was asked for is named in CSV
clipspan textspan store --texts pool.txt --size 1 --heads L0.H0 --pictures 20 --model moved --csv named.csv | tail -n 1 | grep -o '+[0-9]*$' | sed 's/[0-9][0-9]*/N/'
tail -n 1 named.csv | grep -o ' | ' | wc -l
fails clipspan attributes store --columns nonsense
fails clipspan attributes moments --columns setting
# a model that is there but not as it should be is not called lost
: >moved/config.json
mv moved model
fails clipspan textspan store --texts pool.txt
