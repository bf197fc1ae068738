#!/usr/bin/env python3
"""A scaling model of clipspan, fitted to measured runs: images, heads, texts and ranks against time, disk and memory.

    bench/scaling.py [--clipspan build/release/clipspan] [--model DIR --images LIST] [--quick] [--json FILE]

Runs `decompose` as 1 and more parts side by side, with one thread each, over growing stretches of the list; `merge`; and
`textspan` with growing pools and numbers of heads. Fits plain linear models by least squares, prints each with its largest
residual, and what a million and a billion images would cost by them: an estimate, nothing that was measured. Processor seconds
are what is fitted, since other work on the machine disturbs the clock; there may be more ranks than processors. For ViT-L-14 the
time is scaled by FLOPs and the disk computed from the format, where another model was measured. Standard library only.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

DAY = 86400.0
LARGE = {"name": "ViT-L-14", "layers": 24, "heads": 16, "width": 1024, "mlp_width": 4096, "tokens": 257, "patch_size": 14,
         "embed_dim": 768}


def least_squares(rows, values):
    """Weights w of min |rows w - values|^2 with w >= 0: a weight that comes out negative is left out of the model. Columns are
    scaled to the same size first."""
    columns = list(range(len(rows[0])))
    while True:
        scale = [max(abs(r[c]) for r in rows) or 1.0 for c in columns]
        a = [[sum(r[c] / s * r[d] / t for r in rows) for d, t in zip(columns, scale)] for c, s in zip(columns, scale)]
        b = [sum(r[c] / s * v for r, v in zip(rows, values)) for c, s in zip(columns, scale)]
        solution = [x / s for x, s in zip(solve(a, b), scale)]
        worst = min(range(len(columns)), key=lambda i: solution[i] * scale[i])
        if solution[worst] >= 0 or len(columns) == 1:
            weights = [0.0] * len(rows[0])
            for c, x in zip(columns, solution):
                weights[c] = x
            return weights
        del columns[worst]


def solve(a, b):
    """Gaussian elimination with pivots; a ridge of 1e-12 keeps a column that never varies from dividing by zero."""
    n = len(b)
    m = [row[:] + [v] for row, v in zip(a, b)]
    for i in range(n):
        m[i][i] += 1e-12
    for i in range(n):
        p = max(range(i, n), key=lambda r: abs(m[r][i]))
        m[i], m[p] = m[p], m[i]
        for r in range(i + 1, n):
            f = m[r][i] / m[i][i]
            for c in range(i, n + 1):
                m[r][c] -= f * m[i][c]
    x = [0.0] * n
    for i in reversed(range(n)):
        x[i] = (m[i][n] - sum(m[i][c] * x[c] for c in range(i + 1, n))) / m[i][i]
    return x


class Fit:
    """value = sum of weight x term; terms: name -> list of numbers, one a run."""

    def __init__(self, what, unit, terms, values):
        self.what, self.unit, self.names = what, unit, list(terms)
        rows = list(zip(*terms.values()))
        self.weights = least_squares(rows, values)
        self.residual = max(abs(self.at(r) - v) for r, v in zip(rows, values))
        self.largest = max(values)

    def at(self, row):
        return sum(w * x for w, x in zip(self.weights, row))

    def show(self):
        terms = " + ".join(f"{w:.4g}" if n == "1" else f"{w:.4g} x {n}" for n, w in zip(self.names, self.weights) if w > 0)
        print(f"  {self.what:34} = {terms or 0} {self.unit}   (largest residual {self.residual:.2g} of {self.largest:.3g})")

    def record(self):
        return {"what": self.what, "unit": self.unit, "terms": dict(zip(self.names, self.weights)),
                "largest_residual": self.residual, "largest_value": self.largest}


def start(command):
    quiet = dict(os.environ, OMP_WAIT_POLICY="passive")
    return subprocess.Popen(command, env=quiet, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process):
    """(processor seconds, peak bytes)"""
    message = process.stderr.read().decode(errors="replace")
    _, code, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(code)
    process.stderr.close()
    if process.returncode != 0:
        sys.exit(f"{' '.join(process.args)}: {message}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def run(command):
    """(wall seconds, processor seconds, peak bytes)"""
    began = time.monotonic()
    processor, peak = finish(start(command))
    return time.monotonic() - began, processor, peak


def disk(folder):
    return sum(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder))


def measure_decompose(o, work, images, ranks, options):
    """One store of `images` images in `ranks` parts side by side, one thread each, and their merge."""
    store = os.path.join(work, "store")
    shutil.rmtree(store, ignore_errors=True)
    base = [o.clipspan, "decompose", o.model, o.images, "-o", store, "--limit", str(images), "--shard-images", str(o.shard),
            "--batch", str(o.batch), "--threads", "1", "--quiet", *options]
    began = time.monotonic()
    parts = [start(base + (["--part", f"{k + 1}/{ranks}"] if ranks > 1 else [])) for k in range(ranks)]
    ended = [finish(p) for p in parts]
    wall = time.monotonic() - began
    merging = run([o.clipspan, "merge", store, "--quiet"])[0] if ranks > 1 else 0.0
    return {"images": images, "ranks": ranks, "wall": wall, "processor": sum(e[0] for e in ended),
            "peak": max(e[1] for e in ended), "disk": disk(store), "merge": merging}


def pictures_of(listing):
    """A few pictures of a list file, or of the first column of a CSV, as absolute paths."""
    folder = os.path.dirname(os.path.abspath(listing))
    with open(listing, encoding="utf-8") as file:
        lines = [line.strip().split(",")[0] for line in file if line.strip()]
    found = [os.path.join(folder, line) for line in lines]
    return [path for path in found if os.path.isfile(path)][:16]


def measure_list(o, work, listed):
    """Peak memory where the list is long: one shard of it, its sums alone."""
    path, store = os.path.join(work, "long.txt"), os.path.join(work, "long")
    shutil.rmtree(store, ignore_errors=True)
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(f"{o.pictures[i % len(o.pictures)]}\n" for i in range(listed))
    peak = run([o.clipspan, "decompose", o.model, path, "-o", store, "--moments", "--shard-images", str(o.shard), "--batch",
                str(o.batch), "--threads", "1", "--quiet", "--part", f"1/{-(-listed // o.shard)}"])[2]
    return {"listed": listed, "peak": peak}


def make_pool(path, texts):
    words = "red blue green small large old new round square bright dark wet dry cold warm plain".split()
    with open(path, "w", encoding="utf-8") as file:
        for t in range(texts):
            file.write(f"a {words[t % 16]} {words[t // 16 % 16]} thing number {t}\n")


def flops(m):
    """Of one image's plain forward: products of every layer, attention, patches."""
    n, d = m["tokens"], m["width"]
    layer = 2 * n * (4 * d * d + 2 * d * m["mlp_width"]) + 4 * n * n * d
    return m["layers"] * layer + 2 * (n - 1) * 3 * m["patch_size"] ** 2 * d


def stored(m):
    """Bytes an image in f16 with MLP and class-token terms (docs/store.md, Size), checksums included."""
    e, layers = m["embed_dim"], m["layers"]
    return 1.001 * (20 + 2 * (e + layers * m["width"]) + (layers + 1) * (2 * e + 4) + layers * (2 * e + 4))


def estimate(fits, model):
    """What the fitted lines say far outside of what was measured."""
    times = flops(LARGE) / flops(model)
    print("\nESTIMATE (the fitted lines, far outside of what was measured; ranks of one thread of this machine; f16, heads, MLPs and class token)")
    print(f"  {LARGE['name']}: this model's processor seconds an image x {times:.0f}, the ratio of their FLOPs ({flops(LARGE) / 1e9:.0f} "
          f"GFLOP an image); bytes by the format")
    print(f"  {'model':>14} {'images':>14} {'core days':>10} {'days: 64':>9} {'1,024':>8} {'16,384 ranks':>12} {'store':>10} {'list a rank':>12}")
    out = []
    start, image = fits["processor"].weights
    size = fits["disk"].weights[1]
    for name, seconds, room in ((model["name"], image, size), (LARGE["name"], image * times, stored(LARGE))):
        for images in (10**6, 10**9):
            days = [(start + seconds * images / ranks + fits["merge"].at([1, ranks])) / DAY for ranks in (64, 1024, 16384)]
            listed = fits["peak"].weights[1] * images
            out.append({"model": name, "images": images, "core_seconds": seconds * images, "days": days, "bytes": room * images,
                        "list_bytes": listed})
            print(f"  {name:>14} {images:>14,} {seconds * images / DAY:>10.4g} {days[0]:>9.3g} {days[1]:>8.3g} {days[2]:>12.3g} "
                  f"{room * images / 1e9:>7.5g} GB {listed / 1e9:>9.3g} GB")
    print("  Every rank holds the whole list: one that does not fit must be cut into several stores.\n"
          "  Shared disks, decoding of larger pictures, broken machines and energy are not in it; small models use less of a processor's\n"
          "  peak than large ones, so times by FLOPs are too long rather than too short. Moments alone take a constant "
          f"{fits['moments'].weights[0] / 1e6:.1f} MB\n  and {fits['moments'].weights[1]:.0f} bytes an image, the list.")
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--clipspan", default="build/release/clipspan")
    p.add_argument("--model", help="default: the demo's model")
    p.add_argument("--images", help="a list of images; default: scenes drawn for it")
    p.add_argument("--quick", action="store_true", help="half as many images")
    p.add_argument("--json", help="also write everything here")
    o = p.parse_args()
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    with tempfile.TemporaryDirectory() as work:
        demo = o.model is None
        if demo:
            o.model = os.path.join(root, "models/demo/clipspan-demo")
            o.images = os.path.join(work, "scenes/labels.csv")
            scenes = os.path.join(os.path.dirname(os.path.abspath(o.clipspan)), "models/demo/demo-scenes")
            subprocess.run([scenes, "dir", os.path.join(work, "scenes"), "--count", "1024", "--seed", "7", "--split", "test"],
                           check=True, stdout=subprocess.DEVNULL)
        o.batch = 16 if demo else 4
        o.shard = 128 if demo else 8
        sizes = [256, 512, 1024] if demo else [16, 32, 64]
        if o.quick:
            sizes = [n // 2 for n in sizes]
            o.shard //= 2
        cores = len(os.sched_getaffinity(0))
        rank_counts = [r for r in (1, 2, 4, 8) if r <= max(4, cores)]
        print(f"{o.model}: {sizes} images, {rank_counts} ranks of one thread, {cores} processors")
        f16 = ["--store-dtype", "f16"]
        runs = [measure_decompose(o, work, n, r, f16) for n in sizes for r in rank_counts]
        for r in runs:
            print(f"  {r['images']:>6} images, {r['ranks']} ranks: {r['wall']:.2f} s, {r['processor']:.2f} processor s, "
                  f"{r['peak'] / 1e6:.0f} MB a rank, {r['disk'] / 1e6:.2f} MB of disk, merge {r['merge']:.2f} s")
        heads_only = [measure_decompose(o, work, n, 1, f16 + ["--no-mlp", "--no-cls"]) for n in sizes]
        o.pictures = pictures_of(o.images)
        lists = [measure_list(o, work, n) for n in (1000, 100000, 200000)]
        moments = [measure_decompose(o, work, n, 1, ["--moments"]) for n in sizes]

        def column(rows, key):
            return [r[key] for r in rows]

        one = [1.0] * len(runs)
        parted = [r for r in runs if r["ranks"] > 1]
        fits = {
            "processor": Fit("processor seconds, all ranks", "s", {"ranks": column(runs, "ranks"),
                                                                   "images": column(runs, "images")},
                             column(runs, "processor")),
            "merge": Fit("seconds of merge", "s", {"1": [1.0] * len(parted), "ranks": column(parted, "ranks")},
                         column(parted, "merge")),
            "disk": Fit("bytes of a store, f16", "B", {"1": one, "images": column(runs, "images")}, column(runs, "disk")),
            "heads": Fit("bytes of heads alone, f16", "B", {"1": [1.0] * len(sizes), "images": sizes},
                         column(heads_only, "disk")),
            "moments": Fit("bytes of moments alone", "B", {"1": [1.0] * len(sizes), "images": sizes},
                           column(moments, "disk")),
            "peak": Fit("peak bytes of a rank", "B", {"1": [1.0] * len(lists), "images of the list": column(lists, "listed")},
                        column(lists, "peak")),
        }

        model = json.loads(subprocess.run([o.clipspan, "info", o.model, "--json"], check=True, capture_output=True,
                                          text=True).stdout)
        layers = model["layers"]
        spans = []
        for texts in (500, 1000, 2000):
            pool = os.path.join(work, f"pool{texts}.txt")
            make_pool(pool, texts)
            os.environ["XDG_CACHE_HOME"] = os.path.join(work, "cache")
            for last in (1, min(4, layers)):
                command = [o.clipspan, "textspan", os.path.join(work, "store"), "--model", o.model, "--texts", pool, "--size",
                           "20", "--heads", f"last:{last}", "--quiet", "-o", os.path.join(work, "span.txt")]
                run(command)  # the pool is embedded once and kept
                wall, processor, peak = run(command)
                spans.append({"texts": texts, "layers": last, "wall": wall, "processor": processor, "peak": peak})
        fits["textspan"] = Fit("processor seconds of textspan", "s",
                               {"1": [1.0] * len(spans), "texts x layers": [s["texts"] * s["layers"] for s in spans]},
                               column(spans, "processor"))
        print("\nFITTED (least squares)")
        for f in fits.values():
            f.show()
        rows = estimate(fits, model)
        if o.json:
            with open(o.json, "w", encoding="utf-8") as file:
                json.dump({"model": o.model, "processors": cores, "runs": runs, "heads_only": heads_only, "moments": moments,
                           "lists": lists, "textspan": spans, "fits": {k: f.record() for k, f in fits.items()}, "estimate": rows}, file,
                          indent=1)


if __name__ == "__main__":
    main()
