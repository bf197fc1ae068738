"""MLP terms by neuron, against transformers' own module and NumPy in double precision.

    tests/parity/neurons.py --clipspan BUILD/clipspan --work DIR [--reduced]

Hooks on a CLIPModel (models.py: random weights, perturbed) take the class token's hidden activations and its last residual
stream; from them and the weights alone every tensor of a store's neurons.safetensors is made again. Compared: lengths of
directions, sums and squares of the factors in both conventions, the MLP terms' sums, all relative to the largest of a
tensor, below 1e-4; the top images (activations within 1e-4 of the largest; the images themselves wherever activations are
further apart than that); and that the neurons' mean contributions and what is left are the mean MLP term, below 1e-5.
"""
import argparse
import os
import shutil
import subprocess
import sys
import time

import models
import numpy as np
import sources
import torch
from safetensors.numpy import load_file


def observe(reference, paths):
    """Activations [L, I, M], MLP outputs' class token [L, I, D], the class token before ln_post [I, D]."""
    vision = reference.model.vision_model
    kept = {"a": [], "m": [], "x": []}
    handles = []
    for layer in vision.encoder.layers:
        handles.append(layer.mlp.fc2.register_forward_pre_hook(lambda _, i: kept["a"].append(i[0][0, 0].double().numpy())))
        handles.append(layer.mlp.register_forward_hook(lambda _, i, o: kept["m"].append(o[0, 0].double().numpy())))
    handles.append(vision.post_layernorm.register_forward_pre_hook(
        lambda _, i: kept["x"].append(i[0].double().numpy().reshape(-1, i[0].shape[-1])[0])))
    r = np.concatenate([reference.encode_images([reference.pixels(p)]) for p in paths]).astype(np.float64)
    for handle in handles:
        handle.remove()
    layers, images = len(vision.encoder.layers), len(paths)
    shape = lambda k: np.stack(kept[k]).reshape(images, layers, -1).transpose(1, 0, 2)
    return shape("a"), shape("m"), np.stack(kept["x"]), r


def numpy_of(t):
    return t.detach().double().numpy()


def directions(reference):
    """g [L, M, E] in pieces, b [L, E], ones [E], beta P [E]."""
    vision = reference.model.vision_model
    projection = numpy_of(reference.model.visual_projection.weight).T  # [D, E]
    scaled = numpy_of(vision.post_layernorm.weight)[:, None] * projection
    for layer in vision.encoder.layers:
        f, b = numpy_of(layer.mlp.fc2.weight).T, numpy_of(layer.mlp.fc2.bias)  # [M, D], [D]
        yield (f - f.mean(1, keepdims=True)) @ scaled, (b - b.mean()) @ scaled


def apart(found, expected):
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def tops(found_values, found_images, a, k):
    """Worst difference of values; images that differ although their activation is not another's."""
    wrong, worst, scale = 0, 0.0, np.abs(a).max()
    for side, sign in ((0, -1), (1, 1)):
        order = np.argsort(sign * a, axis=0, kind="stable")[:k].T  # [M, K]
        values = np.take_along_axis(a.T, order, 1)
        worst = max(worst, np.abs(found_values[:, side] - values).max() / scale)
        own = np.take_along_axis(a.T, found_images[:, side], 1)
        wrong += int((np.abs(own - values) > 1e-4 * scale).sum())
    return float(worst), wrong


def compare(name, clipspan, work, count):
    folder, pictures, store = (os.path.join(work, x) for x in ("model", "images", "store"))
    for path in (folder, pictures, store):
        shutil.rmtree(path, ignore_errors=True)
    reference, path, _ = models.make(name, folder)
    paths = sources.pictures(pictures, count, 12)
    began = time.time()
    subprocess.run([clipspan, "decompose", path, pictures, "-o", store, "--neurons", "--quiet"], check=True)
    seconds = time.time() - began
    found = load_file(os.path.join(store, "neurons.safetensors"))
    a, m, x, r = observe(reference, paths)
    vision = reference.model.vision_model
    eps, layers = vision.post_layernorm.eps, len(a)
    terms = 2 * layers + 1
    projection = numpy_of(reference.model.visual_projection.weight).T
    gamma, beta = numpy_of(vision.post_layernorm.weight), numpy_of(vision.post_layernorm.bias)
    sigma, mu = np.sqrt(x.var(1) + eps), x.mean(1)
    norm = np.linalg.norm(r, axis=1)
    ones, constant = gamma @ projection, beta @ projection
    scales = {"exact": 1 / sigma, "paper": 1 / (sigma * norm)}
    errors, identity, wrong = {}, 0.0, 0

    def note(what, value):
        errors[what] = max(errors.get(what, 0.0), value if np.isfinite(value) else np.inf)  # max passes over nan

    for l, (g, b) in enumerate(directions(reference)):
        note("length", apart(found["length"][l], np.linalg.norm(g, axis=1)))
        mean = m[l].mean(1)  # of the MLP's output over D
        for convention, scale in scales.items():
            s = a[l] * scale[:, None]
            note("sums", apart(found[f"{convention}.sum"][l], s.sum(0)))
            note("squares", apart(found[f"{convention}.squares"][l], (s ** 2).sum(0)))
            if convention == "exact":
                term = ((m[l] - mean[:, None]) * gamma) @ projection * scale[:, None]
                rest = b * scale[:, None]
            else:
                term = (((m[l] - mu[:, None] / terms) * gamma / sigma[:, None] + beta / terms) @ projection) / norm[:, None]
                rest = (b + (mean - mu / terms)[:, None] * ones) * scale[:, None] + constant / (terms * norm[:, None])
            note("terms", apart(found[f"{convention}.mlp.sum"][l], term.sum(0)))
            note("term squares", apart(found[f"{convention}.mlp.squares"][l], (term ** 2).sum()))
            whole = found[f"{convention}.sum"][l] @ g + rest.sum(0)
            identity = float(np.maximum(identity, apart(whole, found[f"{convention}.mlp.sum"][l])))
        top = found["top.image"].shape[3]
        value, images = tops(found["top.activation"][l][:, :, :min(top, count)],
                             found["top.image"][l][:, :, :min(top, count)], a[l], min(top, count))
        note("activations", value)
        wrong += images
    good = max(errors.values()) < 1e-4 and identity < 1e-5 and wrong == 0
    print(f"  {'ok ' if good else 'BAD'} {name}: " + ", ".join(f"{k} {v:.1e}" for k, v in errors.items()) +
          f", neurons + rest = MLP term {identity:.1e}, {wrong} top images differ; {a.shape[0]} x {a.shape[2]} neurons, "
          f"{count} images, {seconds:.0f} s", flush=True)
    for path in (folder, pictures, store):
        shutil.rmtree(path)
    models.forget()
    return not good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clipspan", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--reduced", action="store_true")
    given = parser.parse_args()
    os.makedirs(given.work, exist_ok=True)
    names = [("small-huggingface", 14)] + ([] if given.reduced else [("B-32-huggingface", 14), ("L-14-huggingface", 10)])
    return 1 if sum(compare(name, given.clipspan, given.work, count) for name, count in names) else 0


if __name__ == "__main__":
    sys.exit(main())
