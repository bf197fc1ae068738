"""`clipspan groups` done again in NumPy, scikit-learn and SciPy, from the arrays that `clipspan export` writes.

    python groups.py --build BUILD --work DIR [--reduced]

  members   groups and halves: XXH3 of the images' names by the xxhash package, the smaller half of each group is searched
  accuracy  average, mean of groups, worst group and every group by scikit-learn's accuracy_score and
            balanced_accuracy_score on the representation with every term in full: equal to the image
  intervals Wilson's by SciPy: below 1e-9 (observed 3e-16); bootstrap's by resampling the images again: within one
            image of the smallest group and a point (observed: one image; other random numbers)
  rules     heads that each rule takes, in order, from their definitions in docs/groups.md: equal

for both protocols and both conventions, on pictures of birds and the demo model. Ends with 1 when anything differs."""
import argparse
import csv
import glob
import json
import os
import subprocess
import sys
import warnings

import numpy as np
import xxhash
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, balanced_accuracy_score

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
DEMO = os.path.join(ROOT, "models", "demo")
CUE = ["something on water", "something on grass"]
CLASSES = ["heron", "wren"]
MOST = 10
failures = []
warnings.filterwarnings("ignore", message="y_pred contains classes not in y_true")  # -1: wrong, whatever it was


def expect(what, good, detail):
    if not good:
        failures.append(what)
        print(f"  FAIL {what}: {detail}", flush=True)


class Problem:
    """Everything in float64; classes as in the file, groups by class and the bytes of the value."""

    def __init__(self, arrays, rows, convention):
        one = lambda kind: np.load(glob.glob(os.path.join(arrays, f"birds_{kind}_clipspan-demo.npy"))[0]).astype(np.float64)
        self.heads, self.mlps, self.classifier = one("attn"), one("mlp"), one("classifier")
        self.constant = one("constant") if convention == "exact" else np.zeros((len(rows), self.heads.shape[-1]))
        self.whole = self.heads.sum((1, 2)) + self.mlps.sum(1) + self.constant
        self.labels = np.array([CLASSES.index(row["label"]) for row in rows])
        settings = sorted({row["setting"] for row in rows})
        self.group = np.array([CLASSES.index(r["label"]) * len(settings) + settings.index(r["setting"]) for r in rows])
        self.search = np.zeros(len(rows), bool)
        for g in range(self.group.max() + 1):
            of = sorted(np.flatnonzero(self.group == g), key=lambda i: xxhash.xxh3_128_hexdigest(rows[i]["path"].encode()))
            self.search[of[:len(of) // 2]] = True

    def start(self, paper):
        """The representation before any head is named, and the candidates."""
        base, layers = self.whole.copy(), self.heads.shape[1]
        if paper:
            base += (self.mlps.mean(0) - self.mlps).sum(1)
            base += (self.heads[:, :layers - 4].mean(0) - self.heads[:, :layers - 4]).sum((1, 2))
        first = layers - 4 if paper else 0
        return base, [(l, h) for l in range(first, layers) for h in range(self.heads.shape[2])]

    def without(self, base, heads):
        out = base.copy()
        for l, h in heads:
            out += self.heads[:, l, h].mean(0) - self.heads[:, l, h]
        return out

    def right(self, r):
        return (r @ self.classifier).argmax(1) == self.labels

    def by_group(self, right, rows):
        return np.array([right[rows & (self.group == g)].mean() for g in range(self.group.max() + 1)])

    def prefix(self, base, order):
        """The shortest beginning of the best worst group on the searched half."""
        worst = [self.by_group(self.right(self.without(base, order[:n])), self.search).min() for n in range(len(order) + 1)]
        return order[:int(np.argmax(worst))]

    def ranked(self, base, candidates, score):
        order = sorted((h for h in candidates if score(h) > 0), key=lambda h: (-score(h), h))[:MOST]
        return self.prefix(base, order)

    def greedy(self, base, candidates):
        order, left = [], list(candidates)
        for _ in range(min(MOST, len(left))):
            def key(head):
                accuracy = self.by_group(self.right(self.without(base, order + [head])), self.search)
                return accuracy.min(), round(accuracy.mean(), 12)
            best = max(left, key=lambda head: (key(head), [-x for x in head]))
            order.append(best)
            left.remove(best)
        return self.prefix(base, order)

    def margins(self, head):
        logits = self.heads[:, head[0], head[1]] @ self.classifier
        rows = np.arange(len(logits))
        return logits[rows, self.labels] - logits[rows, 1 - self.labels]

    def contrast(self, base):
        right, s = self.right(base), self.search
        accuracy, halves = self.by_group(right, s), len(set(self.group)) // 2
        pairs = []
        for c in range(2):
            own = np.arange(c * halves, (c + 1) * halves)
            pairs.append((own[accuracy[own].argmax()], own[accuracy[own].argmin()]))
        mean = lambda m, g: m[s & (self.group == g)].mean()
        return lambda head: np.mean([mean(self.margins(head), a) - mean(self.margins(head), b) for a, b in pairs])

    def mistakes(self, base):
        right, s = self.right(base), self.search
        accuracy = self.by_group(right, s)
        bad = [g for g in range(len(accuracy)) if accuracy[g] < accuracy.mean() and accuracy[g] > 0]

        def score(head):
            m = self.margins(head)
            return np.mean([m[s & (self.group == g) & right].mean() - m[s & (self.group == g) & ~right].mean() for g in bad])
        return score

    def cue(self, texts):
        q, _ = np.linalg.qr(texts.T)
        trace = lambda a, b: ((a - a.mean(0)) * (b - b.mean(0))).sum(1).mean()
        whole = (self.whole @ q)[self.search]
        own = lambda head: self.heads[self.search, head[0], head[1]]
        along = lambda head: trace(own(head) @ q, own(head) @ q)
        cross = lambda head: trace(own(head) @ q, whole)
        return {"cue: own variance": lambda h: along(h) / trace(own(h), own(h)),
                "cue: passing": lambda h: cross(h) / trace(whole, whole),
                "cue: correlation": lambda h: cross(h) / np.sqrt(along(h) * trace(whole, whole))}


def check_row(p, base, said, what, observed):
    heads = [tuple(int(x) for x in name[1:].split(".H")) for name in said["heads"]]
    rows = ~p.search
    right = p.right(p.without(base, heads))
    groups, plain = p.by_group(right, rows), p.by_group(p.right(p.whole), rows)
    predicted = np.where(right, p.labels, 1 - p.labels)[rows]
    numbers = {"average": accuracy_score(p.labels[rows], predicted), "worst": groups.min(),
               "balanced": balanced_accuracy_score(p.group[rows], np.where(right[rows], p.group[rows], -1)) if right[rows].any()
               else 0, "change": groups.min() - plain.min()}
    for key, value in numbers.items():
        expect(f"{what} {key}", abs(said[key]["value"] - value) < 1e-12, f"{said[key]['value']} is not {value}")
    wilson = [binomtest(int(round(g * n)), int(n)).proportion_ci(0.95, "wilson") for g, n in
              zip(groups, np.bincount(p.group[rows]))]
    for g, interval in enumerate(wilson):
        away = max(abs(said["groups"][g]["low"] - interval.low), abs(said["groups"][g]["high"] - interval.high))
        observed["wilson"] = max(observed["wilson"], away)
        expect(f"{what} group {g}", abs(said["groups"][g]["value"] - groups[g]) < 1e-12 and away < 1e-9, str(away))
    random, draws = np.random.default_rng(1), []
    for _ in range(2000):
        draws.append(min(right[random.choice(of, len(of))].mean() for of in
                         (np.flatnonzero(rows & (p.group == g)) for g in range(len(groups)))))
    away = np.abs(np.percentile(draws, [2.5, 97.5]) - [said["worst"]["low"], said["worst"]["high"]]).max()
    observed["bootstrap"] = max(observed["bootstrap"], away)
    image = 1 / np.bincount(p.group[rows]).min()
    expect(f"{what} bootstrap", away < image + 0.01, str(away))


def compare(run, p, texts, convention, paper, observed):
    what = f"{convention}, {'paper' if paper else 'heads'}"
    arguments = ["groups", "store", "--attribute", "setting", "--classes", f"{DEMO}/zero_shot/bird.classes.txt",
                 "--templates", f"{DEMO}/zero_shot/bird.templates.txt", "--convention", convention, "--json", "--quiet",
                 "--protocol", "paper" if paper else "heads", "--heads", "L2.H1,L4.H0", "--most", str(MOST)]
    for text in CUE:
        arguments += ["--cue", text]
    said = json.loads(run(*arguments))
    base, candidates = p.start(paper)
    for g, group in enumerate(said["groups"]):
        expect(f"{what} members", group["searched"] == (p.search & (p.group == g)).sum(), str(group))
    expected = {"given": [(2, 1), (4, 0)], "greedy": p.greedy(base, candidates),
                "contrast of groups": p.ranked(base, candidates, p.contrast(base)),
                "right and wrong": p.ranked(base, candidates, p.mistakes(base))}
    for name, score in p.cue(texts).items():
        expected[name] = p.ranked(base, candidates, score)
    rules = [row["rule"] for row in said["rows"]]
    expect(f"{what}: every rule once", set(expected) <= set(rules) and len(set(rules)) == len(rules), str(rules))
    for row in said["rows"]:
        first = row["rule"] == "as it is"
        check_row(p, p.whole if first else base, row, f"{what}: {row['rule']}", observed)
        heads = [f"L{l}.H{h}" for l, h in expected.get(row["rule"], [])]
        expect(f"{what}: {row['rule']}", row["heads"] == heads, f"{row['heads']} are not {heads}")
        observed["heads"] += len(heads)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--reduced", action="store_true")
    args = parser.parse_args()
    build, work = os.path.abspath(args.build), os.path.abspath(args.work)
    os.makedirs(work, exist_ok=True)
    subprocess.run(["rm", "-rf", *(os.path.join(work, name) for name in ("birds", "store", "arrays"))], check=True)
    run = lambda *words: subprocess.run([f"{build}/clipspan", *words], check=True, cwd=work, capture_output=True,
                                        text=True).stdout
    subprocess.run([f"{build}/models/demo/demo-scenes", "dir", f"{work}/birds", "--count", "300" if args.reduced else "1000",
                    "--seed", "5", "--split", "test", "--set", "birds"], check=True, capture_output=True)
    run("decompose", f"{DEMO}/clipspan-demo", "birds/labels.csv", "-o", "store", "--quiet")
    with open(f"{work}/birds/labels.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with open(f"{work}/cue.txt", "w", encoding="utf-8") as file:
        file.write("\n".join(CUE) + "\n")
    run("embed", f"{DEMO}/clipspan-demo", "--texts", "cue.txt", "-o", "cue.npy", "--quiet")
    texts = np.load(f"{work}/cue.npy").astype(np.float64)
    observed = {"wilson": 0.0, "bootstrap": 0.0, "heads": 0}
    for convention in ("paper", "exact"):
        run("export", "store", "--name", "birds", "-o", f"arrays/{convention}", "--convention", convention, "--quiet",
            "--classes", f"{DEMO}/zero_shot/bird.classes.txt", "--templates", f"{DEMO}/zero_shot/bird.templates.txt")
        problem = Problem(f"{work}/arrays/{convention}", rows, convention)
        for paper in (False, True):
            compare(run, problem, texts, convention, paper, observed)
    expect("heads", observed["heads"] > 40, "the rules took nearly no heads: nothing was compared")
    print(f"groups: {observed['heads']} heads by rule; Wilson's intervals differ by at most {observed['wilson']:.1e}, the "
          f"bootstrap's by {100 * observed['bootstrap']:.1f} points; {len(failures)} problems")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
