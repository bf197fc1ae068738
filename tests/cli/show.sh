# maps drawn on the terminal: in each way, decoded again; which way is found; what is refused
tiny model --image 48 --patch 8
scenes scenes 8
check() { python3 "$SOURCE/tests/cli/terminal_check.py" "$@"; }
unset NO_COLOR COLORTERM KITTY_WINDOW_ID TERM_PROGRAM TMUX
export TERM=xterm-256color COLUMNS=80
map() { clipspan map model scenes/labels.csv --rows 3 -t 'a red circle' "$@"; }
for way in blocks sixel kitty; do
  map --show=$way -o said.txt >$way.txt
  echo "$way:"
  check $way $way.txt
  sed -n '1,2p' $way.txt
  # the legend: the scale's ends, the unit
  sed 's/\x1b\[[0-9;]*m//g' $way.txt | grep 'change in cosine$' | sed 's/[0-9.]\{3,\}/N/g; s/  */ /g'
done
# the limit is the PNG's and --scale's
map --show=blocks --scale 0.25 -o said.txt | sed 's/\x1b\[[0-9;]*m//g' | grep 'change in cosine$' | sed 's/  */ /g'
# the report first, then the pictures; several rows, more tiles than a line holds
map --show=blocks | sed -n '1,2p' | cut -c1-40
COLUMNS=40 clipspan map model scenes/labels.csv --rows 1-2 -t snow -t night --show=blocks --evidence for -o said.txt >two.txt
check blocks two.txt | sed -n 1p
grep -c '^images\|^what the model sees\|^night' two.txt
sed 's/\x1b\[[0-9;]*m//g' two.txt | grep 'change in cosine$' | cut -c1-2
clipspan decompose model scenes/labels.csv -o store --tokens --quiet
clipspan map store --rows 3 -t 'a red circle' --show=sixel -o said.txt | cmp - sixel.txt && echo 'model and store agree'
# in a pipe nothing is drawn unless a way is forced
map --show 2>note.txt | grep -c '▀' || true
cat note.txt
# on a terminal: who says it can
for answer in kitty sixel plain silent; do check on $answer "$BUILD/clipspan" map store --rows 3 -t snow --show; done
KITTY_WINDOW_ID=1 check on plain "$BUILD/clipspan" map store --rows 3 -t snow --show
KITTY_WINDOW_ID=1 TERM=tmux-256color check on sixel "$BUILD/clipspan" map store --rows 3 -t snow --show
TERM=linux check on plain "$BUILD/clipspan" map store --rows 3 -t snow --show
TERM_PROGRAM=Apple_Terminal check on plain "$BUILD/clipspan" map store --rows 3 -t snow --show
check on kitty "$BUILD/clipspan" map store --rows 3 -t snow --show=blocks
# refused
fails map --show=colours
fails map --show --json
map --show=blocks --json -o maps.json | grep -c '▀' | sed 's/^[1-9].*/drawn/'
fails clipspan map store -t snow --show=blocks --images nowhere
