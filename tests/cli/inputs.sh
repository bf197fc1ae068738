# no output goes over what the command reads, by whatever path; everything is as it was
tiny model
scenes scenes 12
printf 'a red circle\nsnow\na blue square\n' >texts.txt
echo L1.H1 >heads.txt
clipspan decompose model scenes/labels.csv -o store --quiet
clipspan embed model -t texts.txt -o texts.npy --quiet
ln -s texts.txt symbolic
ln texts.txt hard
find . -type f | LC_ALL=C sort | xargs sha256sum >../before
picture=scenes/images/000008.png
fails clipspan textspan store -t texts.txt -o symbolic
fails clipspan textspan store -t symbolic --csv ./texts.txt
fails clipspan textspan store -t texts.txt --csv hard
fails clipspan textspan store -t texts.txt --embeddings texts.npy --csv texts.npy
fails clipspan textspan store -t texts.txt --heads @heads.txt -o heads.txt
fails clipspan heads store -t texts.txt -o texts.txt
fails clipspan neurons store -t texts.txt --png texts.txt
fails clipspan attributes store -o store/images.safetensors
fails clipspan info model -o model/config.json
fails clipspan info model -o model/vocab.json
fails clipspan info store -o store/manifest.json
fails clipspan info store -o store/shard-00000.safetensors
fails clipspan info store -o store/moments.safetensors
fails clipspan embed model -t texts.txt -o texts.txt
fails clipspan embed model -i scenes/labels.csv -o scenes/labels.csv
fails clipspan embed model -i scenes/labels.csv -o $picture
fails clipspan preprocess model $picture -o $picture
fails clipspan classify model scenes/labels.csv --column shape --classes texts.txt --csv $picture 2>/dev/null
fails clipspan classify store --column shape --classes texts.txt --csv texts.txt
fails clipspan map model scenes --text snow --png $picture
fails clipspan map model scenes --text snow --npy $picture
fails clipspan retrieve store --image $picture --heads L1.H1 -o $picture
fails clipspan retrieve store --row 1 --heads L1.H1 --png store/shard-00000.safetensors
fails clipspan retrieve store --row 1 --heads L1.H1 --norms texts.txt
fails clipspan retrieve store --row 1 --heads L1.H1 --norms store/manifest.json
fails clipspan ablate store --column shape --classes texts.txt --plot texts.txt
fails clipspan groups store --attribute setting --column shape --classes texts.txt --csv texts.txt
fails clipspan segment model scenes/labels.csv --classes texts.txt --csv scenes/labels.csv
fails clipspan edit store --heads L1.H1 -o edited --csv texts.txt --classes texts.txt
fails clipspan edit store --heads L1.H1 -o edited --csv model/config.json --no-accuracy
fails clipspan report store -t texts.txt -o texts.txt
fails clipspan report store -o store/basis.safetensors
for folder in scenes model; do fails clipspan decompose model scenes/labels.csv -o $folder; done | sed 's/ ([^)]*)/ (...)/'
sha256sum --check --quiet ../before && echo 'as it was'
rm -r edited 2>/dev/null || true
# what was not read may be replaced, also where it lies in a store; norms are kept again in their file
clipspan info store -o store/info.txt
clipspan info store -o store/info.txt && echo again
for way in '' '' --centre; do clipspan retrieve store --row 1 --heads L1.H1 $way --norms norms.safetensors -o nearest.txt; done
clipspan decompose model scenes/labels.csv -o store --quiet && [ -f store/info.txt ] && echo 'gone on with'
# a folder of figures holds a text that is read
clipspan figure store -t texts.txt -o figures --only table --size 1 --quiet
fails clipspan figure store -t figures/textspan.md -o figures --only table
# files of somebody's own that are called as a store's
mkdir mine
echo mine >mine/shard-00000.safetensors
fails clipspan merge store -o mine --collect link
fails clipspan decompose model scenes/labels.csv -o mine
mv mine/shard-00000.safetensors mine/images.safetensors
fails clipspan merge store -o mine --collect copy
fails clipspan decompose model scenes/labels.csv -o mine --part 1/2
ls mine && cat mine/images.safetensors
