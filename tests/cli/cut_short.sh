# a file that is cut short while it is mapped ends the command with a line that names it
tiny model
mkfifo texts
clipspan embed model -t texts -o texts.npy --quiet 2>said &
pid=$!
exec 3>texts # opened when the model is, and the command waits for its texts
truncate -s 5000 model/model.safetensors
echo snow >&3
exec 3>&-
code=0
wait $pid || code=$?
echo "exit $code: $(cat said)"
ls texts.npy*
# another's SIGBUS is no file's
mkfifo more
tiny model
clipspan embed model -t more -o texts.npy --quiet 2>said &
pid=$!
exec 3>more
{ kill -BUS $pid; wait $pid; } 2>/dev/null || code=$?
exec 3>&-
[ $code -gt 128 ] && [ ! -s said ] && echo 'by the signal'
# what the two left goes with the next that writes it
echo snow | clipspan embed model -t - -o texts.npy --quiet
ls texts.npy*
