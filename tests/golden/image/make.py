"""Makes the goldens of the image room: small pictures of every kind, and a hash of what open_clip's and Hugging Face's
own preprocessing makes of each.

    python tests/golden/image/make.py

Made with Pillow 13.0.0 (libjpeg-turbo 3.2.0, libwebp 1.6.0), torch 2.13, torchvision 0.28, open_clip_torch 3.3,
transformers 5.23; seed 20. expected.txt holds a line a case:

    file manner mode filter size resize fill exif hash

hash: 64-bit FNV-1a over the float32 values' bytes, little-endian, [3, size, size]; "refused" where the reference
cannot. The normalisation is CLIP's own mean and standard deviation.
"""
import os
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "parity"))
import pictures  # noqa: E402
import reference  # noqa: E402

SIZES = [(23, 17), (9, 41), (57, 33), (32, 32), (1, 13), (37, 8), (32, 75)]
CASES = [
    ("open_clip", "shortest", "bicubic", 32, 32, 0, 0),
    ("open_clip", "squash", "bilinear", 32, 32, 0, 0),
    ("open_clip", "longest", "bicubic", 33, 33, 127, 0),
    ("open_clip", "shortest", "bicubic", 20, 20, 0, 1),
    ("huggingface", "shortest", "bicubic", 32, 32, 0, 0),
    ("huggingface", "squash", "bilinear", 32, 32, 0, 0),
    ("huggingface", "shortest", "bicubic", 32, 27, 0, 1),
]


def fnv(values):
    total = 0xCBF29CE484222325
    for byte in np.ascontiguousarray(values, dtype="<f4").tobytes():
        total = (total ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{total:016x}"


def expected(path, case):
    manner, mode, interpolation, size, resize, fill, exif = case
    if manner == "open_clip":
        run = reference.open_clip(mode, interpolation, size, fill)
    else:
        run = reference.huggingface(mode, interpolation, size, resize)
    try:
        return fnv(run(path, bool(exif)))
    except ValueError:
        return "refused"


def ending(kind):
    return kind.split("_")[0].replace("jpeg", "jpg")


def main():
    rng, made, lines = np.random.default_rng(20), pictures.kinds(), []
    jobs = [(f"{kind}.{ending(kind)}", kind, SIZES[i % len(SIZES)], None) for i, kind in enumerate(made)]
    for orientation in range(1, 9):
        for kind in ("jpeg_420", "png_palette4", "webp_lossless"):
            exif = pictures.tiff(orientation, orientation % 2 == 0)
            jobs.append((f"exif{orientation}_{kind}.{ending(kind)}", kind, (21, 14), exif))
    jobs.append(("exif6_late.png", "png_rgb8_exif_late", (21, 14), pictures.tiff(6)))
    for name, kind, (width, height), exif in jobs:
        path = os.path.join(HERE, name)
        with open(path, "wb") as out:
            out.write(made[kind](rng, width, height, exif))
        cases = CASES if exif is None else [case for case in CASES if case[-1]]
        lines += [" ".join(map(str, (name, *case, expected(path, case)))) for case in cases]
    with open(os.path.join(HERE, "expected.txt"), "w") as out:
        out.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
