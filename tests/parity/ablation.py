"""clipspan ablate against ALGORITHMS 4's formulas in NumPy, float64, on the arrays that clipspan export writes.

    python ablation.py --build BUILD --work DIR [--reduced]

Cases: the demo model on scenes it can classify, and random models (a small one; at full size ViT-B-16 without --reduced)
with labels dealt at random. Each with means of the scored images, means of another store, and zero; both conventions.

  accuracy   every ablation's top-1 and top-5, to the image. Where float32 cannot tell (two cosines nearer than 2e-6 at the
             place that decides) an image may fall on either side: as many may differ, and the number is printed
  logits     mean of the right class, and its drop: below 1e-5 of the logit scale (observed 4e-9 to 2e-8)
  intervals  of top-1 and of both drops: the same draws in NumPy: below 1e-5 of the logit scale (observed 1.1e-7),
             accuracies below 1e-6 (observed 0)

Ends with 1 when anything is out of bounds."""
import argparse
import csv
import json
import os
import shutil
import subprocess
import sys

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import numpy as np  # noqa: E402

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
DEMO = os.path.join(ROOT, "models", "demo")
RESAMPLES, SEED, TIE = 80, 11, 2e-6
failures = []


def expect(what, good, detail):
    print(f"  {'ok  ' if good else 'FAIL'} {what}: {detail}", flush=True)
    if not good:
        failures.append(what)


class Command:
    def __init__(self, build, work):
        self.build, self.clipspan = build, os.path.join(build, "clipspan")
        self.environment = dict(os.environ, XDG_CACHE_HOME=os.path.join(work, "cache"))

    def __call__(self, *arguments):
        done = subprocess.run([self.clipspan, *arguments], env=self.environment, capture_output=True)
        if done.returncode != 0:
            raise RuntimeError(f"clipspan {' '.join(arguments)}: {done.stderr.decode()[-600:]}")
        return done.stdout.decode()


# ---- the formulas -------------------------------------------------------------------------------------------


class Arrays:
    """One export: attn [I, L, H, E], mlp [I, L + 1, E], cls [I, L, E], constant [I, E], norm [I]."""

    def __init__(self, run, store, folder, convention):
        run("export", store, "--name", "a", "--model-name", "m", "--convention", convention, "-o", folder)

        def load(part):
            return np.load(os.path.join(folder, f"a_{part}_m.npy")).astype(np.float64)

        self.attn, self.mlp, self.cls = load("attn"), load("mlp"), load("cls_attn")
        self.constant = load("constant") if convention == "exact" else np.zeros_like(self.mlp[:, 0])
        whole = self.attn.sum((1, 2)) + self.mlp.sum(1) + self.constant
        self.norm = np.linalg.norm(whole, axis=-1) if convention == "exact" else np.ones(len(whole))


def ablations(a, means, heads):
    """(kind, index) -> [I, E]; means: an Arrays whose means are put in, or None for zero."""
    layers, per_layer = a.attn.shape[1:3]

    def put(part):
        return 0 if means is None else getattr(means, part).mean(0)

    attn, mlp, cls = put("attn") - a.attn, put("mlp") - a.mlp, put("cls") - a.cls
    whole = a.attn.sum((1, 2)) + a.mlp.sum(1) + a.constant
    out = {("nothing", 0): whole, ("mlps", 0): whole + mlp.sum(1), ("cls", 0): whole + cls.sum(1),
           ("mlps_cls", 0): whole + mlp.sum(1) + cls.sum(1)}
    by_layer = attn.sum(2)
    for l in range(layers):
        out["up_to", l] = whole + by_layer[:, :l + 1].sum(1)
        out["up_to_mlps", l] = out["up_to", l] + mlp.sum(1)
        out["layer", l] = whole + by_layer[:, l]
        for h in range(per_layer):
            out["head", l * per_layer + h] = whole + attn[:, l, h]
    for t in range(layers + 1):
        out["mlp", t] = whole + mlp[:, t]
    out["set", 0] = whole + sum(attn[:, l, h] for l, h in heads)
    return out


def judge(vectors, norm, classifier, labels, scale):
    """Rank of the right class, its logit, and whether rounding could change top-1 or top-5."""
    cosine = vectors / norm[:, None] @ classifier
    rows = np.arange(len(labels))
    right = cosine[rows, labels]
    before = (cosine > right[:, None]) | ((cosine == right[:, None]) & (np.arange(cosine.shape[1]) < labels[:, None]))
    others = cosine.copy()
    others[rows, labels] = -np.inf
    ordered = -np.sort(-others, axis=1)
    fifth = ordered[:, min(4, ordered.shape[1] - 1)]
    return before.sum(1), scale * right, np.abs(ordered[:, 0] - right) < TIE, np.abs(fifth - right) < TIE


# ---- the bootstrap ------------------------------------------------------------------------------------------


def mix(z):
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def draws(images):
    """[RESAMPLES, images]: which image each draw takes."""
    step = np.uint64(0x9E3779B97F4A7C15)
    with np.errstate(over="ignore"):
        start = mix(np.uint64(SEED) + step) ^ mix((np.arange(RESAMPLES, dtype=np.uint64) + np.uint64(1)) * step)
        states = start[:, None] + (np.arange(images, dtype=np.uint64) + np.uint64(1)) * step
        return (((mix(states) >> np.uint64(32)) * np.uint64(images)) >> np.uint64(32)).astype(np.int64)


def interval(values, taken):
    return np.percentile(values[taken].mean(1), [2.5, 97.5])


# ---- one case -----------------------------------------------------------------------------------------------


def compare(name, told, arrays, means, heads, classifier, labels):
    scale, taken = told["logit_scale"], draws(len(labels))
    made = ablations(arrays, means, heads)
    worst = {"top1": 0, "top5": 0, "logit": 0.0, "interval": 0.0, "accuracy interval": 0.0}
    ties, spread, seen, base = [0, 0], set(), 0, None
    for entry in told["ablations"]:
        vectors = made[entry["kind"], entry["index"]]
        if np.abs(vectors).max() < 1e-5:  # all terms at zero: what rounding leaves is no representation
            vectors = np.zeros_like(vectors)
        rank, logit, near1, near5 = judge(vectors, arrays.norm, classifier, labels, scale)
        right = (rank == 0).astype(float)
        if base is None:
            base = (right, logit)
        found = entry["direct"]
        for key, hits, near, slot in (("top1", rank == 0, near1, 0), ("top5", rank < 5, near5, 1)):
            off = abs(round(found[key]["value"] * len(labels)) - int(hits.sum()))
            worst[key] = max(worst[key], off - int(near.sum()))
            ties[slot] += int(near.sum())
        worst["logit"] = max(worst["logit"], abs(found["logit"]["value"] - logit.mean()) / scale,
                             abs(found["logit_drop"]["value"] - (base[1] - logit).mean()) / scale)
        low, high = interval(base[1] - logit, taken)
        worst["interval"] = max(worst["interval"], abs(found["logit_drop"]["low"] - low) / scale,
                                abs(found["logit_drop"]["high"] - high) / scale)
        if not near1.any():
            for key, values in (("top1", right), ("top1_drop", base[0] - right)):
                low, high = interval(values, taken)
                worst["accuracy interval"] = max(worst["accuracy interval"], abs(found[key]["low"] - low),
                                                 abs(found[key]["high"] - high))
        spread.add(round(found["top1"]["value"], 4))
        seen += 1
    expect(f"{name}: all ablations are there", seen == len(made), f"{seen} of {len(made)}")
    # A random model puts nearly all images into one class: there the logits are what is compared, accuracy says little.
    expect(f"{name}: they differ", len(spread) >= (4 if name.startswith("demo") else 2) and np.ptp([e["direct"]["logit"]["value"] for e in told["ablations"]]) > .05,
           f"{len(spread)} accuracies")
    expect(f"{name}: top-1 and top-5", worst["top1"] <= 0 and worst["top5"] <= 0,
           f"equal to the image ({ties[0]} and {ties[1]} of {seen * len(labels)} too near to tell)")
    expect(f"{name}: logits", worst["logit"] < 1e-5, f"{worst['logit']:.1e} of the logit scale")
    expect(f"{name}: intervals", worst["interval"] < 1e-5 and worst["accuracy interval"] < 1e-6,
           f"logits {worst['interval']:.1e}, accuracies {worst['accuracy interval']:.1e}")


def case(run, work, name, model, pictures, others, column, classes, templates):
    store, second = os.path.join(work, f"{name}-store"), os.path.join(work, f"{name}-others")
    for path, source in ((store, pictures), (second, others)):
        shutil.rmtree(path, ignore_errors=True)
        run("decompose", model, source, "-o", path, "--store-dtype", "f32", "--quiet")
    with open(pictures, newline="") as file:
        rows = list(csv.DictReader(file))
    with open(classes) as file:
        names = [line.rstrip("\n").split("\t")[0] for line in file if line.strip()]
    scored = np.array([row[column] in names for row in rows])
    labels = np.array([names.index(row[column]) for row in rows if row[column] in names])
    prompts = ["--classes", classes, "--column", column] + (["--templates", templates] if templates else [])
    folder = os.path.join(work, f"{name}-arrays")
    run("export", store, "--name", "c", "--model-name", "m", "-o", folder, *prompts)
    classifier = np.load(os.path.join(folder, "c_classifier_m.npy")).astype(np.float64)
    for convention in ("paper", "exact"):
        mine = Arrays(run, store, folder, convention)
        theirs = Arrays(run, second, os.path.join(work, f"{name}-arrays2"), convention)
        layers, per_layer = mine.attn.shape[1:3]
        heads = [(layers - 1, h) for h in range(per_layer)] + [(0, 1)]
        named = ",".join(f"L{l}.H{h}" for l, h in heads)
        alone = keep(mine, scored)
        for manner, means, options in (("means", mine, []), ("other means", theirs, ["--mean-from", second]),
                                       ("zero", None, ["--zero"])):
            told = json.loads(run("ablate", store, *prompts, *options, "--heads", named, "--convention", convention,
                                  "--resamples", str(RESAMPLES), "--seed", str(SEED), "--json", "--quiet"))
            expect(f"{name}, {convention}, {manner}: scored", told["scored"] == len(labels), f"{len(labels)} images")
            compare(f"{name}, {convention}, {manner}", told, alone, means, heads, classifier, labels)


def keep(arrays, rows):
    """The scored images alone: the others count in the means."""
    out = object.__new__(Arrays)
    for part in ("attn", "mlp", "cls", "constant", "norm"):
        setattr(out, part, getattr(arrays, part)[rows])
    return out


# ---- cases --------------------------------------------------------------------------------------------------


def scenes(run, work, name, count, seed):
    folder = os.path.join(work, name)
    if not os.path.exists(os.path.join(folder, "labels.csv")):  # the same seed gives the same scenes
        subprocess.check_call([os.path.join(run.build, "models", "demo", "demo-scenes"), "dir", folder, "--count",
                               str(count), "--seed", str(seed), "--split", "test", "--set", "single"],
                              stdout=subprocess.DEVNULL)
    return os.path.join(folder, "labels.csv")


def dealt(work, name, count, classes, seed):
    """Pictures of every kind, with labels dealt at random; one in ten has none."""
    import sources
    folder = os.path.join(work, name)
    rng = np.random.default_rng(seed)
    paths = sources.pictures(folder, count, seed)
    path = folder + ".csv"  # beside the pictures: the folder is all pictures
    with open(path, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "class"])
        for picture in paths:
            rows.writerow([os.path.relpath(picture, work),
                           "" if rng.random() < 0.1 else f"thing {rng.integers(classes)}"])
    return path


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--reduced", action="store_true")
    arguments = parser.parse_args()
    work = os.path.join(arguments.work, "ablation")
    os.makedirs(work, exist_ok=True)
    run = Command(arguments.build, work)
    zero_shot = os.path.join(DEMO, "zero_shot")
    print("demo model")
    case(run, work, "demo", os.path.join(DEMO, "clipspan-demo"), scenes(run, work, "single", 150, 3),
         scenes(run, work, "single-others", 60, 4), "shape", os.path.join(zero_shot, "shape.classes.txt"),
         os.path.join(zero_shot, "shape.templates.txt"))
    names = os.path.join(work, "things.txt")
    with open(names, "w") as file:
        file.writelines(f"thing {c}\tthe {c}. thing, {c * c}\n" for c in range(40))
    import models
    for name in ["small-open_clip"] + ([] if arguments.reduced else ["B-16-open_clip"]):
        print(name)
        _, model, _ = models.make(name, os.path.join(work, name))
        models.forget()
        case(run, work, name, model, dealt(work, "dealt", 40, 40, 5), dealt(work, "dealt-others", 12, 40, 6), "class", names,
             None)
    if failures:
        print(f"{len(failures)} of the comparisons with NumPy failed")
        sys.exit(1)


main()
