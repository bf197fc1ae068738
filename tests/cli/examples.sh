# the three examples run
tiny model
scenes scenes 8
picture=$(find scenes -name '*.png' | grep -v mask | sort | head -n 1)
"$BUILD/examples/example_embed" model "$picture" 'a red circle' 'snow' | sed 's/^-\{0,1\}[0-9.]*/N/'
"$BUILD/examples/example_contributions" model scenes/labels.csv 'a red circle' | wc -l
clipspan decompose model scenes/labels.csv -o store --quiet
printf 'a red circle\nsnow\nwater\nthree shapes\n' >pool.txt
"$BUILD/examples/example_heads" store pool.txt | head -n 1 | cut -d' ' -f1
fails "$BUILD/examples/example_embed" nowhere "$picture" x
