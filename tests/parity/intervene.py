"""Heads replaced inside the network, against PyTorch's forward hooks on transformers' own module.

    tests/parity/intervene.py --driver BUILD/tests/intervene_driver --work DIR [--reduced]

A hook before every out-projection of a CLIPModel (models.py: random weights, perturbed) first collects what the heads
write, by token, and then overwrites the chosen heads' columns. Compared are the means over the images and the embeddings
under the intervention, each: largest |a - b| / largest |b| of a row, below 1e-4. The replacement must move the embeddings
by a twentieth of their length at least, else it proves nothing.
"""
import argparse
import os
import shutil
import subprocess
import sys

import models
import numpy as np
import sources
import torch

CASES = [("zeros", "L1.H0,L2"), ("class", "L0.H1,L1,last:1"), ("every", "L0.H1,L1,last:1"), ("every", "last:2")]


class Hooks:
    """Before the out-projections: what the heads write is kept, or overwritten by values [L, H, N or 1, d]."""

    def __init__(self, model):
        vision = model.config.vision_config
        self.heads, self.width = vision.num_attention_heads, vision.hidden_size // vision.num_attention_heads
        self.layers = model.vision_model.encoder.layers
        self.kept, self.chosen, self.values = [None] * len(self.layers), None, None
        for l, layer in enumerate(self.layers):
            layer.self_attn.out_proj.register_forward_pre_hook(self._hook(l))

    def _hook(self, l):
        def run(module, inputs):
            z = inputs[0].clone()  # [B, N, D]
            if self.chosen is None:
                self.kept[l] = z
                return None
            for h in range(self.heads):
                if self.chosen[l, h]:
                    v = self.values[l, h]  # [N or 1, d]
                    z[:, : len(v), h * self.width:(h + 1) * self.width] = torch.from_numpy(v)
            return (z,)
        return run

    def means(self, run, images):
        """[L, H, N, d] in double, the last layer's class token alone."""
        total = 0
        for i in range(images):
            run(i)
            z = torch.stack([k[0] for k in self.kept]).double().numpy()  # [L, N, D]
            total = total + z.reshape(*z.shape[:2], self.heads, self.width).transpose(0, 2, 1, 3)
        total[-1, :, 1:] = 0
        return total / images


def chosen_heads(words, layers, heads):
    chosen = np.zeros((layers, heads), bool)
    for word in words.split(","):
        if word.startswith("last:"):
            chosen[layers - int(word[5:]):] = True
        else:
            layer, _, head = word[1:].partition(".H")
            chosen[int(layer), int(head) if head else slice(None)] = True
    return chosen


def relative(found, expected):
    found, expected = np.atleast_2d(found), np.atleast_2d(expected)
    return float((np.abs(found - expected).max(1) / np.abs(expected).max(1)).max())


def compare(name, driver, work, count):
    folder, pictures, out = (os.path.join(work, x) for x in ("model", "images", "out.f32"))
    for path in (folder, pictures):
        shutil.rmtree(path, ignore_errors=True)
    reference, path, _ = models.make(name, folder)
    paths = sources.pictures(pictures, count, 11)
    pixels = [reference.pixels(p)[None] for p in paths]
    hooks = Hooks(reference.model)
    plain = reference.encode_images([p[0] for p in pixels])
    means = hooks.means(lambda i: reference.encode_images([pixels[i][0]]), count)
    bad = 0
    for how, words in CASES:
        subprocess.run([driver, path, pictures, words, how, out], check=True)
        found = np.fromfile(out, dtype="<f4")
        found_means, found = found[:means.size].reshape(means.shape), found[means.size:].reshape(count, -1)
        hooks.chosen = chosen_heads(words, *means.shape[:2])
        values = (np.zeros_like(means) if how == "zeros" else means).astype(np.float32)
        hooks.values = values[:, :, :1] if how == "class" else values
        expected = reference.encode_images([p[0] for p in pixels])
        hooks.chosen = None
        error, moved = relative(found, expected), np.linalg.norm(expected - plain) / np.linalg.norm(plain)
        of_means = relative(found_means.reshape(len(means), -1), means.reshape(len(means), -1))
        good = error < 1e-4 and of_means < 1e-4 and moved > 0.05
        bad += not good
        print(f"  {'ok ' if good else 'BAD'} {name}: {how} {words}: embeddings {error:.1e}, means {of_means:.1e}, "
              f"moved by {moved:.2f} of their length", flush=True)
    for path in (folder, pictures):
        shutil.rmtree(path)
    os.remove(out)
    models.forget()
    return bad


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--driver", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--reduced", action="store_true")
    given = parser.parse_args()
    os.makedirs(given.work, exist_ok=True)
    names = [("small-huggingface", 9)] + ([] if given.reduced else [("B-32-huggingface", 5), ("L-14-huggingface", 5)])
    return 1 if sum(compare(name, given.driver, given.work, count) for name, count in names) else 0


if __name__ == "__main__":
    sys.exit(main())
