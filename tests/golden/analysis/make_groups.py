"""Writes groups.txt: accuracy by group and the scores that rank heads, of the store and classes of
tests/unit/analysis_groups_test.c (an image is of the class that the model chooses; every third of the next one), by scikit-learn 1.9.1 and NumPy 2.4 on terms made by the unfactored formulas.

    python tests/golden/analysis/make_groups.py > tests/golden/analysis/groups.txt

A row: convention (0 paper, 1 exact), 1 for the paper's protocol with the last two layers, heads as bits (-1: the model as
it is), average, mean of groups, worst group's accuracy and number, then right answers of each group. "-1" ends them. Then a
line a convention and head: contrast, mistakes, span, passing, correlation (all images searched, heads alone)."""
import numpy as np
from sklearn.metrics import accuracy_score, recall_score

from worlds import Random, Tower, f32, stored

CLASSES, EMBED, GROUPS, LAST, SETS = 3, 7, 6, 2, (0b000010, 0b000110, 0b110000)


def problem(positions, images):
    random = Random(17)
    unknown = np.array([i % 11 == 10 for i in range(len(positions))])
    for _ in range((~unknown).sum()):
        random.next()
    values = np.array([(0, 1, -1)[p % 3] for p in positions])  # cat, dog, none
    classifier = np.zeros((CLASSES, EMBED), f32)
    for row in classifier:
        row[:] = [f32(random.next() % 2000) / f32(1000) - f32(1) for _ in range(EMBED)]
        row /= f32(np.sqrt((row.astype(np.float64) ** 2).sum()))
    classifier = classifier.astype(np.float64)
    labels = (images.whole[1] @ classifier.T).argmax(1)
    labels = np.where(np.arange(len(labels)) % 3 == 1, (labels + 1) % CLASSES, labels)
    return np.where(unknown, -1, labels), values, classifier


class Problem:
    def __init__(self, images, convention, labels, values, classifier):
        known = (labels >= 0) & (values >= 0)
        self.heads, self.mlps = images.heads[convention].sum(3)[known], images.mlps[convention][known]
        self.whole, self.labels, self.classifier = images.whole[convention][known], labels[known], classifier
        self.group = (2 * labels + values)[known]

    def start(self, paper):
        early = slice(0, self.heads.shape[1] - LAST if paper else 0)
        mlps = self.mlps if paper else self.mlps[:, :0]
        return self.whole + (mlps.mean(0) - mlps).sum(1) + (self.heads[:, early].mean(0) - self.heads[:, early]).sum((1, 2))

    def head(self, h):
        return self.heads[:, h // 2, h % 2]

    def without(self, base, heads, paper):
        chosen = [h for h in range(6) if heads >> h & 1 and not (paper and h // 2 < self.heads.shape[1] - LAST)]
        return base + sum((self.head(h).mean(0) - self.head(h) for h in chosen), np.zeros(EMBED))

    def row(self, r):
        logits = r @ self.classifier.T
        assert (np.diff(np.sort(logits, 1))[:, -1]).min() > 1e-5  # rounding does not decide
        choice = logits.argmax(1)
        right = choice == self.labels
        answered = np.where(right, self.group, GROUPS)  # wrong is in no group
        by_group = recall_score(self.group, answered, labels=range(GROUPS), average=None)
        hits = [int(right[self.group == g].sum()) for g in range(GROUPS)]
        return [f"{x:.12f}" for x in (accuracy_score(self.labels, choice), by_group.mean(), by_group.min())] + [by_group.argmin()] + hits

    def margins(self):
        """Right class's logit less the rival's, of every head: [6, I]; and what was answered right."""
        logits, rows = self.whole @ self.classifier.T, np.arange(len(self.labels))
        others = logits.copy()
        others[rows, self.labels] = -np.inf
        rival = self.classifier[others.argmax(1)]
        own = self.classifier[self.labels]
        return np.stack([(self.head(h) * (own - rival)).sum(1) for h in range(6)]), logits.argmax(1) == self.labels

    def label_scores(self):
        margins, right = self.margins()
        accuracy = np.array([right[self.group == g].mean() for g in range(GROUPS)])
        contrast, mistakes = [], []
        for c in range(CLASSES):
            pair = accuracy[2 * c:2 * c + 2]
            best, worst = 2 * c + pair.argmax(), 2 * c + pair.argmin()
            if pair[0] != pair[1]:
                contrast.append(margins[:, self.group == best].mean(1) - margins[:, self.group == worst].mean(1))
        for g in np.flatnonzero((accuracy < accuracy.mean()) & (accuracy > 0)):
            own = self.group == g
            mistakes.append(margins[:, own & right].mean(1) - margins[:, own & ~right].mean(1))
        assert len(contrast) > 1 and mistakes
        return np.mean(contrast, 0), np.mean(mistakes, 0)

    def cue(self, h):
        texts = np.zeros((2, EMBED))
        texts[0, :2], texts[1, 2] = (0.6, 0.8), 1
        trace = lambda a, b: ((a - a.mean(0)) * (b - b.mean(0))).sum(1).mean()
        c, along, whole = self.head(h), self.head(h) @ texts.T, self.whole @ texts.T
        cross = trace(along, whole)
        return trace(along, along) / trace(c, c), cross / trace(whole, whole), cross / np.sqrt(trace(along, along) * trace(whole, whole))


def main():
    positions, images = stored(Tower(3, 2, 5, EMBED, 5, 21))
    problems = [Problem(images, c, *problem(positions, images)) for c in range(2)]
    print("#", "python tests/golden/analysis/make_groups.py")
    for c, p in enumerate(problems):
        for paper in range(2):
            print(c, paper, -1, *p.row(p.whole))
            for heads in SETS:
                print(c, paper, heads, *p.row(p.without(p.start(paper), heads, paper)))
    print(-1)
    for p in problems:
        contrast, mistakes = p.label_scores()
        for h in range(6):
            print(*(f"{x:.10f}" for x in (contrast[h], mistakes[h], *p.cue(h))))


main()
