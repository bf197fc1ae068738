# textspan --evaluate and --stability: what is printed, and what is refused
tiny model
scenes scenes 60
clipspan decompose model scenes/labels.csv -o store --quiet
clipspan decompose model scenes/labels.csv -o moments --moments --quiet
scenes more 40
clipspan decompose model more/labels.csv -o more.store --quiet
printf 'a red circle\na blue square\nsnow\nthree shapes\nwater\ngrass\n' >pool.txt
printf 'one\ntwo\nthree\n' >words.txt
printf 'circle\nsquare\ntriangle\nstar\nheart\ncross\nring\nmoon\n' >classes.txt
scored="--classes classes.txt --column shape --quiet"
clipspan textspan store --evaluate --texts pool.txt --texts words.txt --last 2 --sizes 1,2,4 $scored --held-out half --stability --resamples 10 --csv table.csv --plot curve.png 2>/dev/null >text.txt
sed 's/[0-9][0-9]*\.[0-9]*/N/g; s/[0-9][0-9]* %/P %/g; s/ *[0-9][0-9]*  *N %$/ M N %/; s/  */ /g' text.txt
cut -d, -f1,2 table.csv
head -n 1 table.csv
head -c 4 curve.png | tail -c 3; echo
clipspan textspan store --evaluate --texts pool.txt --last 1 --sizes 2 $scored --held-out more.store --json 2>/dev/null | grep -E '"(apart|found_on|measured_on|last|layers|size)"'
# more layers than there are: all
clipspan textspan store --evaluate --texts pool.txt --sizes 1 $scored 2>/dev/null | head -n 1
# the same texts as without --evaluate
clipspan textspan store --texts pool.txt --heads last:1 --size 3 --pictures 0 --json -o plain.json --quiet
clipspan textspan store --evaluate --texts pool.txt --last 1 --sizes 3 $scored --json 2>/dev/null >evaluated.json
texts() { grep -o '"text": "[^"]*"' "$1"; }
[ "$(texts plain.json)" = "$(texts evaluated.json)" ] && echo 'the same texts'
# stability of plain descriptions
clipspan textspan store --texts pool.txt --heads L1.H0 --size 2 --pictures 0 --stability --resamples 5 --csv stable.csv | grep -c again
head -n 1 stable.csv
clipspan textspan store --texts pool.txt --heads L1.H0 --size 2 --pictures 0 --stability --json | grep -cE '"(stability|resamples)"'
fails clipspan textspan store --texts pool.txt --sizes 1,2
fails clipspan textspan store --texts pool.txt --texts words.txt
fails clipspan textspan store --texts pool.txt --stability --resamples 0
fails clipspan textspan moments --texts pool.txt --stability
fails clipspan textspan store --evaluate $scored
fails clipspan textspan store --evaluate --texts pool.txt --sizes 5,3 $scored
fails clipspan textspan store --evaluate --texts pool.txt --sizes 1,,2 $scored
fails clipspan textspan store --evaluate --texts pool.txt --sizes 0 $scored
fails clipspan textspan store --evaluate --texts pool.txt --heads L1 $scored
fails clipspan textspan store --evaluate --texts pool.txt --size 5 $scored
fails clipspan textspan store --evaluate --texts no-such-pool $scored
: >empty.txt
fails clipspan textspan store --evaluate --texts pool.txt --texts empty.txt $scored
fails clipspan textspan store --evaluate --texts pool.txt --column nonsense --classes classes.txt
fails clipspan textspan store --evaluate --texts pool.txt --classes classes.txt
fails clipspan textspan moments --evaluate --texts pool.txt $scored
fails clipspan textspan store --evaluate --texts pool.txt $scored --held-out no-such-store
fails clipspan textspan store --evaluate --texts pool.txt $scored --held-out moments
tiny other --seed 5
clipspan decompose other scenes/labels.csv -o other.store --quiet
fails clipspan textspan store --evaluate --texts pool.txt $scored --held-out other.store
fails clipspan textspan store --evaluate --texts pool.txt $scored --plot same --csv same
ls same no-such 2>/dev/null || echo 'nothing of it'
