"""Writes classification.txt: zero-shot classification of tests/unit/analysis_classify_test.c's pictures by scikit-learn 1.9.1
(reliability: its calibration_curve; the error of Guo et al. 2017 from that).

    python tests/golden/analysis/make_classification.py > tests/golden/analysis/classification.txt

First line of figures: labelled images, right at top 1, at top 5, calibration error, mean confidence. Then by class: class,
images, chosen, right, precision, recall; then "-1" and the number of confused pairs, each label, choice, images; then
the bins that have images: bin, images, accuracy, confidence."""
import numpy as np
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support, top_k_accuracy_score

from worlds import unit_rows

IMAGES, EMBED, CLASSES, SCALE, BINS = 300, 24, 9, 20, 15


def main():
    images, classifier = unit_rows(IMAGES, EMBED, 1).astype(np.float64), unit_rows(CLASSES, EMBED, 2).astype(np.float64)
    labels = np.arange(IMAGES) % (CLASSES + 1) - 1
    logits, labels = SCALE * (images @ classifier.T)[labels >= 0], labels[labels >= 0]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    choice, confidence = logits.argmax(1), probabilities.max(1)
    matrix, right = confusion_matrix(labels, choice, labels=range(CLASSES)), choice == labels
    top5 = top_k_accuracy_score(labels, logits, k=5, normalize=False)
    accuracy, mean = calibration_curve(right, confidence, n_bins=BINS)
    assert np.abs(confidence * BINS - np.rint(confidence * BINS)).min() > 1e-4  # none so near an edge that rounding decides
    bins = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], confidence)
    filled, sizes = np.unique(bins, return_counts=True)
    error = (sizes / len(labels) * np.abs(accuracy - mean)).sum()
    print("#", "python tests/golden/analysis/make_classification.py")
    print(len(labels), right.sum(), int(top5), f"{error:.9f}", f"{confidence.mean():.9f}")
    precision, recall, _, support = precision_recall_fscore_support(labels, choice, zero_division=0)
    for c in range(CLASSES):
        print(c, support[c], matrix[:, c].sum(), matrix[c, c], f"{precision[c]:.9f}", f"{recall[c]:.9f}")
    pairs = [(-matrix[a, b], a, b) for a in range(CLASSES) for b in range(CLASSES) if a != b and matrix[a, b]]
    print(-1, len(pairs))
    for images, label, chosen in sorted(pairs):
        print(label, chosen, -images)
    for figures in zip(filled, sizes, accuracy, mean):
        print("{} {} {:.9f} {:.9f}".format(*figures))


main()
