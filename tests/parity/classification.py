"""clipspan classify against scikit-learn, NumPy and open_clip's own lists.

    python classification.py --build BUILD --work DIR [--reduced]

The demo model on rendered scenes, with good prompts and with spoilt ones that it gets wrong. From the exported classifier and embeddings NumPy
makes probabilities; then, figure by figure:

  confusion     all pairs against scikit-learn's confusion_matrix: equal
  by class      precision and recall against precision_recall_fscore_support: within 1e-12
  top-5         against top_k_accuracy_score: within 1e-12
  calibration   the error by Guo et al. 2017 with 15 bins, in NumPy from float64 probabilities: within 1e-5 (observed 2e-8), but for
                images whose probability is that close to an edge; the table's counts
  lists         templates and class words that tools/open_clip_lists.py writes, against open_clip's own functions: equal

Ends with 1 when anything is out of bounds."""
import argparse
import json
import os
import subprocess
import sys

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import models  # noqa: E402,F401  (first: it defines what torchvision asks for)
import numpy as np  # noqa: E402
import open_clip  # noqa: E402
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support, top_k_accuracy_score  # noqa: E402

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
DEMO = os.path.join(ROOT, "models", "demo", "clipspan-demo")
failures = []


def expect(what, good, detail):
    print(f"  {'ok  ' if good else 'FAIL'} {what}: {detail}", flush=True)
    if not good:
        failures.append(what)


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr}")
    return done.stdout


def calibration(p, right, bins=15):
    """Expected calibration error and images a bin."""
    edges, error, counts = np.linspace(0, 1, bins + 1), 0.0, []
    for low, high in zip(edges[:-1], edges[1:]):
        inside = (p > low) & (p <= high)
        counts.append(int(inside.sum()))
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - p[inside].mean())
    return error, counts


def garbled(path, out):
    """The same labels with words spelt backwards: a poor classifier, so that there is much to confuse."""
    with open(path, encoding="utf-8") as file, open(out, "w", encoding="utf-8") as to:
        for line in file.read().splitlines():
            label, _, words = line.partition("\t")
            to.write(f"{label}\t{(words or label)[::-1]}\n")
    return out


def check_scores(args, column, spoilt):
    work, scenes = os.path.join(args.work, "classification"), os.path.join(args.work, "classification", "scenes")
    clipspan, store = os.path.join(args.build, "clipspan"), os.path.join(work, "store")
    classes = os.path.join(ROOT, "models", "demo", "zero_shot", f"{column}.classes.txt")
    if spoilt:
        classes = garbled(classes, os.path.join(work, f"{column}.txt"))
    how = ["--column", column, "--classes", classes, "--templates", "single", "--quiet"]
    found = json.loads(run(clipspan, "classify", store, *how, "--json"))
    run(clipspan, "export", store, "--name", "s", "--model-name", "m", *how, "-o", os.path.join(work, column))
    run(clipspan, "embed", DEMO, "--images", os.path.join(scenes, "labels.csv"), "-o", os.path.join(work, "r.npy"), "--quiet")
    classifier = np.load(os.path.join(work, column, "s_classifier_m.npy")).astype(np.float64)
    labels = np.load(os.path.join(work, column, "s_labels.npy"))
    kept = labels >= 0
    info = json.loads(run(clipspan, "info", store, "--json"))
    logits = info["logit_scale"] * (np.load(os.path.join(work, "r.npy")).astype(np.float64) @ classifier)[kept]
    labels = labels[kept]
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    choice, count = p.argmax(1), classifier.shape[1]

    matrix = confusion_matrix(labels, choice, labels=range(count))
    names = {entry["name"]: i for i, entry in enumerate(found["classes"])}
    own = np.zeros_like(matrix)
    for pair in found["confusions"]:
        own[names[pair["class"]], names[pair["taken_for"]]] = pair["images"]
    for i, entry in enumerate(found["classes"]):
        own[i, i] = entry["right"]
    order = [pair["images"] for pair in found["confusions"]]
    enough = len(order) >= (6 if spoilt else 1)
    expect(f"{column}: confusion matrix", (own == matrix).all() and order == sorted(order, reverse=True) and enough,
           f"{len(labels)} images, {len(order)} wrong pairs, top-1 {found['top1']:.3f}")
    precision, recall, _, support = precision_recall_fscore_support(labels, choice, labels=range(count), zero_division=np.nan)
    worst = 0
    for i, entry in enumerate(found["classes"]):
        for mine, theirs in ((entry["precision"], precision[i]), (entry["recall"], recall[i])):
            if mine is None:
                worst = max(worst, 0 if np.isnan(theirs) else 1)
            else:
                worst = max(worst, abs(mine - theirs))
        worst = max(worst, abs(entry["images"] - support[i]))
    expect(f"{column}: precision and recall", worst < 1e-12, f"{count} classes differ by {worst:.1e}")
    if count > 5:
        top5 = top_k_accuracy_score(labels, p, k=5, labels=range(count))
        expect(f"{column}: top-5", abs(top5 - found["top5"]) < 1e-12, f"{top5:.4f}")
    error, counts = calibration(p.max(1), choice == labels)
    mine = found["calibration"]
    edge = np.abs(p.max(1) * 15 - np.round(p.max(1) * 15)).min() / 15
    same = [entry["images"] for entry in mine["bins"]] == counts or edge < 1e-6
    difference = abs(error - mine["error"])
    expect(f"{column}: calibration", same and difference < 1e-5 and error > 1e-3, f"{error:.5f}, differs by {difference:.1e}")


def check_lists(args):
    out = os.path.join(args.work, "classification", "lists")
    run(sys.executable, os.path.join(ROOT, "tools", "open_clip_lists.py"), out)
    read = [open(os.path.join(out, name), encoding="utf-8").read().splitlines() for name in ("templates.txt", "classes.txt")]
    templates = [t("some thing") for t in open_clip.OPENAI_IMAGENET_TEMPLATES]
    expect("lists: templates", [line.replace("{}", "some thing") for line in read[0]] == templates, f"{len(templates)}")
    words = [f"{i}\t{name}" for i, name in enumerate(open_clip.IMAGENET_CLASSNAMES)]
    expect("lists: classes", read[1] == words, f"{len(words)}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--reduced", action="store_true")
    args = parser.parse_args()
    work = os.path.join(args.work, "classification")
    subprocess.run(["rm", "-rf", work], check=True)
    os.makedirs(work)
    run(os.path.join(args.build, "models/demo/demo-scenes"), "dir", os.path.join(work, "scenes"), "--count",
        "400" if args.reduced else "2000", "--seed", "41", "--split", "test")
    run(os.path.join(args.build, "clipspan"), "decompose", DEMO, os.path.join(work, "scenes", "labels.csv"), "-o",
        os.path.join(work, "store"), "--quiet")
    for column, spoilt in (("count", False), ("place", True), ("shape", True)):
        check_scores(args, column, spoilt)
    check_lists(args)
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
