# a store made in parts is that of one process, file for file
tiny model
"$BUILD/models/demo/demo-scenes" dir scenes --count 36 --seed 7 --split test --set birds >/dev/null
list=scenes/labels.csv
part() { clipspan decompose model "$list" --shard-images 8 --batch 4 --threads 1 --quiet "$@"; }
part -o whole --neurons
for k in 2 1; do part -o shared --neurons --threads 2 --part $k/2; done
fails clipspan textspan shared --texts "$SOURCE/models/demo/pool.txt"
fails clipspan info shared
clipspan merge shared
diff -r whole shared && echo 'same, with other threads'
# merged again, and a part asked for again: nothing is left to do
clipspan merge shared --quiet && part -o shared --neurons --part 2/3 && part -o shared --neurons && diff -r whole shared && echo 'same still'
# moments alone
part -o whole-moments --moments
for k in 1 2; do part -o moments --moments --part $k/2; done
clipspan merge moments --quiet && diff -r whole-moments moments && echo 'same moments'
# parts that are killed lose their open shard; the same command goes on
for i in 3 6; do
  killed_after 0.0$i "$BUILD/clipspan" decompose model $list -o killed --part 1/2 --shard-images 8 --batch 4 --threads 1 --neurons
done
for k in 1 2; do part -o killed --neurons --part $k/2; done
clipspan merge killed --quiet && diff -r whole killed && echo 'same after kills'
# folders of their own: the store is spread over them
for k in 1 2 3; do part -o p$k --neurons --part $k/3; done
clipspan merge p1 p2 p3 -o spread
ls spread
cmp whole/moments.safetensors spread/moments.safetensors && echo 'same moments'
# every analysis reads it
printf 'a red circle\na blue square\nsnow\nwater\n' >pool.txt
printf 'heron\nwren\n' >classes.txt
printf 'a photo of a {}\n' >templates.txt
prompts="--classes classes.txt --templates templates.txt"
for store in whole spread; do
  mkdir out-$store
  clipspan textspan $store --texts pool.txt --size 3 --heads last:1 --csv out-$store/textspan.csv -o out-$store/textspan.txt
  clipspan ablate $store $prompts --heads L2.H1 --resamples 9 --csv out-$store/ablate.csv -o out-$store/ablate.txt
  clipspan classify $store $prompts --csv out-$store/classify.csv -o out-$store/classify.txt
  clipspan retrieve $store --row 33 --heads L1.H2 -k 5 --csv out-$store/retrieve.csv -o out-$store/retrieve.txt
  clipspan attributes $store --columns setting --csv out-$store/attributes.csv -o out-$store/attributes.txt
  clipspan groups $store $prompts --attribute setting --heads L1.H2 --csv out-$store/groups.csv -o out-$store/groups.txt --quiet
  clipspan neurons $store --top 3 --csv out-$store/neurons.csv -o out-$store/neurons.txt
  clipspan edit $store --heads L1.H2 --no-accuracy -o out-$store/edited --quiet >out-$store/edit.txt
  clipspan export $store --name x --model m -o out-$store --quiet
done
sed -i 's/spread/whole/g' out-spread/*.txt
diff -r out-whole out-spread && ls out-whole
for k in 1 2; do part -o t$k --part $k/2 --tokens --limit 16; done
clipspan merge t1 t2 -o tokens --quiet && part -o all-tokens --tokens --limit 16
clipspan map tokens --rows 1,9 -t snow --npy a.npy -o a.txt && clipspan map all-tokens --rows 1,9 -t snow --npy b.npy -o b.txt
cmp a.npy b.npy && echo 'same maps'
# merges of merges, and of one that is missing
clipspan merge p1 p3 -o two --unfinished --quiet
clipspan info two | grep -E '^(images|state)'
fails clipspan merge two -o all
clipspan merge two p2 -o all --quiet && cmp whole/moments.safetensors all/moments.safetensors && echo 'same moments'
part -o two --neurons && cmp whole/moments.safetensors two/moments.safetensors && echo 'gone on with'
# brought together, it is that of one process
clipspan merge p1 p2 p3 -o near --collect link --quiet && diff -r whole near && echo same
clipspan merge spread --collect copy --quiet && diff -r whole spread && echo same
# folders that were moved
clipspan merge p1 p2 p3 -o spread2 --quiet
mkdir away && mv p2 away/p2
fails clipspan export spread2 -o arrays --name x
clipspan merge p1 away/p2 p3 -o spread2 --quiet && clipspan export spread2 -o arrays --name x --quiet && echo 'found again'
mv away/p2 p2
# what does not belong together is named
fails clipspan merge p1 p3 -o wrong
fails clipspan merge p1 p2 -o wrong
cp -r p2 again
fails clipspan merge p1 p2 p3 again -o wrong
tiny other --seed 9
another() { clipspan decompose "$@" --part 3/3 --batch 4 --threads 1 --neurons --quiet; }
another other $list -o q3 --shard-images 8
fails clipspan merge p1 p2 q3 -o wrong
another model $list -o h3 --shard-images 8 --store-dtype f16
fails clipspan merge p1 p2 h3 -o wrong
sed '4{h;d};5G' $list >scenes/swapped.csv
another model scenes/swapped.csv -o l3 --shard-images 8
fails clipspan merge p1 p2 l3 -o wrong
another model $list -o s3 --shard-images 12
fails clipspan merge p1 p2 s3 -o wrong
fails part -o p1 --neurons --part 1/4
# a full disk leaves nothing
(ulimit -f 40; fails clipspan merge p1 p2 p3 -o full --collect copy)
ls -d full 2>/dev/null || echo 'nothing of it'
# of a store that is there each part compares its share by checksum
printf X | dd of=near/shard-00002.safetensors bs=1 seek=5000 conv=notrunc status=none
part -o near --neurons --part 2/3 && echo 'not its share'
fails part -o near --neurons --part 3/3
rm p3/shard-00004.safetensors
fails clipspan merge p1 p2 p3 -o wrong
fails part -o x --part 4/3
fails part -o x --part 3
fails clipspan merge nowhere
mkdir empty
fails clipspan merge empty
fails clipspan merge p1 p2
