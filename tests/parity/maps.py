"""Holds clipspan's maps against NumPy, in fp64, from what a store keeps (docs/store.md) and the formulas of ALGORITHMS 2
and 7: no step is shared with the program but the store's files and the texts' embeddings.

    maps.py --build BUILD --work DIR [--reduced]

  maps     whole, by layer, by head, both conventions, from a store and from the model: |a - b| below 2e-6 of the largest
  minus    a text minus another, and minus the mean of all
  sums     a head's map summed over all places is the head's own term (from z) times the text
  picture  the overlay is a PNG that Pillow opens, of the colours that its legend shows

Ends with 1 when anything is out of bounds.
"""
import argparse
import json
import os
import subprocess
import sys

import numpy as np
from PIL import Image
from safetensors.numpy import load_file

TEXTS = ["a red circle", "snow", "a small striped triangle"]
BOUND = 2e-6  # observed: at most 4e-7


class Work:
    def __init__(self, build, work):
        self.build, self.work, self.failures = build, work, 0
        os.makedirs(work, exist_ok=True)
        self.environment = dict(os.environ, XDG_CACHE_HOME=os.path.join(work, "cache"))

    def path(self, name):
        return os.path.join(self.work, name)

    def run(self, program, *arguments):
        done = subprocess.run([os.path.join(self.build, program), *arguments], env=self.environment, text=True,
                              capture_output=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{program} {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def check(self, name, error, bound=BOUND):
        good = error < bound
        self.failures += not good
        print(f"  {name:44} {error:.1e} {'' if good else f'ABOVE {bound:.0e}'}")


def load_store(store):
    """All shards in one: tensors by name, fp64."""
    with open(os.path.join(store, "manifest.json"), encoding="utf-8") as file:
        manifest = json.load(file)
    shards = [load_file(os.path.join(store, shard["file"])) for shard in manifest["shards"]]
    image_axis = {"tokens": 1, "z": 1}
    joined = {name: np.concatenate([s[name] for s in shards], axis=image_axis.get(name.split(".")[0], 0)).astype(np.float64)
              for name in shards[0] if name.split(".")[0] in ("z", "tokens", "mu", "sigma", "norm", "embedding")}
    basis = {k: v.astype(np.float64) for k, v in load_file(os.path.join(store, "basis.safetensors")).items()}
    return joined, basis


def defined(store, basis, texts, convention):
    """Maps [I, T, L, H, N] and effects [I, T, L, H], in fp64, the vectors of the joint space made whole."""
    layers, heads = basis["w"].shape[:2]
    count, tokens = len(store["mu"]), store["tokens.0"].shape[2]
    terms = 2 * layers + 1
    mu, sigma, norm = (store[k][:, None, None] for k in ("mu", "sigma", "norm"))
    maps = np.zeros((count, len(texts), layers, heads, tokens))
    effects = np.zeros((count, len(texts), layers, heads))
    for l in range(layers):
        for h in range(heads):
            for parts, z in ((tokens, store[f"tokens.{l}"][h]), (1, store[f"z.{l}"][h][:, None])):
                if convention == "paper":
                    shares = terms * heads * parts
                    c = (z @ basis["w"][l, h] + basis["bias"][l] / (heads * parts) - mu * basis["ones"] / shares) / sigma
                    c = (c + basis["constant"] / shares) / norm
                else:
                    c = (z @ basis["w"][l, h] - (z @ basis["w_mean"][l, h])[..., None] * basis["ones"]) / sigma
                found = np.einsum("ine,te->itn", c, texts)
                if parts == 1:
                    effects[:, :, l, h] = found[:, :, 0]
                else:
                    maps[:, :, l, h] = found
    return maps, effects


def off_by(got, expected):
    """Largest difference, of the largest value; a shape that is not expected is no match at all."""
    if got.shape != expected.shape:
        return float("inf")
    largest = np.abs(expected).max()
    assert largest > 1e-6, "nearly nothing would prove nothing"
    return np.abs(got - expected).max() / largest


def ask(work, subject, convention, detail, *more):
    out = work.path("map.npy")
    text_options = [word for text in TEXTS for word in ("--text", text)]
    work.run("clipspan", "map", *subject, *text_options, "--convention", convention, "--detail", detail, "--npy", out,
             "--top", "0", "-o", os.devnull, "--quiet", *more)
    return np.load(out).astype(np.float64)


def compare(work, name, model, images):
    store = work.path(name + ".store")
    subprocess.run(["rm", "-rf", store], check=True)
    work.run("clipspan", "decompose", model, images, "-o", store, "--tokens", "--shard-images", "3", "--quiet")
    with open(work.path("texts.txt"), "w", encoding="utf-8") as file:
        file.write("\n".join(TEXTS) + "\n")
    work.run("clipspan", "embed", model, "--texts", work.path("texts.txt"), "-o", work.path("texts.npy"), "--quiet")
    texts = np.load(work.path("texts.npy")).astype(np.float64)
    numbers, basis = load_store(store)
    print(f"{name}: {len(numbers['mu'])} images, {basis['w'].shape[0]} x {basis['w'].shape[1]} heads")
    for convention in ("paper", "exact"):
        maps, effects = defined(numbers, basis, texts, convention)
        work.check(f"{convention}: sums are the heads' effects", off_by(maps.sum(-1), effects))
        flat = maps.reshape(*maps.shape[:2], -1, maps.shape[-1])
        for source, subject in (("store", [store]), ("model", [model, images])):
            work.check(f"{convention}, {source}: whole",
                       off_by(ask(work, subject, convention, "whole"), maps.sum((2, 3))[:, :, None]))
            work.check(f"{convention}, {source}: by layer", off_by(ask(work, subject, convention, "layer"), maps.sum(3)))
            work.check(f"{convention}, {source}: by head", off_by(ask(work, subject, convention, "head"), flat))
        some = ask(work, [store], convention, "whole", "--heads", "last:1", "--rows", "1,0")
        work.check(f"{convention}: the last layer, two rows", off_by(some, maps[[1, 0], :, -1].sum(2)[:, :, None]))
        mean = ask(work, [store], convention, "whole", "--minus-mean")
        whole = maps.sum((2, 3))[:, :, None]
        work.check(f"{convention}: minus the mean", off_by(mean, whole - whole.mean(1, keepdims=True)))
        minus = ask(work, [store], convention, "whole", "--minus", TEXTS[1])
        work.check(f"{convention}: minus a text", off_by(minus, whole - whole[:, 1:2]))
    check_report(work, store, numbers, basis, texts)


def check_report(work, store, numbers, basis, texts):
    """JSON's numbers, and the picture."""
    out, picture = work.path("map.json"), work.path("map.png")
    text_options = [word for text in TEXTS for word in ("--text", text)]
    work.run("clipspan", "map", store, *text_options, "--rows", "0-1", "--json", "-o", out, "--png", picture, "--quiet")
    with open(out, encoding="utf-8") as file:
        report = json.load(file)
    maps, effects = defined(numbers, basis, texts, "paper")
    whole = maps.sum((2, 3))
    side = report["side"]
    cosines = np.einsum("ie,te->it", numbers["embedding"] / numbers["norm"][:, None], texts)
    worst = 0.0
    for i, image in enumerate(report["images"]):
        for t, text in enumerate(image["texts"]):
            part, patches = text["parts"][0], whole[i, t, 1:].reshape(side, side)
            at = np.unravel_index(patches.argmax(), patches.shape)
            pairs = [(text["score"], cosines[i, t]), (part["effect"], effects[i, t].sum()), (part["total"], whole[i, t].sum()),
                     (part["class_token"], whole[i, t, 0]), (part["for"], patches[patches > 0].sum()),
                     (part["against"], patches[patches < 0].sum()), (part["min"], patches.min()), (part["max"], patches.max())]
            worst = max([worst, np.abs(np.array(part["values"]) - patches).max()] + [abs(a - b) for a, b in pairs])
            worst = max(worst, 0.0 if (part["row"], part["column"]) == at else 1.0)
    work.check("JSON", worst, 1e-5)
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("RGB"))
    colours = len(np.unique(pixels.reshape(-1, 3) >> 3, axis=0))
    work.check(f"picture of {pixels.shape[1]} x {pixels.shape[0]}: few colours", 100 / colours, 1)


def main():
    parser = argparse.ArgumentParser(description="clipspan's maps against NumPy.")
    parser.add_argument("--build", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--reduced", action="store_true")
    arguments = parser.parse_args()
    work = Work(os.path.abspath(arguments.build), os.path.abspath(arguments.work))
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    images = work.path("scenes")
    subprocess.run(["rm", "-rf", images], check=True)
    work.run("models/demo/demo-scenes", "dir", images, "--count", "4", "--seed", "11", "--split", "test")
    compare(work, "demo", os.path.join(root, "models", "demo", "clipspan-demo"), os.path.join(images, "labels.csv"))
    if not arguments.reduced:
        model = work.path("B-16")
        subprocess.run(["rm", "-rf", model], check=True)
        work.run("tests/make_model", model, "--layers", "12", "--width", "768", "--heads", "12", "--mlp", "3072", "--image",
                 "224", "--patch", "16", "--embed", "512")
        compare(work, "B-16, random", model, os.path.join(images, "labels.csv"))
    sys.exit(1 if work.failures else 0)


if __name__ == "__main__":
    main()
