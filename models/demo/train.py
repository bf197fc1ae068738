"""Trains the demo's CLIP on scenes from `demo-scenes raw`. One command:

    python train.py --data DIR --minutes 90

DIR holds single, scenes and birds (.rgb, .attr; split train) and test-single,
test-scenes, test-birds (split test, never trained on); README.md has the lines
that make them. The run ends after --minutes of training on this machine, or
--steps; killed, it goes on from DIR/checkpoint.pt. The log goes to DIR/train.log.
"""
import argparse
import math
import pathlib
import time

import numpy as np
import torch
import torch.nn.functional as F

import bpe
import net
import words

PIXELS = 96 * 96 * 3
LOOK_SIZES = (11, 10, 4, 3)  # kind or nothing, colour, texture, size


class Scenes:
    """Images and records of one raw file, mapped, not loaded."""

    def __init__(self, stem):
        self.records = np.fromfile(f"{stem}.attr", dtype=words.RECORD)
        self.images = np.memmap(f"{stem}.rgb", np.uint8, "r", shape=(len(self.records), 96, 96, 3))

    def take(self, indices):
        indices = np.sort(indices)
        return patchify(self.images[indices]), self.records[indices]


def patchify(images):
    """[B,96,96,3] bytes -> [B,144,192] in [-1,1], each patch channel by channel."""
    x = torch.from_numpy(np.ascontiguousarray(images))
    x = x.view(-1, 12, 8, 12, 8, 3).permute(0, 1, 3, 5, 2, 4).reshape(-1, 144, 192)
    return x.float().mul_(1 / 127.5).sub_(1)


WINDOW = 7  # patches a side: holds the largest object


def windows(rng, patches, records):
    """Cuts a window of patches around each only object: a third of the work, and
    all that shape needs. Returns the patches and which ones they are."""
    owned = (records["owner"] != 0).reshape(-1, 12, 12)
    corner = []
    for axis in (2, 1):
        weight = owned.sum(axis)
        middle = (weight * np.arange(12)).sum(1) / np.maximum(1, weight.sum(1))
        start = np.rint(middle - WINDOW // 2 + rng.uniform(-1, 1, len(records)))
        corner.append(np.clip(start, 0, 12 - WINDOW).astype(np.int64))
    span = np.arange(WINDOW)
    rows, columns = corner[0][:, None] + span, corner[1][:, None] + span
    where = (rows[:, :, None] * 12 + columns[:, None, :]).reshape(len(records), -1)
    where = torch.from_numpy(where)
    return patches.gather(1, where[:, :, None].expand(-1, -1, patches.shape[2])), where


class Batches:
    """Mixed batches: whole pictures of one object, of one to four, of birds; and,
    early on, windows around single objects instead of most of them."""

    def __init__(self, folder, size):
        self.size = size
        self.parts = [Scenes(folder / name) for name in ("single", "scenes", "birds")]

    def take(self, rng, part, n):
        return self.parts[part].take(rng.choice(len(self.parts[part].records), n, replace=False))

    def whole(self, rng, progress):
        """-> patches, records of whole pictures, and of windows (or None)."""
        early = progress < 0.4
        shares = [0.08, 0.16, 0.06] if early else [0.21, 0.28, 0.20]  # whole pictures cost more
        numbers = [int(s * self.size) for s in shares]
        got = [self.take(rng, part, n) for part, n in enumerate(numbers)]
        patches, records = torch.cat([g[0] for g in got]), np.concatenate([g[1] for g in got])
        if not early:
            return patches, records, None
        seen, cut = self.take(rng, 0, int(0.75 * self.size))
        seen, where = windows(rng, seen, cut)
        return patches, np.concatenate([records, cut]), (seen, where)


# ---- losses -------------------------------------------------------------------

def pack(tokenizer, texts):
    ids = [tokenizer.encode(t) for t in texts]
    ends = torch.tensor([len(i) - 1 for i in ids])
    table = torch.full((len(ids), 1 + int(ends.max())), ids[0][-1])
    for row, i in zip(table, ids):
        row[:len(i)] = torch.tensor(i)
    return table, ends


class Heads(torch.nn.Module):
    """Thrown away after training: what stands in each place, from the class
    token; what covers each patch, from the last-but-one layer."""

    def __init__(self):
        super().__init__()
        self.places = torch.nn.Linear(net.WIDTH, 9 * sum(LOOK_SIZES))
        self.scene = torch.nn.Linear(net.WIDTH, 8 + 4)
        self.patch = torch.nn.Sequential(torch.nn.LayerNorm(net.WIDTH),
                                         torch.nn.Linear(net.WIDTH, sum(LOOK_SIZES)))


def look_loss(logits, looks):
    """logits [N, 28]; looks [N, 4] of kind (10: nothing), colour, texture, size."""
    parts = logits.float().split(LOOK_SIZES, -1)
    loss = 2 * F.cross_entropy(parts[0], looks[:, 0])  # shape is learnt last
    filled = looks[:, 0] != 10
    for part, target in zip(parts[1:], looks[filled][:, 1:].unbind(1)):
        loss = loss + F.cross_entropy(part[filled], target)
    return loss


def place_targets(records):
    looks = np.full((len(records), 9, 4), 10, dtype=np.int64)
    for i in range(4):
        o = records["object"][:, i].astype(np.int64)
        there = np.nonzero(o[:, 0] != 255)[0]
        looks[there, o[there, 4]] = o[there, :4]
    return torch.from_numpy(looks)


def patch_targets(records):
    table = np.full((len(records), 5, 4), 10, dtype=np.int64)
    table[:, 1:] = records["object"][:, :, :4]
    looks = np.take_along_axis(table, records["owner"].astype(np.int64)[:, :, None], 1)
    return torch.from_numpy(looks)


def auxiliary_losses(heads, cls, early, records, where):
    """early: [N, W] patches of all pictures; where: which patches of each."""
    places = look_loss(heads.places(cls).view(-1, 28), place_targets(records).view(-1, 4))
    setting, count = heads.scene(cls).float().split((8, 4), -1)
    scene = F.cross_entropy(setting, torch.from_numpy(records["setting"].astype(np.int64)))
    scene = scene + F.cross_entropy(count, torch.from_numpy(records["count"].astype(np.int64) - 1))
    targets, whole = patch_targets(records), len(records)
    if where is not None:
        whole -= len(where)
        cut = targets[whole:].gather(1, where[:, :, None].expand(-1, -1, 4))
        targets = torch.cat([targets[:whole].reshape(-1, 4), cut.reshape(-1, 4)])
    patch = look_loss(heads.patch(early), targets.reshape(-1, 4))
    return places + scene, patch


def attribute_targets(records):
    """attribute -> (images it is asked of, right class)."""
    one = (records["count"] == 1) & (records["bird"] == 0)
    first = records["object"][:, 0].astype(np.int64)
    shapes = np.nonzero(records["bird"] == 0)[0]
    single, birds = np.nonzero(one)[0], np.nonzero(records["bird"] == 1)[0]
    out = {"setting": (shapes, records["setting"][shapes].astype(np.int64)),
           "count": (shapes, records["count"][shapes].astype(np.int64) - 1)}
    for i, name in enumerate(("shape", "colour", "texture", "size", "place")):
        out[name] = (single, first[single, i])
    out["bird"] = (birds, first[birds, 0] - 8)
    return out


def attribute_loss(images, texts, spans, scale, records):
    """Zero-shot cross-entropy: each attribute's prompts against the images."""
    loss = 0.0
    for name, (rows, right) in attribute_targets(records).items():
        if len(rows):
            logits = scale * images[torch.from_numpy(rows)] @ texts[spans[name]].t()
            weight = 3 if name == "bird" else 1  # a hard pair, in few pictures
            loss = loss + weight * F.cross_entropy(logits, torch.from_numpy(right))
    return loss


def caption_loss(images, texts, scale, true):
    """texts: the B own captions, then swapped ones. Other true captions are no
    negatives; nor, for a caption, other images it is true of."""
    n = len(images)
    logits = scale * images @ texts.t()
    own = torch.zeros_like(true)
    own[torch.arange(n), torch.arange(n)] = True
    logits = logits.masked_fill(true & ~own, -1e4)
    at = torch.arange(n)
    return F.cross_entropy(logits, at) + 0.5 * F.cross_entropy(logits[:, :n].t(), at)


def draw_texts(rng, records, swaps):
    """Prompts of every attribute under one template each, captions, swapped ones."""
    texts, spans = [], {}
    for name, entry in words.PROMPTS.items():
        template = entry["templates"][rng.integers(len(entry["templates"]))]
        spans[name] = slice(len(texts), len(texts) + len(entry["classes"]))
        texts += words.prompts_of(name, template)
    captions = [words.random_caption(rng, r) for r in records]
    for _ in range(swaps):
        captions += [words.swapped_caption(rng, c, r) for c, r in zip(captions, records)]
    start = len(texts)
    texts += [words.say(c, int(rng.integers(8))) for c in captions]
    return texts, spans, start, torch.from_numpy(words.truth(records, captions))


# ---- measuring ------------------------------------------------------------------

@torch.no_grad()
def measure(model, tokenizer, tests):
    model.eval()
    right = {}
    for name, scenes in tests.items():
        for at in range(0, len(scenes.records), 250):
            patches, records = scenes.take(np.arange(at, min(at + 250, len(scenes.records))))
            with torch.autocast("cpu", dtype=torch.bfloat16):
                images = F.normalize(model.vision(patches)[0].float(), dim=-1)
            for attribute, (rows, target) in attribute_targets(records).items():
                if len(rows) == 0 or (attribute == "count" and name != "test-scenes"):
                    continue
                texts = words.prompts_of(attribute, words.PROMPTS[attribute]["templates"][0])
                t = F.normalize(model.text(*pack(tokenizer, texts)).float(), dim=-1)
                hit = (images[rows] @ t.t()).argmax(-1).numpy() == target
                right.setdefault(attribute, []).extend(hit.tolist())
                if attribute == "bird":
                    own = (records["setting"] == 0) == (target == 0)
                    right.setdefault("bird-own", []).extend(hit[own].tolist())
                    right.setdefault("bird-other", []).extend(hit[~own].tolist())
    model.train()
    return {k: float(np.mean(v)) for k, v in right.items() if v}


# ---- the run --------------------------------------------------------------------

class Run:
    def __init__(self, args):
        self.args, self.folder = args, pathlib.Path(args.data)
        torch.manual_seed(args.seed)
        torch.set_num_threads(args.threads)
        self.tokenizer = bpe.Tokenizer(bpe.train(words.every_word()))
        self.model, self.heads = net.Clip(len(self.tokenizer.vocab)), Heads()
        self.batches = Batches(self.folder, args.batch)
        self.tests = {n: Scenes(self.folder / n) for n in ("test-single", "test-scenes", "test-birds")}
        net.init(self.model)
        net.init_offsets(self.model, self.batches.parts[0].take(np.arange(32))[0])
        self.average = {k: v.clone() for k, v in self.model.state_dict().items()}
        self.optimiser = torch.optim.AdamW(self.groups(), lr=args.rate, betas=(0.9, 0.97))
        self.step, self.spent = 0, 0.0
        self.checkpoint = self.folder / f"{args.name}.pt"
        if self.checkpoint.exists():
            self.restore()
        self.vision = torch.compile(self.model.vision, dynamic=False) if args.compile else self.model.vision

    def groups(self):
        every = list(self.model.named_parameters()) + list(self.heads.named_parameters())
        plain = [p for n, p in every if p.ndim < 2 or "position" in n]
        decayed = [p for n, p in every if not (p.ndim < 2 or "position" in n)]
        return [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}]

    def restore(self):
        saved = torch.load(self.checkpoint, weights_only=True)
        self.model.load_state_dict(saved["model"])
        self.heads.load_state_dict(saved["heads"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.average, self.step, self.spent = saved["average"], saved["step"], saved["spent"]
        self.log(f"goes on from step {self.step}")

    def save(self):
        parts = {"model": self.model.state_dict(), "heads": self.heads.state_dict(),
                 "optimiser": self.optimiser.state_dict(), "average": self.average,
                 "step": self.step, "spent": self.spent, "merges": self.tokenizer.merges}
        fresh = self.checkpoint.with_suffix(".new")
        torch.save(parts, fresh)
        fresh.replace(self.checkpoint)

    def log(self, line):
        line = time.strftime("%H:%M:%S ") + line
        print(line, flush=True)
        with open(self.folder / f"{self.args.name}.log", "a") as f:
            f.write(line + "\n")

    def progress(self):
        if self.args.steps:
            return self.step / self.args.steps
        return self.spent / (60 * self.args.minutes)

    def rate(self):
        """Warm-up, a long plateau, a cosine to (nearly) zero in the last quarter."""
        late = max(0.0, (self.progress() - 0.75) / 0.25)
        cosine = 0.5 + 0.5 * math.cos(math.pi * min(1.0, late))
        return self.args.rate * min(1.0, (self.step + 1) / 150) * max(0.01, cosine)

    def see(self, patches, cut):
        """-> joint, class tokens, and last-but-one patches of everything."""
        parts = [self.vision(patches)] + ([self.vision(*cut)] if cut else [])
        joint, cls = (torch.cat([p[i] for p in parts]) for i in (0, 1))
        return joint, cls, torch.cat([p[2].reshape(-1, net.WIDTH) for p in parts])

    def losses(self, rng):
        patches, records, cut = self.batches.whole(rng, self.progress())
        texts, spans, start, true = draw_texts(rng, records, self.args.swaps)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            joint, cls, early = self.see(patches, cut)
            spoken = self.model.text(*pack(self.tokenizer, texts))
            place, patch = auxiliary_losses(self.heads, cls, early, records, cut[1] if cut else None)
        images, spoken = F.normalize(joint.float(), dim=-1), F.normalize(spoken.float(), dim=-1)
        scale = self.model.logit_scale.exp().clamp(max=60)
        asked = attribute_loss(images, spoken[:start], spans, scale, records)
        captioned = caption_loss(images, spoken[start:], scale, true)
        return {"asked": asked, "captions": captioned, "places": place, "patches": patch}

    def weights(self):
        aid = 1.0 if self.progress() < 0.4 else max(0.1, 1.0 - 2.5 * (self.progress() - 0.4))
        return {"asked": 0.5, "captions": 1.0, "places": aid, "patches": aid}

    def one_step(self):
        rng = np.random.default_rng([self.args.seed, self.step])
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate()
        losses, weights = self.losses(rng), self.weights()
        total = sum(weights[k] * v for k, v in losses.items())
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        every = [p for g in self.optimiser.param_groups for p in g["params"]]
        torch.nn.utils.clip_grad_norm_(every, 1.0)
        self.optimiser.step()
        keep = min(0.996, 1 - 1 / (1 + self.step / 4))
        with torch.no_grad():
            for k, v in self.model.state_dict().items():
                self.average[k].lerp_(v, 1 - keep)
        return {k: v.item() for k, v in losses.items()}

    def report(self, sums, rate):
        live = {k: v.clone() for k, v in self.model.state_dict().items()}
        self.model.load_state_dict(self.average)
        scores = measure(self.model, self.tokenizer, self.tests)
        self.model.load_state_dict(live)
        self.log(f"step {self.step} {100 * self.progress():.1f}% {rate:.2f} steps/s "
                 + " ".join(f"{k} {v:.3f}" for k, v in sums.items())
                 + f" scale {self.model.logit_scale.exp().item():.1f} | "
                 + " ".join(f"{k} {100 * v:.1f}" for k, v in scores.items()))

    def go(self):
        sums, began, steps = {}, time.monotonic(), 0
        while self.progress() < 1:
            start = time.monotonic()
            for k, v in self.one_step().items():
                sums[k] = sums.get(k, 0.0) + v
            self.spent += time.monotonic() - start
            self.step, steps = self.step + 1, steps + 1
            if self.step % self.args.every == 0 or self.progress() >= 1:
                rate = steps / (time.monotonic() - began)
                self.report({k: v / steps for k, v in sums.items()}, rate)
                self.save()
                sums, began, steps = {}, time.monotonic(), 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--name", default="train", help="of the log and the checkpoint")
    parser.add_argument("--minutes", type=float, default=90)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--swaps", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", type=int, default=1)
    Run(parser.parse_args()).go()


if __name__ == "__main__":
    main()
