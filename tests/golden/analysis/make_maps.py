"""Writes maps.txt: maps by layer and head of one picture of tests/unit/analysis_map_test.c, in NumPy 2.4 from terms by token
that are written out in the residual stream, one at a time.

    python tests/golden/analysis/make_maps.py > tests/golden/analysis/maps.txt

For both conventions (paper, exact): a line a text, layer and head, its value at each token (class token first); then a line a
text, the sum over all of these."""
import numpy as np

from worlds import Images, Random, Tower

LAYERS, HEADS, EMBED, TOKENS, TEXTS, KEPT, IMAGE = 4, 2, 9, 10, 2, 3, 1


def main():
    images = Images(Tower(LAYERS, HEADS, 5, EMBED, TOKENS, 23), range(2))
    texts = Random(5).fill(TEXTS, EMBED, mean=0, scale=1 / EMBED ** 0.5).astype(np.float64)
    print("#", "python tests/golden/analysis/make_maps.py")
    for terms in images.heads:
        maps = np.einsum("lhne,te->tlhn", terms[IMAGE, LAYERS - KEPT:], texts)
        for row in maps.reshape(-1, TOKENS):
            print(*(f"{x:.9f}" for x in row))
        for row in maps.sum((1, 2)):
            print(*(f"{x:.9f}" for x in row))


main()
