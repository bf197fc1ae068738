# a store survives what happens to it
tiny model --layout open_clip
scenes scenes 40
clipspan decompose model scenes/labels.csv -o whole --shard-images 8 --batch 4 --quiet
ls whole | sed 's/[0-9]\{5\}/N/' | sort | uniq -c | sed 's/^ *//'
# killed with -9 at some point, gone on with: the same bytes
i=0
while [ $i -lt 6 ]; do
  i=$((i + 1))
  killed_after 0.0$i "$BUILD/clipspan" decompose model scenes/labels.csv -o killed --shard-images 8 --batch 4 --quiet
done >/dev/null 2>&1
clipspan decompose model scenes/labels.csv -o killed --shard-images 8 --batch 4 --quiet
for shard in whole/shard*.safetensors; do cmp "$shard" "killed/$(basename "$shard")" && echo same; done
cmp whole/moments.safetensors killed/moments.safetensors && echo 'same moments'
ls killed | grep -c 'part-' || true
# another model, other options, other images: refused by name
tiny other --layout open_clip --seed 9
fails clipspan decompose other scenes/labels.csv -o whole
fails clipspan decompose model scenes/labels.csv -o whole --store-dtype f16
fails clipspan decompose model scenes/labels.csv -o whole --dtype bf16
fails clipspan decompose model scenes/labels.csv -o whole --exif
fails clipspan textspan whole --texts "$SOURCE/models/demo/pool.txt" --model other
# a full disk: the message names the file, finished shards stay
(ulimit -f 32; fails clipspan decompose model scenes/labels.csv -o full --shard-images 8 --batch 4) 
clipspan decompose model scenes/labels.csv -o full --shard-images 8 --batch 4 --quiet && cmp whole/moments.safetensors full/moments.safetensors && echo 'gone on with'
# a damaged shard is refused by name
cp -r whole damaged
printf 'x' | dd of=damaged/shard-00001.safetensors bs=1 seek=3000 conv=notrunc 2>/dev/null
fails clipspan export damaged -o arrays --name x
[ -e arrays/x_attn_model.npy ] || echo 'nothing half-written'
# nor is it gone on with, or called finished, until the file is there again
fails clipspan decompose model scenes/labels.csv -o damaged
cp whole/shard-00001.safetensors damaged
clipspan decompose model scenes/labels.csv -o damaged --quiet && echo restored
# what a program asks for is a list or true or false
clipspan info whole --json | grep -A 3 -E '"(exif|complete|moments_only|parts)"' | tr -d ' \n'
echo
rm whole/basis.safetensors
fails clipspan info whole
# moments alone
clipspan decompose model scenes/labels.csv -o moments --moments --quiet
ls moments | grep -c shard || true
