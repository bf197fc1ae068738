#!/usr/bin/env python3
"""Writes the goldens of this folder: build/parity-venv/bin/python tests/golden/segmentation/make.py

torch 2.13 interpolates, scikit-learn 1.9 gives average precisions, Pillow 13 resizes masks, h5py writes files as MATLAB
v7.3 does (an own header of 512 bytes, object references, chunks packed with deflate). Seed 5.
"""
import pathlib
import struct
import sys
import zlib

import h5py
import numpy as np
import torch
from PIL import Image
from sklearn.metrics import average_precision_score

HERE = pathlib.Path(__file__).resolve().parent
rng = np.random.default_rng(5)


def upsampling():
    map_ = rng.standard_normal((6, 6)).astype(np.float32)
    np.save(HERE / "map.npy", map_)
    for size in (32, 45, 4):
        up = torch.nn.functional.interpolate(torch.from_numpy(map_)[None, None], size=(size, size), mode="bilinear",
                                             align_corners=False)[0, 0].numpy()
        np.save(HERE / f"up_{size}.npy", up)


def precisions():
    cases = {
        "ties": (rng.integers(0, 7, 300) / 8, rng.random(300) < 0.3),
        "distinct": (rng.standard_normal(500), rng.random(500) < 0.1),
        "one": (np.array([0.3]), np.array([True])),
        "worst": (np.arange(20) / 20, np.arange(20) < 3),
        "zeros": (np.concatenate([-np.zeros(3), np.zeros(3), [1e-30, -1e-30, 1e30]]), np.arange(9) % 2 == 0),
    }
    lines = []
    for name, (scores, truth) in cases.items():
        scores = scores.astype(np.float32)
        np.save(HERE / f"scores_{name}.npy", scores)
        np.save(HERE / f"truth_{name}.npy", truth.astype(np.uint8))
        lines.append(f"{name} {average_precision_score(truth, scores):.17g}\n")
    (HERE / "precisions.txt").write_text("".join(lines))


def mask_file():
    values = np.kron(rng.integers(0, 21, (9, 7)), np.ones((5, 7), int)).astype(np.uint8)  # 45 x 49
    values[3:9, 20:30] = 255
    image = Image.fromarray(values)
    palette = image.copy()
    palette.putpalette([(37 * i + c * 11) % 256 for i in range(256) for c in range(3)])
    folder = HERE / "pairs"
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "masks").mkdir(exist_ok=True)
    palette.save(folder / "masks" / "a.png")
    image.save(folder / "masks" / "b.png")
    y, x = np.mgrid[0:45, 0:49]
    picture = np.stack([x * 5, y * 5, (x + y) * 2], -1).astype(np.uint8)
    Image.fromarray(picture).save(folder / "images" / "a.jpg", quality=90)
    Image.fromarray(picture).save(folder / "images" / "b.png")
    np.save(HERE / "stretched.npy", np.array(image.resize((32, 32), Image.NEAREST)))
    scale = 32 / 45  # short side to 32, then a centre crop as torchvision's
    wide = image.resize((int(32 * 49 / 45), 32), Image.NEAREST)
    left = round((wide.width - 32) / 2)
    np.save(HERE / "aligned.npy", np.array(wide)[:, left:left + 32])


class Matlab:
    """A file as MATLAB's save('-v7.3') lays it out, as far as a reader can tell."""

    def __init__(self, name):
        self.path = HERE / name
        self.file = h5py.File(self.path, "w", userblock_size=512)
        self.refs = self.file.create_group("#refs#")
        self.value = self.file.create_group("value")
        self.value.attrs["MATLAB_class"] = np.bytes_("struct")
        self.count = 0

    def cell(self, data, kind="uint8", **how):
        self.count += 1
        item = self.refs.create_dataset(f"c{self.count}", data=data, **how)
        item.attrs["MATLAB_class"] = np.bytes_(kind)
        return item.ref

    def array(self, values, **how):
        """values as MATLAB indexes them; HDF5 sees the axes the other way round."""
        how = how or dict(chunks=True, compression="gzip", compression_opts=3)
        return self.cell(np.ascontiguousarray(values.T), **how)

    def cells(self, name, refs, shape):
        data = np.array(refs, dtype=h5py.ref_dtype).reshape(shape)
        self.value.create_dataset(name, data=data, dtype=h5py.ref_dtype).attrs["MATLAB_class"] = np.bytes_("cell")

    def wrap(self, ref):
        return self.cell(np.array([[ref]], dtype=h5py.ref_dtype), "cell", dtype=h5py.ref_dtype)

    def close(self):
        self.file.close()
        words = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, HDF5 schema 1.00 .".ljust(116)
        with open(self.path, "r+b") as file:
            file.write(words + b"\0" * 8 + struct.pack("<H", 0x0200) + b"IM")


def pictures():
    """H x W x 3 and H x W, the first grey."""
    y, x = np.mgrid[0:21, 0:34]
    grey = ((x * 7 + y * 3) % 251).astype(np.uint8)
    y, x = np.mgrid[0:40, 0:26]
    colour = np.stack([(x * 9) % 256, (y * 6) % 256, (x * y) % 256], -1).astype(np.uint8)
    tall = np.stack([(y * 5) % 256, (x * 8) % 256, (x + 2 * y) % 256], -1).astype(np.uint8)
    truths = [(grey > 120), (colour[..., 0] > 90), (tall[..., 1] > 128)]
    return [grey, colour, tall], [t.astype(np.uint8) for t in truths]


def matlab():
    images, truths = pictures()
    for name, across in (("row.mat", True), ("column.mat", False)):
        m = Matlab(name)
        refs = [m.array(i) for i in images]
        gt = [m.wrap(m.array(t)) for t in truths]
        shape = (1, 3) if across else (3, 1)
        m.cells("img", refs, shape)
        m.cells("gt", gt, shape)
        m.close()
    for i, (image, truth) in enumerate(zip(images, truths)):
        np.save(HERE / f"img_{i}.npy", image)
        np.save(HERE / f"gt_{i}.npy", truth)


def one_bad(name, image=None, truth=None, gt="cells", **how):
    m = Matlab(name)
    images, truths = pictures()
    image = images[1] if image is None else image
    truth = truths[1] if truth is None else truth
    m.cells("img", [m.array(image, **how)], (1, 1))
    if gt == "cells":
        m.cells("gt", [m.wrap(m.array(truth))], (1, 1))
    elif gt == "two":
        m.cells("gt", [m.wrap(m.array(truth))] * 2, (1, 2))
    elif gt == "numbers":
        m.value.create_dataset("gt", data=np.zeros((1, 1)))
    elif gt == "outside":
        m.value["gt"] = h5py.ExternalLink("row.mat", "/value/gt")
    elif gt == "null":
        m.cells("gt", [h5py.Reference()], (1, 1))
    m.close()


def short_chunk():
    """A chunk that unpacks to fewer bytes than it has values."""
    m = Matlab("bad_short.mat")
    images, truths = pictures()
    picture = m.array(images[1])
    dataset = m.file[picture]
    dataset.id.write_direct_chunk((0,) * dataset.ndim, zlib.compress(bytes(100)))
    m.cells("img", [picture], (1, 1))
    m.cells("gt", [m.wrap(m.array(truths[1]))], (1, 1))
    m.close()


def bad():
    images, truths = pictures()
    one_bad("bad_size.mat", truth=truths[1][:-1])
    one_bad("bad_double.mat", truth=truths[1].astype(np.float64))
    one_bad("bad_planes.mat", image=np.dstack([images[0]] * 2))
    one_bad("bad_four.mat", image=np.zeros((2, 2, 3, 2), np.uint8))
    one_bad("bad_filter.mat", chunks=True, compression="lzf")
    one_bad("bad_count.mat", gt="two")
    one_bad("bad_numbers.mat", gt="numbers")
    one_bad("bad_outside.mat", gt="outside")
    one_bad("bad_null.mat", gt="null")
    one_bad("bad_missing.mat", gt="none")
    (HERE / "bad_old.mat").write_bytes(b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\1IM" + b"\0" * 64)


upsampling()
precisions()
mask_file()
matlab()
bad()
short_chunk()
sys.exit(0)
