# what keeps a server from starting is said before it would; what it answers is in tests/serve
tiny model
tiny other --seed 9
scenes scenes 4
clipspan decompose model scenes/labels.csv -o store --quiet
printf '\n\n' >empty.txt
if clipspan serve model --host 192.0.2.1 2>&1 | grep -q "built without libmicrohttpd"; then echo "no libmicrohttpd here"; exit 77; fi
fails clipspan serve
fails clipspan serve nothing
fails clipspan serve model nothing
fails clipspan serve other store
fails clipspan serve model --port 70000
fails clipspan serve model --held 2000
fails clipspan serve model --timeout 0
fails clipspan serve model --beside-store store
fails clipspan serve model --images scenes
fails clipspan serve model --texts empty.txt
fails clipspan serve model store --texts empty.txt
fails clipspan serve model store --texts nothing.txt
fails clipspan serve model store --texts -
fails clipspan serve model store --images nothing
fails clipspan serve model --beside nothing
fails clipspan serve model --token short
fails clipspan serve model --token 'with spaces and more'
fails clipspan serve model --host 192.0.2.1 --port 0
# two cannot listen at the same place; the first one ends well
"$BUILD/clipspan" serve model --port 0 --token 'the-first-one' >url.txt &
while [ ! -s url.txt ]; do sleep 0.1; done
sed 's|:[0-9][0-9]*/|:PORT/|' url.txt
port=$(sed 's|.*:\([0-9][0-9]*\)/.*|\1|' url.txt)
fails clipspan serve model --port "$port" | sed "s|port $port|port PORT|"
kill -INT $! # a shell without job control starts it deaf to Ctrl-C; the server listens all the same
wait $! && echo 'ended well'
