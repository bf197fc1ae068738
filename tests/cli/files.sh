# where output goes: a link stays and what it leads to is replaced, with its mode
tiny model
scenes scenes 8
mkdir elsewhere
echo old >elsewhere/real.npy
chmod 640 elsewhere/real.npy
ln -s elsewhere/real.npy link.npy
clipspan embed model --images scenes/labels.csv -o link.npy --quiet
clipspan embed model --images scenes/labels.csv -o plain.npy --quiet
[ -L link.npy ] && cmp elsewhere/real.npy plain.npy && stat -c 'mode %a' elsewhere/real.npy
ln -s elsewhere/new.json new.json
clipspan info model --json -o new.json
[ -L new.json ] && [ -f elsewhere/new.json ] && echo 'a link to nothing yet'
# a pipe stays a pipe: text and arrays go through; what is not written in one go is refused
mkfifo pipe
clipspan info model --json -o pipe &
grep -c '"heads"' pipe
wait
cat pipe >through &
clipspan embed model --images scenes/labels.csv -o pipe --quiet
wait
[ -p pipe ] && cmp through plain.npy && echo 'an array'
clipspan decompose model scenes/labels.csv -o store --quiet
mkdir arrays
mkfifo arrays/x_model.h5
cat arrays/x_model.h5 >through &
fails clipspan export store --format hdf5 --name x -o arrays
wait
[ -p arrays/x_model.h5 ] && [ ! -s through ] && ls -A . arrays | grep -c part || true
# a folder, or below a file
fails clipspan info model -o elsewhere
fails clipspan decompose model scenes/labels.csv -o plain.npy/store
# texts from standard input and from a pipe
printf 'a red circle\nsnow\n' >texts.txt
clipspan tokenize model --texts texts.txt >ids
clipspan tokenize model --texts - <texts.txt | cmp - ids && echo 'from standard input'
cat texts.txt | clipspan tokenize model --texts /dev/stdin | cmp - ids && echo 'from /dev/stdin'
cat texts.txt >pipe &
clipspan tokenize model --texts pipe | cmp - ids && echo 'from a pipe'
wait
# an open handle is written as it stands: what `>>` keeps is kept
echo kept >log
clipspan info model --json -o /dev/stdout >>log
clipspan info model --json | sed '1i kept' | cmp - log && echo 'behind what was there'
clipspan info model --json -o /dev/fd/3 3>>log
[ "$(head -n 1 log)" = kept ] && [ "$(grep -c '"heads"' log)" -gt 1 ] && echo 'twice'
# standard streams that are closed: no file gets their numbers, and results that cannot be written are said
mkdir broken
cp "$(find scenes/images -name "*.png" | sort | head -n 1)" broken/a.png
echo nonsense >broken/b.png
clipspan embed model -i broken -o whole.npy --quiet 2>/dev/null
clipspan embed model -i broken -o closed.npy --quiet <&- >&- 2>&- && cmp whole.npy closed.npy && echo 'no warning in it'
clipspan info model >&- 2>err || echo "exit $? $(cat err)"
for way in help --help --version --man --markdown 'info --help'; do
  clipspan $way >/dev/full 2>err && echo "$way: lost" || echo "exit $? $(cat err)"
done
# what is there and neither file nor folder; names that command a terminal
mkfifo odd.csv
fails clipspan info pipe
fails clipspan embed model -i odd.csv -o never.npy
fails clipspan segment model odd.csv
fails clipspan info "$(printf 'esc\033[31m\302\2331mred\a')"
