"""TextSpan's evaluation and stability, in NumPy on exported vectors: nothing factored.

    python textspan_evaluation.py --build BUILD --work DIR

Scenes are rendered, decomposed by the demo model and exported. Then ALGORITHMS 3's evaluation is done as it is written:

  accuracy   at every size and for both pools, equal to the image; also of the three references
  distinct   equal
  explained  of the images the texts were found on, and of the others, below 1e-6 (observed 4e-7)
  stability  of 200 images: each a block of its own, so an image bootstrap. The same draws (splitmix64) are taken here, and
             TextSpan is run anew on the drawn images' vectors: shares equal but where a pick is a tie (observed: all equal)

Ends with 1 when anything differs."""
import argparse
import csv
import json
import os
import shutil
import subprocess
import sys

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
import numpy as np
import textspan

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
DEMO = os.path.join(ROOT, "models", "demo")
LAST, SIZES, SEED, MASK = 3, [1, 3, 8, 20], 0x636C697073, (1 << 64) - 1
failures = []


def expect(what, good, detail):
    print(f"  {'ok  ' if good else 'FAIL'} {what}: {detail}", flush=True)
    if not good:
        failures.append(what)


def mix(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def draw(count, r):
    """Positions that resample r takes, in the order of their drawing."""
    step = 0x9E3779B97F4A7C15
    state, taken = mix((SEED + step) & MASK) ^ mix(((r + 1) * step) & MASK), []
    for _ in range(count):
        state = (state + step) & MASK
        taken.append(((mix(state) >> 32) * count) >> 32)
    return taken


def directions(contributions, texts, size):
    """Chosen texts and their deflated unit directions: [m], [m, E]."""
    chosen, _, k = textspan.picks(contributions, texts, size)
    c, t = contributions.astype(np.float64), texts.astype(np.float64)
    axes = np.linalg.svd(c, full_matrices=False)[2][:k]
    rows = []
    for j in chosen:
        v = axes.T @ (axes @ t[j])
        for _ in range(2):
            for n in rows:
                v = v - n * (n @ v)
        rows.append(v / np.linalg.norm(v))
    return chosen, np.array(rows)


class Store:
    def __init__(self, run, clipspan_store, work, classes, column):
        out = os.path.join(work, "export")
        shutil.rmtree(out, ignore_errors=True)
        run("export", clipspan_store, "--format", "npy", "--name", "x", "--model-name", "m", "-o", out)
        load = lambda name: np.load(os.path.join(out, f"x_{name}_m.npy"))
        self.attn, self.mlp = load("attn"), load("mlp")  # [I, L, H, E], [I, L + 1, E]
        names = open(os.path.join(out, "x_images.txt"), encoding="utf-8").read().splitlines()
        self.rows, self.classes, self.column = names, classes, column

    def label(self, table):
        by_path = {r["path"]: r[self.column] for r in table}
        self.labels = np.array([self.classes.index(by_path[n]) if by_path[n] in self.classes else -1 for n in self.rows])


def accuracy(r, classifier, labels):
    known = labels >= 0
    return int(((r[known] @ classifier.T).argmax(1) == labels[known]).sum()), int(known.sum())


def evaluate(found, measured, pool, classifier):
    """found, measured: Stores. Returns [(right, distinct, explained, held_out)] by size, and the references."""
    layers, heads = found.attn.shape[1:3]
    first = layers - LAST
    mean = found.attn.astype(np.float64).mean(0)  # [L, H, E]
    own = measured.attn.astype(np.float64)
    rest = measured.mlp.astype(np.float64).sum(1)
    whole = accuracy(rest + own.sum((1, 2)), classifier, measured.labels)
    late = accuracy(rest + mean[:first].sum((0, 1)) + own[:, first:].sum((1, 2)), classifier, measured.labels)
    none = accuracy(rest + mean.sum((0, 1)), classifier, measured.labels)
    spans = {(l, h): directions(found.attn[:, l, h], pool, SIZES[-1]) for l in range(first, layers) for h in range(heads)}
    variance = lambda store, l, h: store.attn[:, l, h].astype(np.float64).var(0).sum()
    points = []
    for m in SIZES:
        r, texts = rest + mean.sum((0, 1)), set()
        told = [0.0, 0.0]
        for (l, h), (chosen, rows) in spans.items():
            r = r + (own[:, l, h] - mean[l, h]) @ rows[:m].T @ rows[:m]
            texts.update(chosen[:m])
            for i, store in enumerate((found, measured)):
                told[i] += (store.attn[:, l, h].astype(np.float64) @ rows[:m].T).var(0).sum()
        totals = [sum(variance(store, l, h) for l, h in spans) for store in (found, measured)]
        points.append((accuracy(r, classifier, measured.labels)[0], len(texts), told[0] / totals[0], told[1] / totals[1]))
    return points, whole, late, none


def compare(name, found_json, pool_at, points, whole, late, none, apart):
    scored = found_json["scored"]
    mine = [round(found_json[key] * scored) for key in ("baseline", "late", "none")]
    expect(f"{name}: references", scored == whole[1] and mine == [whole[0], late[0], none[0]],
           f"right {mine} and {[whole[0], late[0], none[0]]} of {scored} and {whole[1]}")
    sizes = found_json["pools"][pool_at]["sizes"]
    right = [round(s["top1"] * scored) for s in sizes]
    expect(f"{name}: accuracy", right == [p[0] for p in points], f"right {right}, direct {[p[0] for p in points]}")
    distinct = [s["distinct"] for s in sizes]
    expect(f"{name}: distinct texts", distinct == [p[1] for p in points], f"{distinct}")
    error = max(abs(s["explained"] - p[2]) for s, p in zip(sizes, points))
    if apart:
        error = max(error, max(abs(s["held_out"] - p[3]) for s, p in zip(sizes, points)))
    expect(f"{name}: explained", error < 1e-6, f"off by {error:.1e}; {[round(s['explained'], 3) for s in sizes]}")


def compare_stability(answer, attn, pool, resamples):
    differ, compared = [], 0
    for head in answer["heads"]:
        c, want = attn[:, head["layer"], head["head"]], [t["index"] for t in head["texts"]]
        hits = dict.fromkeys(want, 0)
        for r in range(resamples):
            for j in textspan.picks(c[draw(len(c), r)], pool, len(want))[0]:
                if j in hits:
                    hits[j] += 1
        for t in head["texts"]:
            compared += 1
            if round(t["stability"] * resamples) != hits[t["index"]]:
                differ.append(f"{head['name']} {t['text']!r}: {t['stability']}, direct {hits[t['index']] / resamples}")
    shares = [t["stability"] for head in answer["heads"] for t in head["texts"]]
    expect("stability", not differ and min(shares) < 0.9, f"{compared} texts, {len(differ)} differ {differ[:3]}; shares "
           f"{min(shares):.2f} to {max(shares):.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True)
    parser.add_argument("--work", required=True)
    given = parser.parse_args()
    build, work = os.path.abspath(given.build), os.path.join(os.path.abspath(given.work), "evaluation")
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    environment = dict(os.environ, XDG_CACHE_HOME=os.path.join(work, "cache"))

    def run(*arguments):
        done = subprocess.run([os.path.join(build, "clipspan"), *arguments], env=environment, capture_output=True)
        if done.returncode != 0:
            raise RuntimeError(f"clipspan {' '.join(arguments)}: {done.stderr.decode()[-600:]}")
        return done.stdout.decode()

    column = "shape"
    files = [os.path.join(DEMO, "zero_shot", f"{column}.{kind}.txt") for kind in ("classes", "templates")]
    classes = [line.split("\t")[0] for line in open(files[0]).read().splitlines()]
    model, stores, tables = os.path.join(DEMO, "clipspan-demo"), [], []
    for name, seed, count in (("a", "5", "200"), ("b", "6", "240")):
        images = os.path.join(work, name)
        subprocess.run([os.path.join(build, "models", "demo", "demo-scenes"), "dir", images, "--count", count, "--seed", seed,
                        "--split", "test", "--set", "single"], check=True, capture_output=True)
        run("decompose", model, os.path.join(images, "labels.csv"), "-o", os.path.join(work, name + ".store"))
        store = Store(run, os.path.join(work, name + ".store"), work, classes, column)
        store.label(list(csv.DictReader(open(os.path.join(images, "labels.csv"), newline=""))))
        stores.append(store)
    pools = []
    for name, source, keep in (("demo", os.path.join(DEMO, "pool.txt"), 2), ("general", os.path.join(ROOT, "models", "pools", "general.txt"), 12)):
        path, out = os.path.join(work, name + ".txt"), os.path.join(work, "out.npy")
        lines = open(source, encoding="utf-8").read().splitlines()[::keep]
        open(path, "w", encoding="utf-8").write("\n".join(lines) + "\n")
        run("embed", model, "--texts", path, "-o", out)
        pools.append((path, np.load(out)))
    out = os.path.join(work, "class")
    run("export", os.path.join(work, "a.store"), "--format", "npy", "--name", "x", "--model-name", "m", "-o", out, "--classes",
        files[0], "--templates", files[1], "--column", column)
    classifier = np.load(os.path.join(out, "x_classifier_m.npy")).T.astype(np.float64)
    options = ["--evaluate", "--texts", pools[0][0], "--texts", pools[1][0], "--last", str(LAST), "--sizes",
               ",".join(map(str, SIZES)), "--column", column, "--classes", files[0], "--templates", files[1], "--json"]
    same = json.loads(run("textspan", os.path.join(work, "a.store"), *options))
    other = json.loads(run("textspan", os.path.join(work, "a.store"), *options, "--held-out", os.path.join(work, "b.store")))
    for at, (path, pool) in enumerate(pools):
        name = os.path.basename(path)
        compare(f"{name}, same images", same, at, *evaluate(stores[0], stores[0], pool, classifier), False)
        compare(f"{name}, another store", other, at, *evaluate(stores[0], stores[1], pool, classifier), True)
    answer = json.loads(run("textspan", os.path.join(work, "a.store"), "--texts", pools[0][0], "--heads", "L5.H0,L4.H3",
                            "--size", "6", "--pictures", "0", "--stability", "--resamples", "20", "--json"))
    compare_stability(answer, stores[0].attn, pools[0][1], 20)
    shutil.rmtree(work)
    print("evaluation: all equal" if not failures else "evaluation: DIFFERENT: " + ", ".join(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
