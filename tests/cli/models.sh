# both layouts open; what does not fit is refused by file and thing
for layout in huggingface open_clip; do
  tiny $layout --layout $layout
  clipspan info $layout --json >info.json
  grep -cE '"(layout|layers|heads|head_dim|embed_dim|image_size|patch_size|fingerprint|tokenizer|preprocess)":' info.json
  grep '"layout"' info.json
done
fails clipspan info no-such-model
mkdir empty
fails clipspan info empty
cp -r huggingface broken
for size in 0 4 100 5000; do
  head -c $size huggingface/model.safetensors >broken/model.safetensors
  fails clipspan info broken
done
printf '\377\377\377\377\377\377\377\177' >broken/model.safetensors
fails clipspan info broken
rm broken/model.safetensors
fails clipspan info broken
cp huggingface/model.safetensors broken/
sed 's/"hidden_size": *[0-9]*/"hidden_size": 31/' huggingface/config.json >broken/config.json
fails clipspan info broken
echo '{' >broken/config.json
fails clipspan info broken
echo '{}' >broken/config.json
fails clipspan info broken
