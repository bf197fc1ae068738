# the examples run; those that need more (ablation, map, neurons, relevance) in the tests of their commands
tiny model
scenes scenes 8
run() { name=$1; shift; "$BUILD/examples/example_$name" "$@"; }
picture=$(find scenes -name '*.png' | grep -v mask | sort | head -n 1)
run embed model "$picture" 'a red circle' 'snow' | sed 's/^-\{0,1\}[0-9.]*/N/'
run contributions model scenes/labels.csv 'a red circle' | wc -l
run classify model scenes/labels.csv | sed -n '1s/[0-9.]* %/P %/gp'
fails run classify model "$picture"
clipspan decompose model scenes/labels.csv -o store --quiet
printf 'a red circle\nsnow\nwater\nthree shapes\n' >pool.txt
run heads store pool.txt | head -n 1 | cut -d' ' -f1
run evaluation store pool.txt | sed 's/[0-9][0-9.]*/N/g' | head -n 3
run nearest store L1.H2 3 | wc -l
run parts model scenes/labels.csv parts.store 3
run edit store L1.H2 edited
clipspan info edited >/dev/null && echo 'opens'
# groups of birds by their ground; masks that are known
"$BUILD/models/demo/demo-scenes" dir birds --count 24 --seed 7 --split test --set birds >/dev/null
"$BUILD/models/demo/demo-scenes" dir single --count 4 --seed 7 --split test --set single >/dev/null
clipspan decompose model birds/labels.csv -o birds.store --quiet
printf 'heron\nwren\n' >kinds.txt
printf 'a photo of a {}.\n' >templates.txt
run groups birds.store kinds.txt templates.txt setting | sed 's/([a-z, ]*)/(group)/; s/[0-9][0-9.]*/N/g' | head -n 1
run segment model single circle square | sed 's/[0-9][0-9.]*/N/g'
fails "$BUILD/examples/example_embed" nowhere "$picture" x
