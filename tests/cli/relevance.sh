# the example of relevance: every method by its name, a grid of numbers (of pixels for lrp), and what is refused
tiny model
scenes scenes 4
picture=$(find scenes -name '*.png' | grep -v mask | sort | head -n 1)
for method in raw-attention rollout gradcam partial-lrp lrp transformer-attribution generic-attention maskclip clip-surgery \
    sclip naclip; do
    echo "$method: $("$BUILD/examples/example_relevance" model "$picture" $method 'a red circle' |
        awk '{ values += NF; for (i = 1; i <= NF; i++) if ($i + 0 != 0) some = 1 } END { print NR " rows, " values " values" (some ? "" : ", all zero") }')"
done
fails "$BUILD/examples/example_relevance" model "$picture" grad-cam x | sed 's/usage: .*example_/usage: example_/'
fails "$BUILD/examples/example_relevance" nowhere "$picture" rollout x
fails "$BUILD/examples/example_relevance" model nowhere.png rollout x
