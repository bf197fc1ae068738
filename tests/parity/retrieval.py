"""clipspan retrieve against plain NumPy and scikit-learn on the exported vectors.

    python retrieval.py --build BUILD --work DIR [--reduced]

The demo model's store of rendered scenes, in f16 and f32; `clipspan export` writes every head's vector [I, L, H, E], and
nothing factored is used from there on:

  lists      nearest images to rows, to a picture and to a text, in one head, in sets and in the whole representation;
             cosine and inner product, plain and centred, both conventions: scores within 2e-6 of the largest (observed
             3e-7) and the same images, but for ties closer than that
  precision  of every head, by columns with and without empty cells, against scikit-learn's brute-force neighbours: within
             one neighbour of a thousand (observed 0: a tie may be broken either way)

Ends with 1 when anything is out of bounds."""
import argparse
import csv
import json
import os
import subprocess
import sys

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
import numpy as np  # noqa: E402
from sklearn.neighbors import NearestNeighbors  # noqa: E402

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
DEMO = os.path.join(ROOT, "models", "demo", "clipspan-demo")
BOUND = 2e-6
HEADS = {"L4.H3": [(4, 3)], "L5.H2,L5.H5,L3.H4": [(5, 2), (5, 5), (3, 4)], "last:2": None}
failures = []


def expect(what, good, detail):
    print(f"  {'ok  ' if good else 'FAIL'} {what}: {detail}", flush=True)
    if not good:
        failures.append(what)


class Case:
    def __init__(self, args, dtype):
        self.args, self.dtype = args, dtype
        self.work = os.path.join(args.work, f"retrieval_{dtype}")
        os.makedirs(self.work, exist_ok=True)
        self.store = os.path.join(self.work, "store")
        self.environment = dict(os.environ, XDG_CACHE_HOME=os.path.join(self.work, "cache"))

    def clipspan(self, *arguments):
        done = subprocess.run([os.path.join(self.args.build, "clipspan"), *arguments, "--quiet"], env=self.environment,
                              capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"clipspan {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def make(self, scenes):
        self.clipspan("decompose", DEMO, os.path.join(scenes, "labels.csv"), "-o", self.store,
                      "--store-dtype", self.dtype)
        self.vectors = {}
        for convention in ("paper", "exact"):
            out = os.path.join(self.work, convention)
            self.clipspan("export", self.store, "--name", "s", "--model-name", "m", "--convention", convention, "-o", out)
            self.vectors[convention] = np.load(os.path.join(out, "s_attn_m.npy"))
        whole = os.path.join(self.work, "whole.npy")
        self.clipspan("embed", DEMO, "--images", os.path.join(scenes, "labels.csv"), "--no-normalize", "-o", whole)
        self.fresh = np.load(whole).astype(np.float64)
        # a store in f16 keeps embeddings in f16 too, and their lengths in f32
        self.whole = self.fresh.astype(np.float16).astype(np.float64) if self.dtype == "f16" else self.fresh


def terms(case, spec, convention, whole=None):
    if spec == "whole":
        r = case.whole if whole is None else whole
        return r / np.linalg.norm(case.fresh, axis=1, keepdims=True) if convention == "paper" else r
    attn = case.vectors[convention].astype(np.float64)
    heads = HEADS[spec] or [(l, h) for l in (4, 5) for h in range(attn.shape[2])]
    return sum(attn[:, l, h] for l, h in heads)


def scores(c, q, similarity):
    if similarity == "inner":
        return c @ q
    return (c @ q) / np.linalg.norm(c, axis=1) / np.linalg.norm(q)


def compare(found, expected, k, bound):
    """Largest difference of a score, and whether the images are the k best but for ties."""
    worst = max(abs(hit["score"] - expected[hit["row"]]) for hit in found)
    rows = [hit["row"] for hit in found]
    others = np.delete(expected, rows)
    good = len(set(rows)) == k and (len(others) == 0 or others.max() <= expected[rows].min() + bound)
    return worst, good and all(a["score"] >= b["score"] for a, b in zip(found, found[1:]))


def check_lists(case, scenes):
    text = "a photo of a red star"
    with open(os.path.join(case.work, "text.txt"), "w") as file:
        file.write(text + "\n")
    case.clipspan("embed", DEMO, "--texts", os.path.join(case.work, "text.txt"), "-o", os.path.join(case.work, "text.npy"))
    direction = np.load(os.path.join(case.work, "text.npy"))[0].astype(np.float64)
    picture = "images/000011.png"
    worst, good, lists = 0, True, 0
    for spec in [*HEADS, "whole"]:
        for variant in (0, 3, 5, 6) if case.args.reduced else range(8):
            convention = "exact" if variant & 1 else "paper"
            similarity = "inner" if variant & 2 else "cosine"
            c = terms(case, spec, convention)
            fresh = terms(case, spec, convention, case.fresh)  # of a head: what the store has
            if variant & 4:
                fresh, c = fresh - c.mean(0), c - c.mean(0)
            how = ["--convention", convention, "--similarity", similarity, *(["--centre"] if variant & 4 else []),
                   *(["--whole"] if spec == "whole" else ["--heads", spec]), "--json", "-k", "12"]
            for query in ("row", "text", "image"):
                asked = {"row": ["--row", "5"], "text": ["--text", text], "image": ["--image", os.path.join(scenes, picture)]}
                found = json.loads(case.clipspan("retrieve", case.store, *asked[query], *how))["spaces"][0]["nearest"]
                q = {"row": c[5], "text": direction, "image": fresh[11]}[query]
                expected = scores(c, q, similarity)
                if query == "row":
                    expected[5] = -np.inf
                scale = np.abs(expected[np.isfinite(expected)]).max()
                # a picture run anew is not rounded to the store's f16; its whole representation is known unrounded
                bound = BOUND if query != "image" or case.dtype == "f32" or spec == "whole" else 2e-3
                difference, order = compare(found, expected, 12, bound * scale)
                lists += 1
                good = good and order and difference < bound * scale
                if bound == BOUND:
                    worst = max(worst, difference / scale)
                if not order or difference >= bound * scale:
                    print("  ", spec, variant, query, difference / scale, order)
    expect(f"{case.dtype}: {lists} lists", good, f"scores differ by {worst:.1e} of the largest")


def precision(c, values, k):
    kept = np.array([i for i, value in enumerate(values) if value])
    c, values = c[kept], np.array(values, dtype=object)[kept]
    nearest = NearestNeighbors(n_neighbors=k + 1, algorithm="brute", metric="cosine").fit(c).kneighbors(c, return_distance=False)
    shares = []
    for i, row in enumerate(nearest):
        row = [j for j in row if j != i][:k]
        shares.append(np.mean([values[j] == values[i] for j in row]))
    return float(np.mean(shares))


def check_precision(case, scenes):
    with open(os.path.join(scenes, "labels.csv")) as file:
        rows = list(csv.DictReader(file))
    found = json.loads(case.clipspan("retrieve", case.store, "--evaluate", "setting,colour,place", "--queries", "0", "-k", "8",
                                     "--heads", "last:2", "--json"))
    worst, best, asked = 0, 0, 0
    for space in found["spaces"]:
        if "layer" in space:
            c = case.vectors["paper"][:, space["layer"], space["head"]].astype(np.float64)
        elif space["space"] == "whole":
            c = case.whole
        else:
            c = terms(case, "last:2", "paper")
        for column, value in space["precision"].items():
            expected = precision(c, [row[column] for row in rows], 8)
            worst, best, asked = max(worst, abs(value - expected)), max(best, expected), asked + 1
    chance = {column["name"]: column["chance"] for column in found["columns"]}
    expect(f"{case.dtype}: precision at 8", worst <= 1e-3 and best > 0.3 and asked == 14 * 3,
           f"{asked} figures differ by {worst:.1e}; the best is {best:.2f}, chance {chance['colour']:.2f} for the colour")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--reduced", action="store_true")
    args = parser.parse_args()
    scenes = os.path.join(args.work, "retrieval_scenes")
    subprocess.run(["rm", "-rf", scenes, *(os.path.join(args.work, f"retrieval_{d}") for d in ("f16", "f32"))], check=True)
    os.makedirs(args.work, exist_ok=True)
    subprocess.run([os.path.join(args.build, "models/demo/demo-scenes"), "dir", scenes, "--count",
                    "300" if args.reduced else "1500", "--seed", "31", "--split", "test"], check=True, capture_output=True)
    for dtype in ("f16",) if args.reduced else ("f16", "f32"):
        case = Case(args, dtype)
        case.make(scenes)
        check_lists(case, scenes)
        check_precision(case, scenes)
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
