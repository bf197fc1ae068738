"""Reads a store by docs/store.md alone and checks all that it says: files, checksums, shapes and the sum of all terms.

    python check_store.py STORE        (needs numpy, safetensors, xxhash; the sum only in a store with mlp)

Of part stores and spread ones (folders) nothing. Prints one line a shard; exit status 1 where anything differs.
"""
import json
import os
import sys

import numpy as np
import xxhash
from safetensors.numpy import load_file

BLOCK = 128


def slices(tensors):
    """[I, inner] of every tensor but `sums`, in the order of the file."""
    for name, t in tensors.items():
        if name == "sums":
            continue
        if name.startswith(("z.", "tokens.")) or name in ("mlp_mean", "cls_mean"):
            yield from t
        else:
            yield t


def check_sums(path, tensors, entry):
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    ordered = sorted((n for n in header if n != "__metadata__"), key=lambda n: header[n]["data_offsets"][0])
    sums = tensors["sums"]
    assert xxhash.xxh3_128_hexdigest(sums.tobytes()) == entry["sums"], path
    count = 0
    for s, part in enumerate(slices({n: tensors[n] for n in ordered})):
        for b, at in enumerate(range(0, len(part), BLOCK)):
            digest = xxhash.xxh3_128_digest(np.ascontiguousarray(part[at : at + BLOCK]).tobytes())
            assert digest == sums[s, b].tobytes(), (path, s, b)
        count += 1
    assert sums.shape == (count, -(-entry["images"] // BLOCK), 16), sums.shape


def sum_of_terms(tensors, basis, layers, heads):
    t = {k: v.astype(np.float64) for k, v in tensors.items()}
    mu, sigma, norm = (t[k][:, None] for k in ("mu", "sigma", "norm"))
    terms = 2 * layers + 1
    shared = basis["constant"] / terms - mu / sigma * basis["ones"] / terms
    total = 0
    for l in range(layers):
        for h in range(heads):
            total = total + (t[f"z.{l}"][h] @ basis["w"][l, h] + basis["bias"][l] / heads) / sigma + shared / heads
    for i in range(layers + 1):
        total = total + t[f"mlp.{i}"] / sigma + shared
    return np.abs(total - t["embedding"]).max() / norm.max()


def main(store):
    with open(os.path.join(store, "manifest.json"), encoding="utf-8") as file:
        manifest = json.load(file)
    assert manifest["version"] == 2
    named = [manifest["images"]["list"], manifest["basis"], manifest["moments"]]
    for entry in named + manifest["shards"]:
        if not entry["file"]:
            continue
        with open(os.path.join(store, entry["file"]), "rb") as file:
            data = file.read()
        assert len(data) == entry["bytes"], entry
        assert xxhash.xxh3_128_hexdigest(data) == entry["xxh3_128"], entry
    basis = {k: v.astype(np.float64) for k, v in load_file(os.path.join(store, "basis.safetensors")).items()}
    half = manifest["options"]["dtype"] == "f16"
    for entry in manifest["shards"]:
        if not entry["file"]:
            continue
        path = os.path.join(store, entry["file"])
        tensors = load_file(path)
        assert tensors["embedding"].dtype == (np.float16 if half else np.float32)
        check_sums(path, tensors, entry)
        off = 0.0
        if "mlp" in manifest["options"]["parts"]:
            off = sum_of_terms(tensors, basis, manifest["model"]["layers"], manifest["model"]["heads"])
            assert off < (2e-3 if half else 1e-5), off
        print(f"same: {entry['file']}, {entry['images']} images; terms off by {off:.1e} of the length")


if __name__ == "__main__":
    main(sys.argv[1])
