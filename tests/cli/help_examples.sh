# every example of the help that works on the demo runs as it stands
ln -s "$SOURCE/models" models
mkdir -p out/demo
scenes photos 80
scenes out/demo/images 80
clipspan decompose models/demo/clipspan-demo out/demo/images/labels.csv -o out/demo/store --quiet
for command in $(clipspan --help | sed -n "s/^  \([a-z]*\)  .*/\1/p"); do
  clipspan $command --help | awk '/^$/ {on = 0} on; /^example:$/ {on = 1}' >example.txt
  grep -qE '(out|models)/demo/' example.txt || continue
  case $command in serve | tokenize) continue ;; esac # one does not end, the other needs a file of texts
  code=0
  sh -e -c 'clipspan() { "$BUILD/clipspan" "$@"; }; . ./example.txt' >said.txt 2>&1 || code=$?
  echo "$command: exit $code"
  [ $code = 0 ] || tail -n 1 said.txt
done
ls
# no line of a help is longer than a wide terminal
for command in $(clipspan --help | sed -n "s/^  \([a-z]*\)  .*/\1/p"); do clipspan $command --help; done | awk 'length > 120'
