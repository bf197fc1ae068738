# Ctrl-C ends with 130 and keeps what was finished
tiny model
scenes scenes 200
"$BUILD/clipspan" decompose model scenes/labels.csv -o store --shard-images 8 --batch 4 --threads 1 2>err.txt &
pid=$!
n=0
while [ ! -e store/shard-00000.safetensors ] && [ $n -lt 1000 ]; do sleep 0.01; n=$((n + 1)); done
kill -INT $pid
status=0
wait $pid || status=$?
echo "exit $status"
clipspan decompose model scenes/labels.csv -o store --shard-images 8 --batch 4 --threads 1 --json 2>/dev/null |
  grep -o '"images": [0-9]*'
