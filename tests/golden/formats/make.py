"""Makes the files of this folder with the formats' own Python libraries.

    python make.py      (safetensors 0.8.0, torch 2.13.0, numpy 2.4.6)

Every array counts up so that the C tests can state what they expect: element i is i / 4 - 1.
"""
import gzip
import json
import os

import numpy
import torch
from safetensors.torch import save_file

os.chdir(os.path.dirname(os.path.abspath(__file__)))


def counting(*shape):
    return (torch.arange(int(numpy.prod(shape)), dtype=torch.float64) / 4 - 1).reshape(shape)


one = {
    "visual.f32": counting(3, 4).float(),
    "visual.f16": counting(5).half(),
    "visual.bf16": counting(2, 2, 2).bfloat16(),
    "visual.f64": counting(3),
    "ids.i64": torch.arange(3),
    "scalar": torch.tensor(4.5),
    "empty": torch.zeros(0, 7),
}
save_file(one, "one.safetensors", metadata={"format": "pt", "made": "é"})
save_file({"a": counting(2, 3).float(), "c": counting(2).half()}, "model-00001-of-00002.safetensors")
save_file({"b": counting(4).bfloat16()}, "model-00002-of-00002.safetensors")
index = {
    "metadata": {"total_size": 36},
    "weight_map": {
        "a": "model-00001-of-00002.safetensors",
        "b": "model-00002-of-00002.safetensors",
        "c": "model-00001-of-00002.safetensors",
    },
}
with open("model.safetensors.index.json", "w") as out:
    json.dump(index, out, indent=2)
    out.write("\n")

for kind in ("f2", "f4", "f8"):
    numpy.save(f"{kind}.npy", counting(3, 4).numpy().astype("<" + kind))
for kind in ("i1", "i2", "i4", "i8", "u1"):
    numpy.save(f"{kind}.npy", numpy.arange(6).astype(kind))
numpy.save("b1.npy", numpy.array([True, False, True]))
numpy.save("scalar.npy", numpy.float32(4.5))
numpy.save("empty.npy", numpy.zeros((0, 5), "<f4"))
numpy.save("fortran.npy", numpy.asfortranarray(counting(3, 4).numpy()))
numpy.save("big-endian.npy", numpy.arange(4).astype(">f4"))
for version in ((2, 0), (3, 0)):
    with open(f"version{version[0]}.npy", "wb") as out:
        numpy.lib.format.write_array(out, counting(3, 4).numpy().astype("<f4"), version=version)

with open("merges.txt.gz", "wb") as out:
    out.write(gzip.compress(b"#version: 0.2\ni n\nt h\n" * 100, mtime=0))
