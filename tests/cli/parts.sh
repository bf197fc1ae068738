# a store made in parts is that of one process, file for file
tiny model
scenes scenes 60
list=scenes/labels.csv
part() { clipspan decompose model "$list" --shard-images 8 --batch 4 --threads 1 --quiet "$@"; }
part -o whole
for k in 2 3 1; do part -o shared --part $k/3; done
fails clipspan textspan shared --texts "$SOURCE/models/demo/pool.txt"
clipspan merge shared
diff -r whole shared && echo same
# merged again, and a part asked for again: nothing is left to do
clipspan merge shared --quiet && part -o shared --part 2/3 && part -o shared && diff -r whole shared && echo 'same still'
# moments alone, and neurons
part -o whole-moments --moments
for k in 1 2; do part -o moments --moments --part $k/2; done
clipspan merge moments --quiet && diff -r whole-moments moments && echo 'same moments'
part -o whole-neurons --neurons
for k in 1 2 3; do part -o neurons --neurons --part $k/3; done
clipspan merge neurons --quiet && diff -r whole-neurons neurons && echo 'same neurons'
# parts that are killed lose their open shard; the same command goes on
for k in 1 2 3; do
  for i in 3 4 5; do
    timeout -s KILL 0.0$i "$BUILD/clipspan" decompose model $list -o killed --part $k/3 --shard-images 8 --batch 4 --threads 1 || true
  done
done >/dev/null 2>&1
for k in 1 2 3; do part -o killed --part $k/3; done
clipspan merge killed --quiet && diff -r whole killed && echo 'same after kills'
# folders of their own: the store is spread over them
for k in 1 2 3; do part -o p$k --part $k/3; done
clipspan merge p1 p2 p3 -o spread
ls spread
cmp whole/moments.safetensors spread/moments.safetensors && echo 'same moments'
# every analysis reads it
printf 'a red circle\na blue square\nsnow\nwater\n' >pool.txt
prompts="--column setting --classes $SOURCE/models/demo/zero_shot/setting.classes.txt"
for store in whole spread; do
  mkdir out-$store
  clipspan textspan $store --texts pool.txt --size 3 --heads last:1 --csv out-$store/textspan.csv -o out-$store/textspan.txt
  clipspan ablate $store $prompts --heads L2.H1 --resamples 9 --csv out-$store/ablate.csv -o out-$store/ablate.txt
  clipspan classify $store $prompts --csv out-$store/classify.csv -o out-$store/classify.txt
  clipspan retrieve $store --row 33 --heads L1.H2 -k 5 --csv out-$store/retrieve.csv -o out-$store/retrieve.txt
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
part -o two && cmp whole/moments.safetensors two/moments.safetensors && echo 'gone on with'
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
clipspan decompose other $list -o q2 --part 2/3 --shard-images 8 --batch 4 --quiet
fails clipspan merge p1 q2 p3 -o wrong
part -o h2 --part 2/3 --store-dtype f16
fails clipspan merge p1 h2 p3 -o wrong
sed '4{h;d};5G' $list >scenes/swapped.csv
clipspan decompose model scenes/swapped.csv -o l2 --part 2/3 --shard-images 8 --batch 4 --quiet
fails clipspan merge p1 l2 p3 -o wrong
clipspan decompose model $list -o s2 --part 2/3 --shard-images 12 --batch 4 --quiet
fails clipspan merge p1 s2 p3 -o wrong
fails part -o p1 --part 1/4
rm p3/shard-00007.safetensors
fails clipspan merge p1 p2 p3 -o wrong
fails part -o x --part 4/3
fails part -o x --part 3
fails clipspan merge nowhere
mkdir empty
fails clipspan merge empty
fails clipspan merge p1 p2
