# the reference code's files, by name and shape
tiny model
scenes scenes 12
clipspan decompose model scenes/labels.csv -o store --quiet
printf 'red\nblue\ngreen\n' >classes.txt
printf 'a red circle\na blue square\n' >pool.txt
clipspan export store --format npy --name scenes --classes classes.txt --texts pool.txt --texts-name pool -o arrays
for file in arrays/*.npy; do echo "$file $(head -c 128 "$file" | tr -cd '(0-9, )' | sed 's/.*(/(/')"; done
clipspan export store --format hdf5 --name scenes -o arrays
ls arrays/*.h5
clipspan export store --name exact --convention exact -o arrays
ls arrays/exact*
fails clipspan export store --format csv -o arrays
fails clipspan export store -o /proc/nowhere
# NAME does not lead out of the folder
clipspan export store --name ../x -o arrays
ls -d x* arrays/*x_attn* 2>/dev/null
