"""Writes retrieval.txt: nearest images and precision at 7 by scikit-learn 1.9.1 (cosine_similarity, NearestNeighbors) on the
world of tests/unit/analysis_retrieval_test.c, whose head L1.H1 is told the colour.

    python tests/golden/analysis/make_retrieval.py > tests/golden/analysis/retrieval.txt

A query: convention (0 paper, 1 exact), similarity (0 cosine, 1 inner product), 1 where centred, set (0: L1.H1, 1: L0.H1 and
L1.H1), row, then its four nearest, each row and score. "-1" ends them. Then a line a convention: precision at 7 of L0.H1, of
L1.H1, of both, each for colour and for label."""
import numpy as np
from sklearn.metrics.pairwise import cosine_similarity, linear_kernel
from sklearn.neighbors import NearestNeighbors

from worlds import World, f32

IMAGES, HITS, K, SETS = 150, 4, 7, [[(1, 1)], [(0, 1), (1, 1)]]


def tell_colour(z):
    for i in range(IMAGES):
        if i % 4 < 3:
            z[4, i, i % 4] += f32(1)


def contribution(terms, heads):
    return sum(terms[:, l, h] for l, h in heads)


def nearest(c, similarity, query):
    scores = (linear_kernel if similarity else cosine_similarity)(c[query:query + 1], c)[0]
    scores[query] = -np.inf
    order = np.argsort(-scores)[:HITS + 1]
    assert (-np.diff(scores[order])).min() > 1e-5 * scores[order[0]]  # rounding does not decide
    return [(row, f"{scores[row]:.9f}") for row in order[:HITS]]


def precision(c, values):
    known = values != ""
    c, values = c[known], values[known]
    neighbours = NearestNeighbors(n_neighbors=K, metric="cosine", algorithm="brute").fit(c).kneighbors(return_distance=False)
    return (values[neighbours] == values[:, None]).mean()


def main():
    world = World(2, 3, 10, 14, IMAGES, 4, 0.2, 11, tell_colour)
    print("#", "python tests/golden/analysis/make_retrieval.py")
    for convention, terms in enumerate(world.terms):
        for s, heads in enumerate(SETS):
            c = contribution(terms, heads)
            for similarity in range(2):
                for centred in range(2):
                    for query in (3, 83):
                        hits = nearest(c - c.mean(0) if centred else c, similarity, query)
                        print(convention, similarity, centred, s, query, *(x for hit in hits for x in hit))
    print(-1)
    colour = np.array([("red", "green", "blue", "")[i % 4] for i in range(IMAGES)])
    label = np.array(["cat" if i % 3 else "dog" for i in range(IMAGES)])
    for terms in world.terms:
        spaces = [contribution(terms, heads) for heads in ([(0, 1)], [(1, 1)], SETS[1])]
        print(*(f"{precision(c, values):.10f}" for c in spaces for values in (colour, label)))


main()
