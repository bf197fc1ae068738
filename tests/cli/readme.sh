# the README's program compiles as it stands, warnings as errors, and runs
awk '/^```c$/ {code = 1; next} /^```$/ {code = 0} code' "$SOURCE/README.md" >readme.c
sanitize=$(grep -q '^CLIPSPAN_SANITIZE:.*=address' "$BUILD/CMakeCache.txt" && echo '-fsanitize=address,undefined' || true)
"${CC:-cc}" -std=c17 -Wall -Wextra -Werror $sanitize -I"$SOURCE/include" readme.c -L"$BUILD/src" -lclipspan -o readme
tiny model
scenes scenes 10
LD_LIBRARY_PATH="$BUILD/src" ./readme model scenes/labels.csv | sed 's/: .*/: N/'
LD_LIBRARY_PATH="$BUILD/src" ./readme nowhere scenes/labels.csv 2>&1 || echo "exit $?"
# its commands on a model of one's own run as they are printed (here a model of that shape, but small)
tiny ViT-B-16 --layers 12 --heads 12 --width 96
mkdir -p models/pools
head -n 60 "$SOURCE/models/pools/general.txt" >models/pools/general.txt
scenes photos 24
printf 'a dog\ngrass\na red circle\n' >mine.txt
printf 'dog\ncat\ncircle\n' >classes.txt
i=0
{ echo path,label,place
  for picture in photos/images/*; do
    i=$((i + 1))
    echo "$picture,$([ $((i % 2)) = 0 ] && echo dog || echo cat),$([ $((i / 2 % 2)) = 0 ] && echo grass || echo snow)"
  done; } >photos.csv
clipspan decompose ViT-B-16 photos.csv -o labelled.store --quiet
rm -r photos/masks photos/labels.csv
awk '/^## / {on = $0 == "## Your own model"} on && /^    clipspan /' "$SOURCE/README.md" >commands.txt
[ -s commands.txt ] && echo 'commands are found'
while read -r command; do
  case $command in *serve* | *VOC2012*) continue ;; esac # one does not end, the other's data are not here
  case $command in *neurons*) rm -r photos.store; clipspan decompose ViT-B-16 photos/ -o photos.store --neurons --quiet ;; esac
  sh -e -c 'clipspan() { "$BUILD/clipspan" "$@"; }; '"$command" >said.txt 2>&1 </dev/null || { echo "$command: exit $?"; cat said.txt; }
done <commands.txt
ls
