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
from worlds import Random, World, unit_rows  # noqa: E402

LAYERS, HEADS, WIDTH, EMBED, FACTORS, NOISE, SEED, LAST, CLASSES, TEXTS, SIZES = 4, 3, 7, 24, 4, 0.15, 3, 2, 6, 90, (1, 4, 9)


class Scene:
    """Terms [I, L, H, E] in the paper's convention, what is left of r / |r| without them [I, E], and labels."""

    def __init__(self, images, classifier):
        self.attn = World(LAYERS, HEADS, WIDTH, EMBED, images, FACTORS, NOISE, SEED).terms[0]
        total, noise, same = self.attn.sum((1, 2)), Random(SEED + 99), Random(4)
        r = np.array([[0.02 * noise.normal() for _ in range(EMBED)] for _ in range(images)]) - total.mean(0) + total
        self.rest, self.labels = r - total, (r @ classifier.T).argmax(1)
        for i in range(images):
            if same.next() % 5 == 0:
                self.labels[i] = -1
            elif same.next() % 4 == 0:
                self.labels[i] = (self.labels[i] + 1) % CLASSES


def right(r, world, classifier):
    known = world.labels >= 0
    return int(((r[known] @ classifier.T).argmax(1) == world.labels[known]).sum())


def main():
    classifier, pool = unit_rows(CLASSES, EMBED, 77).astype(np.float64), unit_rows(TEXTS, EMBED, 13)
    a, b = Scene(150, classifier), Scene(130, classifier)
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
