"""Writes neurons.txt: moments, ranking and texts of the neurons of tests/unit/store_neurons_test.c's store, in NumPy 2.4 on
every neuron's contribution as a vector of the joint space; scikit-learn 1.9.1's cosine_similarity for the texts.

    python tests/golden/analysis/make_neurons.py > tests/golden/analysis/neurons.txt

For both conventions (paper, exact): a line a neuron: layer, neuron, length of its direction, mean of its factor, its standard
deviation, share active, rms, variance, share of the MLP's variance; a line a layer of the MLP terms: length of the mean, rms,
variance; a line each of neurons (layer * 6 + neuron) by rms, by variance, by share. Then a line a neuron: its three nearest
texts of 20, each with its cosine, and its three farthest."""
import numpy as np
from sklearn.metrics.pairwise import cosine_similarity

from worlds import Tower, stored, unit_rows

EMBED, TEXTS, SHOWN = 7, 20, 3


def print_moments(tower, images, directions, convention):
    scale = 1 / images.sigma / (1 if convention else images.norm)
    rows = []
    for l in range(tower.layers):
        term = images.mlps[convention][:, l + 1]
        whole = term.var(0).sum()
        for j in range(tower.NEURONS):
            a = images.hidden[:, l, j]
            contribution = (a * scale)[:, None] * directions[l][j]
            rms, variance = np.sqrt((contribution ** 2).sum(1).mean()), contribution.var(0).sum()
            rows.append((rms, variance, variance / whole))
            figures = (np.linalg.norm(directions[l][j]), (a * scale).mean(), (a * scale).std(), (a > 0).mean(), *rows[-1])
            print(l, j, *(f"{x:.10f}" for x in figures))
    for l in range(tower.layers):
        term = images.mlps[convention][:, l + 1]
        print(*(f"{x:.10f}" for x in (np.linalg.norm(term.mean(0)), np.sqrt((term ** 2).sum(1).mean()), term.var(0).sum())))
    for key in np.array(rows).T:
        order = np.argsort(-key, kind="stable")
        assert (np.diff(key[order]) < -1e-6 * key.max()).all()  # rounding does not decide
        print(*order)


def main():
    tower = Tower(3, 2, 5, EMBED, 5, 21)
    images = stored(tower)[1]
    directions = []
    for weight in tower.fc2:
        f = weight.T.astype(np.float64)
        directions.append((f - f.mean(1, keepdims=True)) * tower.gamma @ tower.projection)
    print("#", "python tests/golden/analysis/make_neurons.py")
    for convention in range(2):
        print_moments(tower, images, directions, convention)
    for row in cosine_similarity(np.concatenate(directions), unit_rows(TEXTS, EMBED, 31).astype(np.float64)):
        order = np.argsort(-row)
        assert np.diff(row[order]).max() < -1e-6
        print(*(x for t in (*order[:SHOWN], *order[:-SHOWN - 1:-1]) for x in (t, f"{row[t]:.10f}")))


main()
