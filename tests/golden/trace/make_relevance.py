"""Writes relevance.txt: the embedding and the map of each relevance method for two texts on the first tower of
tests/unit/trace_fake.h, in float64 with torch 2.13's autograd (tests/parity/relevance.py).

    python tests/golden/trace/make_relevance.py > tests/golden/trace/relevance.txt

The embedding, then a line a method: its name, then its values for the first text and for the second. Weights, pixels and
texts are made as trace_fake.h makes them, from the same seed."""
import os
import sys

import numpy as np
import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "parity"))
import relevance  # noqa: E402
from decomposition import Block, Tower  # noqa: E402

HEADS, WIDTH, LAYERS, MLP, IMAGE, PATCH, EMBED, TEXTS = 3, 15, 3, 22, 10, 3, 11, 2


class Random:
    """fake_uniform and what is filled with it."""

    def __init__(self):
        self.state = 20261124

    def uniform(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) & ((1 << 64) - 1)
        return (self.state >> 11) / 9007199254740992.0 * 2.0 - 1.0

    def array(self, *shape, centre=0.0, spread=1.0):
        values = np.array([centre + spread * self.uniform() for _ in range(int(np.prod(shape)))])
        return torch.from_numpy(values.astype(np.float32).reshape(shape))

    def matrix(self, out, width):
        return self.array(out, width, spread=2.0 / width ** 0.5)

    def vector(self, count, centre=0.0):
        return self.array(count, centre=centre, spread=0.3)

    def norm(self):
        return self.vector(WIDTH, 1.0), self.vector(WIDTH)

    def block(self):
        ln1, ln2 = self.norm(), self.norm()
        out, fc1, fc2 = ((self.matrix(o, i), self.vector(o)) for o, i in ((WIDTH, WIDTH), (MLP, WIDTH), (WIDTH, MLP)))
        q, k, v = zip(self.matrix(3 * WIDTH, WIDTH).chunk(3), self.vector(3 * WIDTH).chunk(3))
        return Block(ln1, q, k, v, out, ln2, fc1, fc2)


def main():
    random, tokens = Random(), (IMAGE // PATCH) ** 2 + 1
    patch = random.matrix(WIDTH, 3 * PATCH * PATCH).reshape(WIDTH, 3, PATCH, PATCH)
    class_token, position = random.array(WIDTH), random.array(tokens, WIDTH, spread=0.5)
    ln_pre, ln_post = random.norm(), random.norm()
    projection = random.array(WIDTH, EMBED, spread=2.0 / WIDTH ** 0.5)
    tower = Tower(HEADS, float(np.float32(1e-5)), torch.nn.GELU(), patch, class_token, position, ln_pre, ln_post, projection)
    tower.blocks = [random.block() for _ in range(LAYERS)]
    pixels = random.array(3, IMAGE, IMAGE, spread=2.0).numpy()
    texts = random.array(TEXTS, EMBED).double()
    trace = relevance.Trace(tower, pixels)
    print("#", "python tests/golden/trace/make_relevance.py")
    print(*(f"{x:.9e}" for x in trace.r.detach().numpy()))
    for method in relevance.METHODS:
        print(method, *(f"{x:.9e}" for x in relevance.expected_maps(trace, texts, method).ravel()))


main()
