"""Reads with the formats' own Python libraries what the unit tests wrote.

    python check_formats.py BUILD/tests/tmp        (after ctest -R formats; needs safetensors, torch, numpy, h5py)

Prints one line a file; exit status 1 where anything differs.
"""
import os
import sys

import h5py
import numpy
import torch
from safetensors import safe_open


def counting(*shape, period=None):
    i = numpy.arange(int(numpy.prod(shape)))
    return ((i % period if period else i) / 4 - 1).reshape(shape)


def check_safetensors(path):
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"format": "pt", "made by": "clipspan"}, file.metadata()
        got = {name: file.get_tensor(name) for name in file.keys()}
    wanted = {
        "head.f16": (torch.float16, counting(50, 200, period=200)),
        "nothing": (torch.float32, numpy.zeros((0, 3))),
        "head.f32": (torch.float32, counting(2, 3, 5)),
        "head.bf16": (torch.bfloat16, counting(7)),
        'z "quoted" é': (torch.int64, numpy.array([-1, 2**63 - 1])),
        "scalar": (torch.float32, numpy.array(-1.0)),
    }
    assert got.keys() == wanted.keys(), got.keys()
    for name, (dtype, values) in wanted.items():
        assert got[name].dtype == dtype, name
        expected = torch.from_numpy(values).to(dtype)
        assert got[name].shape == expected.shape and torch.equal(got[name], expected), name


def check_hdf5(path):
    with h5py.File(path) as file:
        assert sorted(file) == ["attn", "flags", "half", "labels", "none"], list(file)
        assert file.attrs["model"] == "ViT-B-16 é"
        assert file["attn"].dtype == "<f4" and (file["attn"][:] == counting(50, 4, 10)).all()
        assert file["half"].dtype == "<f2" and file["half"][:].tolist() == [1, -2, 2.0**-24]
        assert file["flags"].dtype == bool and file["flags"][:].tolist() == [True, False, True]
        assert file["labels"].dtype == "<i8" and file["labels"][:].tolist() == [-1, 7, 2**63 - 1]
        assert file["none"].shape == (0, 5)


def check_npy(path):
    rows = numpy.load(path)
    assert rows.dtype == numpy.float32 and rows.shape == (1197, 2, 3), rows.shape
    assert (rows.reshape(-1, 6)[:, 0] == numpy.arange(1197)).all()
    assert (rows.reshape(-1, 6)[:, 1:] == [1, 2, 3, 4, 5]).all()


def main():
    checks = {
        "formats_safetensors_test/written.safetensors": check_safetensors,
        "formats_arrays_test/written.h5": check_hdf5,
        "formats_arrays_test/open.npy": check_npy,
    }
    for name, check in checks.items():
        check(os.path.join(sys.argv[1], name))
        print("same:", name)


if __name__ == "__main__":
    main()
