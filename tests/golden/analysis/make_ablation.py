"""Writes ablation.txt: the ablations of ALGORITHMS 4 on the store of tests/unit/ablation_terms.h, in NumPy 2.4 on terms made
by the unfactored formulas, with the classes and labels of tests/unit/analysis_ablation_study_test.c.

    python tests/golden/analysis/make_ablation.py > tests/golden/analysis/ablation.txt

First line of figures: scored images. A line: convention (0 paper, 1 exact), 1 where terms are replaced by zero, kind (the
order of clipspan_ablated), index, right at top 1, at top 5, mean logit of the right class, its drop from the baseline."""
import numpy as np

from worlds import Random, Tower, f32, stored

CLASSES, EMBED, NAMED = 9, 7, [(0, 1), (2, 0), (2, 1)]
(NOTHING, MLPS, CLS, MLPS_CLS, UP_TO, UP_TO_MLPS, LAYER, MLP, HEAD, SET) = range(10)


def problem(images):
    random = Random(4)
    rows = np.array([[f32(random.normal()) for _ in range(EMBED)] for _ in range(CLASSES)], np.float64)
    rows = (rows / np.sqrt((rows ** 2).sum(1, keepdims=True))).astype(f32)
    return rows.astype(np.float64), np.array([-1 if i % 5 == 2 else random.next() % CLASSES for i in range(images)])


def ablations(whole, heads, mlps, cls, zero):
    """(kind, index) -> [I, E]"""
    heads, mlps, cls = ((0 if zero else x.mean(0)) - x for x in (heads, mlps, cls))
    layers, per_layer = heads.shape[1:3]
    all_mlps, out = mlps.sum(1), {(NOTHING, 0): whole}
    out[MLPS, 0], out[CLS, 0] = whole + all_mlps, whole + cls.sum(1)
    out[MLPS_CLS, 0] = out[MLPS, 0] + cls.sum(1)
    for l in range(layers):
        out[UP_TO, l] = whole + heads[:, :l + 1].sum((1, 2))
    for l in range(layers):
        out[UP_TO_MLPS, l] = out[UP_TO, l] + all_mlps
    for l in range(layers):
        out[LAYER, l] = whole + heads[:, l].sum(1)
    for m in range(layers + 1):
        out[MLP, m] = whole + mlps[:, m]
    for h in range(layers * per_layer):
        out[HEAD, h] = whole + heads[:, h // per_layer, h % per_layer]
    out[SET, 0] = whole + sum(heads[:, l, h] for l, h in NAMED)
    return out


def main():
    images = stored(Tower(3, 2, 5, EMBED, 5, 21))[1]
    classifier, labels = problem(len(images.norm))
    known = labels >= 0
    print("#", "python tests/golden/analysis/make_ablation.py")
    print(known.sum())
    for convention in range(2):
        heads, norm = images.heads[convention].sum(3), images.norm if convention else np.ones(len(labels))
        for zero in range(2):
            base = None
            made = ablations(images.whole[convention], heads, images.mlps[convention], images.cls[convention], zero)
            for (kind, index), vectors in made.items():
                if np.abs(vectors).max() < 1e-6:  # every term is gone: what rounding leaves is no representation
                    vectors = np.zeros_like(vectors)
                cosines = (vectors @ classifier.T / norm[:, None])[known]
                rows, right = np.arange(len(cosines)), labels[known]
                rank = (np.argsort(-cosines, 1, kind="stable") == right[:, None]).argmax(1)
                logit = 100 * cosines[rows, right].mean()
                base = logit if base is None else base
                print(convention, zero, kind, index, (rank == 0).sum(), (rank < 5).sum(), f"{logit:.8f}", f"{base - logit:.8f}")


main()
