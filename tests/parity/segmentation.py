#!/usr/bin/env python3
"""clipspan segment against torch, scikit-learn and Pillow: the protocols run again from clipspan's own raw maps.

    python segmentation.py --clipspan build/release/clipspan --scenes build/release/models/demo/demo-scenes --work DIR
        [--count N]

Scenes of the demo are cut to many shapes, so that the two protocols differ. Truths come from the mask files by Pillow
(resize NEAREST; aligned: short side to the square, centre crop), maps are up-sampled by torch's interpolate, average
precision is scikit-learn's, counts are NumPy's. The same pictures packed into a MATLAB v7.3 file by h5py must give the
same numbers as the folder.
"""
import argparse
import csv
import json
import pathlib
import shutil
import struct
import subprocess
import sys

import h5py
import numpy as np
import torch
from PIL import Image
from sklearn.metrics import average_precision_score

ROOT = pathlib.Path(__file__).resolve().parents[2]
SIZE = 96
# (pixels, average precision). torch may fuse its products, which moves a value of a map in its last place: a pixel at its
# map's mean may fall on the other side, and a tie in the average precision may break. Seen: no pixel, 7e-7; 6e-5 for
# GradCAM, whose maps are nearly zero in most places, where 1 - map rounds to 1 or just does not. In NumPy the up-sampling
# is written out with clipspan's roundings, and everything agrees to the last digits (seen: 9e-16).
LIMITS = {"torch": (2, 1e-5), "NumPy": (0, 1e-13)}
GRADCAM = 5e-4


def make_pairs(scenes, folder, count):
    raw = folder.parent / "scenes"
    subprocess.run([scenes, "dir", raw, "--count", str(count), "--seed", "23", "--split", "test", "--set", "single"],
                   check=True, stdout=subprocess.DEVNULL)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    rng = np.random.default_rng(1)
    for picture in sorted((raw / "images").iterdir()):
        width, height = rng.integers(60, 97, 2)
        left, top = rng.integers(0, 97 - width), rng.integers(0, 97 - height)
        box = (int(left), int(top), int(left + width), int(top + height))
        Image.open(picture).convert("RGB").crop(box).save(folder / "images" / picture.name)
        Image.open(raw / "masks" / picture.name).crop(box).save(folder / "masks" / picture.name)
    return raw


def matlab_file(folder, path):
    with h5py.File(path, "w", userblock_size=512) as file:
        refs, value = file.create_group("#refs#"), file.create_group("value")
        images, truths = [], []
        for i, picture in enumerate(sorted((folder / "images").iterdir())):
            for kind, out in (("images", images), ("masks", truths)):
                array = np.array(Image.open(folder / kind / picture.name))
                if kind == "masks":
                    array = (array > 0).astype(np.uint8)
                item = refs.create_dataset(f"{kind}{i}", data=np.ascontiguousarray(array.T), chunks=True, compression="gzip")
                out.append(item.ref)
            cell = refs.create_dataset(f"cell{i}", data=np.array([[truths[-1]]], dtype=h5py.ref_dtype), dtype=h5py.ref_dtype)
            truths[-1] = cell.ref
        for name, out in (("img", images), ("gt", truths)):
            value.create_dataset(name, data=np.array([out], dtype=h5py.ref_dtype), dtype=h5py.ref_dtype)
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + struct.pack("<H", 0x0200) + b"IM")


def truth_of(mask, protocol):
    if protocol == "paper":
        return np.array(mask.resize((SIZE, SIZE), Image.NEAREST))
    short, long = sorted(mask.size)
    sides = [SIZE if side == short else int(SIZE * side / short) for side in mask.size]
    resized = np.array(mask.resize(tuple(sides), Image.NEAREST))
    top, left = ((side - SIZE) // 2 for side in resized.shape)
    return resized[top:top + SIZE, left:left + SIZE]


def upsample(maps, how):
    """[..., side, side] to [..., SIZE, SIZE]"""
    return maps if maps.shape[-1] == SIZE else {"torch": upsample_torch, "NumPy": upsample_numpy}[how](maps)


def upsample_numpy(maps):
    side = maps.shape[-1]
    scale = np.float64(np.float32(side) / np.float32(SIZE))
    at = np.maximum((scale * (np.arange(SIZE) + 0.5) - 0.5).astype(np.float32), 0)
    first = np.minimum(at.astype(int), side - 1)
    second = np.minimum(first + 1, side - 1)
    b = at - first.astype(np.float32)
    a = np.float32(1) - b
    row = a * maps[..., first] + b * maps[..., second]
    return a[:, None] * row[..., first, :] + b[:, None] * row[..., second, :]


def upsample_torch(maps):
    flat = torch.from_numpy(maps.reshape(-1, 1, *maps.shape[-2:]))
    up = torch.nn.functional.interpolate(flat, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
    return up.numpy().reshape(*maps.shape[:-2], SIZE, SIZE)


def scaled(values):
    low, high = values.min(), values.max()
    if low == high:  # a method may find nothing
        return np.zeros_like(values)
    return (values - low) / (high - low)


class Counts:
    def __init__(self, classes):
        self.right = self.scored = 0
        self.both, self.either = np.zeros(classes, int), np.zeros(classes, int)

    def add(self, mask, truth):
        valid = truth != 255
        self.right += int((mask == truth)[valid].sum())
        self.scored += int(valid.sum())
        for c in range(len(self.both)):
            a, b = (mask == c) & valid, (truth == c) & valid
            self.both[c] += int((a & b).sum())
            self.either[c] += int((a | b).sum())

    def scores(self):
        seen = self.either > 0
        return self.right / self.scored, float(np.mean(self.both[seen] / self.either[seen]))


def binary(maps, truths, positive, how):
    counts, precisions = Counts(2), []
    for map_, truth in zip(maps, truths):
        up = upsample(map_, how)
        if positive:
            up = np.maximum(up, 0)
        up = scaled(up)
        counts.add((up > up.mean(dtype=np.float64)).astype(int), truth)
        pair = np.stack([np.float32(1) - up, up]).reshape(-1)
        hot = np.stack([truth == 0, truth == 1]).reshape(-1)
        precisions.append(average_precision_score(hot, pair))
    return (*counts.scores(), float(np.mean(precisions)), counts)


def semantic(maps, truths, classes, how):
    counts = Counts(classes)
    for map_, truth in zip(maps, truths):
        up = upsample(map_, how)
        excess = scaled(np.maximum(up.max(0) - up.mean(0), 0))
        counts.add(np.where(excess > excess.mean(dtype=np.float64), up.argmax(0) + 1, 0), truth)
    return (*counts.scores(), counts)


class Check:
    def __init__(self, clipspan, work):
        self.clipspan, self.work, self.bad = clipspan, work, 0

    def run(self, data, *options):
        out = self.work / "out.json"
        shutil.rmtree(self.work / "maps", ignore_errors=True)
        shape = ROOT / "models/demo/zero_shot"
        subprocess.run([self.clipspan, "segment", ROOT / "models/demo/clipspan-demo", data, "--classes",
                        shape / "shape.classes.txt", "--templates", shape / "shape.templates.txt", "--maps",
                        self.work / "maps", "--json", "-o", out, "--quiet", *options], check=True)
        return json.loads(out.read_text())

    def maps(self, name):
        return np.load(self.work / "maps" / f"{name}.npy")

    def compare(self, what, got, expected, limit):
        good = abs(got - expected) <= limit
        self.bad += not good
        print(f"{'ok ' if good else 'BAD'} {what}: {got:.12f}, expected {expected:.12f}, differs by {got - expected:.1e}")

    def method(self, what, row, again, *arguments):
        for how, (pixels, precision) in LIMITS.items():
            expected = again(self.maps(row["method"]), *arguments, how)
            counts, words = expected[-1], f"{how} {what} {row['method']}"
            smallest = counts.either[counts.either > 0].min()
            self.compare(f"{words} pixel accuracy", row["pixel_accuracy"]["value"], expected[0],
                         pixels / counts.scored + 1e-15)
            self.compare(f"{words} mIoU", row["miou"]["value"], expected[1], pixels / smallest + 1e-15)
            if len(expected) == 4:
                limit = GRADCAM if how == "torch" and row["method"] == "gradcam" else precision
                self.compare(f"{words} mAP", row["map"]["value"], expected[2], limit)


def truth_files(check, masks, protocol, classes):
    """Truths as clipspan keeps them, held against the mask files; classes: each mask's, what is not background."""
    truths = check.maps("truth").astype(int)
    expected = [(truth_of(Image.open(mask), protocol) > 0) * c for mask, c in zip(masks, classes, strict=True)]
    same = np.array_equal(truths, expected)
    check.bad += not same
    print(f"{'ok ' if same else 'BAD'} {protocol}: {len(truths)} truths as Pillow makes them")
    return truths


def scene_truths(check, raw):
    """Of a semantic run: the shape's class (1 + its line in the class file) wherever the mask has the object."""
    names = [line.split("\t")[0] for line in (ROOT / "models/demo/zero_shot/shape.classes.txt").read_text().splitlines()]
    with open(raw / "labels.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return truth_files(check, [raw / row["mask"] for row in rows], "paper", [1 + names.index(row["shape"]) for row in rows])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--clipspan", required=True)
    parser.add_argument("--scenes", required=True)
    parser.add_argument("--work", required=True, type=pathlib.Path)
    parser.add_argument("--count", type=int, default=40)
    arguments = parser.parse_args()
    work = arguments.work / "segmentation"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    check = Check(arguments.clipspan, work)
    raw = make_pairs(arguments.scenes, work / "pairs", arguments.count)
    matlab_file(work / "pairs", work / "gtsegs_ijcv.mat")
    methods = {"decomposition": True, "rollout": False, "gradcam": False, "maskclip": True, "lrp": False}
    folder = {}
    for protocol in ("paper", "aligned"):
        result = check.run(work / "pairs", "--protocol", protocol, "--method", ",".join(methods))
        folder[protocol] = result["methods"]
        truths = truth_files(check, sorted((work / "pairs/masks").iterdir()), protocol, [1] * arguments.count)
        for row in result["methods"]:
            check.method(protocol, row, binary, truths, methods[row["method"]])
    again = check.run(work / "gtsegs_ijcv.mat", "--protocol", "aligned", "--method", ",".join(methods))
    same = again["methods"] == folder["aligned"]
    check.bad += not same
    print(f"{'ok ' if same else 'BAD'} a MATLAB v7.3 file gives the folder's numbers, digit for digit")
    result = check.run(raw / "labels.csv", "--semantic", "--class-column", "shape", "--method", "decomposition,maskclip")
    truths = scene_truths(check, raw)
    for row in result["methods"]:
        check.method("semantic", row, semantic, truths, 9)
    print(f"{check.bad} differences")
    return check.bad > 0


if __name__ == "__main__":
    sys.exit(main())
