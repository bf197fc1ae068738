# MLP terms by neuron: kept beside the store, ranked, named, described, drawn; and what is refused
tiny model
scenes scenes 40
clipspan decompose model scenes/labels.csv -o store --neurons --shard-images 16 --quiet
clipspan decompose model scenes/labels.csv -o moments --neurons --moments --quiet
clipspan decompose model scenes/labels.csv -o plain --shard-images 16 --quiet
ls store moments
cmp store/neurons.safetensors moments/neurons.safetensors && echo 'the same neurons with shards and without'
cmp store/shard-00000.safetensors plain/shard-00000.safetensors && echo 'the same shards with neurons and without'
clipspan info store --json | grep '"neurons"'
printf 'a red circle\na blue square\nsnow\nthree shapes\nwater\n' >pool.txt
clipspan neurons store --texts pool.txt --top 3 --csv out.csv --png out.png | grep -c '^L[0-2]\.N[0-9]*: contribution'
head -n 1 out.csv
wc -l <out.csv
head -c 4 out.png | tail -c 3
echo
clipspan neurons store --texts pool.txt --top 3 --json -o out.json
grep -c '"cosine"' out.json
clipspan neurons store --neurons L2.N5,l0.n95 --pictures 2 --json -o named.json
grep -o '"name": "[^"]*"' named.json
grep -c '"activation"' named.json
clipspan neurons moments --neurons L2.N5,l0.n95 --pictures 2 --json -o from_moments.json
cmp named.json from_moments.json && echo 'moments and store agree'
clipspan neurons store --layers L1 --top 1000 --order variance --csv all.csv -o all.txt
tail -n +2 all.csv | cut -d, -f1 | sort | uniq -c | sed 's/^ *//'
clipspan neurons store --convention exact --order share --top 1 | head -n 1 | cut -d';' -f2
"$BUILD/examples/example_neurons" store 1 | grep -c '^L1\.N[0-9]*: '
# a store that was begun without neurons is not gone on with
fails clipspan decompose model scenes/labels.csv -o plain --shard-images 16 --neurons --quiet
fails clipspan neurons plain
fails clipspan neurons no-such-store
fails clipspan neurons store --neurons L0.N96
fails clipspan neurons store --neurons L0.H1
fails clipspan neurons store --layers L3
fails clipspan neurons store --layers L0 --neurons L0.N1
fails clipspan neurons store --top 0
fails clipspan neurons store --order size
fails clipspan neurons store --texts no-such-pool
fails clipspan neurons store --top 101 --png sheet.png
fails clipspan neurons store --png -
fails clipspan neurons store --csv same --png same
: >empty.txt
fails clipspan neurons store --texts empty.txt
printf 'X' | dd of=store/neurons.safetensors bs=1 seek=2000 conv=notrunc status=none
fails clipspan neurons store
rm moments/neurons.safetensors
fails clipspan neurons moments
ls
