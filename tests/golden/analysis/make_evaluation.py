"""Writes evaluation.txt: TextSpan's evaluation of the two worlds of tests/unit/analysis_evaluation_test.c, in NumPy on
vectors of the joint space.

    python tests/golden/analysis/make_evaluation.py > tests/golden/analysis/evaluation.txt

A line: texts a head, right answers on world a, different texts, share explained, right answers on world b, share
explained there. First line: scored images of a and of b. The worlds are made as tests/unit/analysis_fake.h makes them."""
import os
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "parity"))
import textspan  # noqa: E402
from textspan_evaluation import directions  # noqa: E402

LAYERS, HEADS, WIDTH, EMBED, FACTORS, NOISE, SEED, LAST, CLASSES, TEXTS, SIZES = 4, 3, 7, 24, 4, 0.15, 3, 2, 6, 90, (1, 4, 9)
MASK = (1 << 64) - 1
f32 = np.float32


class Random:
    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    def normal(self):
        total = 0.0
        for _ in range(4):
            total += (self.next() >> 11) / 9007199254740992.0 - 0.5
        return total * 3.0 ** 0.5

    def array(self, count, mean, scale):
        return np.array([mean + scale * self.normal() for _ in range(count)]).astype(f32)


def make_z(random, images):
    heads = LAYERS * HEADS
    random.array(heads * images * WIDTH, 0, 0)
    z = np.zeros((heads, images, WIDTH), f32)
    for h in range(heads):
        loading = np.array([random.normal() for _ in range((FACTORS + 1) * WIDTH)]).reshape(FACTORS + 1, WIDTH)
        for i in range(images):
            value = [random.normal() / (f + 1) for f in range(FACTORS)]
            for c in range(WIDTH):
                total = 0.5 * loading[FACTORS, c] + sum(0.3 * value[f] * loading[f, c] for f in range(FACTORS))
                z[h, i, c] = total + NOISE * random.normal()
    return z


def unit_rows(count, seed):
    random, rows = Random(seed), np.zeros((count, EMBED))
    for j in range(count):
        rows[j] = [f32(0.3 + random.normal()) for _ in range(EMBED)]
        rows[j] /= np.sqrt((rows[j] ** 2).sum())
    return rows.astype(f32)


class World:
    """Terms [I, L, H, E] in the paper's convention, what is left of r / |r| without them [I, E], and labels."""

    def __init__(self, images, classifier):
        random, l, h = Random(SEED), LAYERS, HEADS
        w = random.array(l * h * WIDTH * EMBED, 0.01, 0.2).reshape(l * h, WIDTH, EMBED).astype(np.float64)
        random.array(l * h * WIDTH, 0.05, 0.1)
        ones = random.array(EMBED, 0, 1.5).astype(np.float64)
        bias = random.array(l * EMBED, 0.02, 0.4).reshape(l, EMBED).astype(np.float64)
        random.array(l, 0.01, 0.02)
        constant = random.array(EMBED, 0.05, 0.6).astype(np.float64)
        z = make_z(random, images).astype(np.float64)
        mu, sigma, norm = (random.array(images, *pair).astype(np.float64) for pair in ((0.1, 0.03), (1.4, 0.1), (9.0, 0.5)))
        shares = (2 * l + 1) * h
        terms = np.einsum("hid,hde->ihe", z, w) + np.repeat(bias, h, 0) / h - (mu / shares)[:, None, None] * ones
        terms = (terms / sigma[:, None, None] + constant / shares) / norm[:, None, None]
        total, noise = terms.sum(1), Random(SEED + 99)
        r = np.array([[0.02 * noise.normal() for _ in range(EMBED)] for _ in range(images)]) - total.mean(0) + total
        self.attn, self.rest, self.labels, same = terms.reshape(images, l, h, EMBED), r - total, (r @ classifier.T).argmax(1), Random(4)
        for i in range(images):
            if same.next() % 5 == 0:
                self.labels[i] = -1
            elif same.next() % 4 == 0:
                self.labels[i] = (self.labels[i] + 1) % CLASSES


def right(r, world, classifier):
    known = world.labels >= 0
    return int(((r[known] @ classifier.T).argmax(1) == world.labels[known]).sum())


def main():
    classifier, pool = unit_rows(CLASSES, 77).astype(np.float64), unit_rows(TEXTS, 13)
    a, b = World(150, classifier), World(130, classifier)
    first, mean = LAYERS - LAST, a.attn.mean(0)
    late = [(l, h) for l in range(first, LAYERS) for h in range(HEADS)]
    spans = {(l, h): directions(a.attn[:, l, h], pool, SIZES[-1]) for l, h in late}
    print("#", "python tests/golden/analysis/make_evaluation.py")
    print((a.labels >= 0).sum(), (b.labels >= 0).sum())
    for m in SIZES:
        texts, answers, shares = set(), [], []
        for world in (a, b):
            r, told, total = world.rest + mean.sum((0, 1)), 0.0, 0.0
            for (l, h), (chosen, rows) in spans.items():
                c = world.attn[:, l, h]
                r = r + (c - mean[l, h]) @ rows[:m].T @ rows[:m]
                told, total = told + (c @ rows[:m].T).var(0).sum(), total + c.var(0).sum()
                texts.update(chosen[:m])
            answers.append(right(r, world, classifier))
            shares.append(told / total)
        print(m, answers[0], len(texts), f"{shares[0]:.9f}", answers[1], f"{shares[1]:.9f}")


if __name__ == "__main__":
    main()
