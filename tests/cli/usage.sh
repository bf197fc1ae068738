# wrong use: exit 2, one line that says what to do
fails clipspan 2>/dev/null; head -n 1 "$scratch/err"
fails clipspan nonsense
fails clipspan info
fails clipspan info one two
fails clipspan embed one --cache two
fails clipspan info --bogus x
fails clipspan embed model
fails clipspan embed model --images a --texts b -o c
fails clipspan embed model --images a
fails clipspan embed model --images a -o c --dtype f64
fails clipspan embed model --images a -o c --threads many
fails clipspan embed model --images a -o c --threads -1
fails clipspan embed model --images
fails clipspan decompose model images
fails clipspan decompose model images -o x --moments --tokens
fails clipspan textspan store
# every subcommand has a help with an example, on standard output
for command in $(clipspan --help | sed -n "s/^  \([a-z]*\)  .*/\1/p"); do
  clipspan $command --help | grep -A1 '^example:' | tail -n 1 | cut -d' ' -f1-5
done
# the man page says options as they are typed
clipspan --man | grep -A1 -e '-cache' | head -n 1
clipspan --help | head -n 1 | sed 's/[0-9.]\{5,\}/VERSION/'
# a pipe that closes early is an error, not a crash
tiny model
yes 'a red square' | head -n 200000 >many.txt
(clipspan tokenize model --texts many.txt || echo "exit $?" >&2) 2>&1 >/dev/full | sed 's/: [A-Z].*//'
# a reader that has seen enough is no failure
{ clipspan tokenize model --texts many.txt 2>closed.txt; echo "exit $?" >>closed.txt; } | head -n 1 >/dev/null
cat closed.txt
