"""Compares what enters the network, float32 bit for bit, with open_clip's and Hugging Face's own preprocessing.

    python tests/parity/pixels.py --driver build/pixels_driver [--count 300] [--seed 1] [--size 32]
    python tests/parity/pixels.py --clipspan build/release/clipspan --model DIRECTORY

makes pictures of every format, mode and shape in a temporary folder (pictures.py), runs each through the references
(reference.py) and through clipspan, and ends with 1 when any float differs, or when one side reads a picture that the
other refuses. The first form drives the image room alone (pixels_driver.c says how, and is built with its sources and
the image libraries), with every resize mode and filter, with and without EXIF turning. The second runs `clipspan
preprocess` with a model directory's own settings, which open_clip and transformers read for themselves.
"""
import argparse
import os
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image, features

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pictures  # noqa: E402
import reference  # noqa: E402


def sizes(rng, size):
    """Width and height: ordinary, one pixel wide, elongated, already right, to be enlarged."""
    kind = int(rng.integers(10))
    if kind == 0:
        return 1, int(rng.integers(1, 60))
    if kind == 1:
        return int(rng.integers(1, 60)), 1
    if kind == 2:
        return size, size
    if kind == 3:
        return size, int(rng.integers(1, 200))
    if kind == 4:
        return int(rng.integers(200, 700)), int(rng.integers(2, 9))
    if kind == 5:
        return int(rng.integers(1, size)), int(rng.integers(1, size))
    return int(rng.integers(2, 320)), int(rng.integers(2, 320))


def make_pictures(folder, count, size, rng):
    made, names = pictures.kinds(), []
    order = list(made)
    for i in range(max(count, len(order))):
        kind = order[i % len(order)]
        width, height = sizes(rng, size)
        exif = pictures.tiff(int(rng.integers(1, 9)), bool(rng.integers(2))) if rng.random() < 0.5 else None
        name = f"{i:04d}_{kind}_{width}x{height}.bin"
        with open(os.path.join(folder, name), "wb") as out:
            out.write(made[kind](rng, width, height, exif))
        names.append(name)
    with open(os.path.join(folder, "list.txt"), "w") as out:
        out.write("\n".join(names) + "\n")
    return names


def configurations(size):
    for interpolation in ("bicubic", "bilinear"):
        for mode in ("shortest", "squash", "longest"):
            fill = 127 if mode == "longest" else 0
            yield "open_clip", mode, interpolation, size, size, fill, False
        yield "huggingface", "shortest", interpolation, size, size, 0, False
        yield "huggingface", "squash", interpolation, size, size, 0, False
    yield "huggingface", "shortest", "nearest", size, size, 0, False
    yield "huggingface", "shortest", "bicubic", size, size - 5, 0, False  # the crop pads
    yield "huggingface", "shortest", "bicubic", size, size + 9, 0, False
    yield "open_clip", "shortest", "bicubic", size, size, 0, True
    yield "huggingface", "shortest", "bicubic", size, size, 0, True
    yield "open_clip", "longest", "bicubic", size + 1, size + 1, 0, True


def reference_for(manner, mode, interpolation, size, resize, fill):
    if manner == "open_clip":
        return reference.open_clip(mode, interpolation, size, fill)
    return reference.huggingface(mode, interpolation, size, resize)


def ours(driver, folder, configuration, count):
    manner, mode, interpolation, size, resize, fill, exif = configuration
    out = os.path.join(folder, "out.raw")
    command = [driver, manner, mode, interpolation, str(size), str(resize), str(fill), str(int(exif)),
               os.path.join(folder, "list.txt"), out]
    subprocess.run(command, check=True, stderr=subprocess.PIPE)
    return np.fromfile(out, dtype=np.float32).reshape(count, 3, size, size)


def ours_by_command(clipspan, model, folder):
    out = os.path.join(folder, "out.npy")
    subprocess.run([clipspan, "preprocess", model, os.path.join(folder, "list.txt"), "-o", out], check=True,
                   stderr=subprocess.PIPE)
    return np.load(out)


def compare(folder, names, found, theirs, exif, title):
    bad = refused = 0
    for i, name in enumerate(names):
        try:
            expected = theirs(os.path.join(folder, name), exif)
        except Exception as error:
            refused += 1
            if not np.isnan(found[i]).all():
                print(f"  {name}: the reference refuses it ({error}), clipspan does not")
                bad += 1
            continue
        if np.isnan(found[i]).any():
            print(f"  {name}: clipspan refuses it")
            bad += 1
        elif not np.array_equal(expected.view(np.uint32), found[i].view(np.uint32)):
            steps = np.abs(expected - found[i]).max() * 0.27 * 255
            print(f"  {name}: {np.count_nonzero(expected != found[i])} floats differ, by up to {steps:.1f} grey levels")
            bad += 1
    print(f"{title}: {len(names) - bad - refused} equal, {refused} refused, {bad} bad")
    return bad


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--driver")
    options.add_argument("--clipspan")
    options.add_argument("--model", help="a model directory, with --clipspan")
    options.add_argument("--count", type=int, default=300)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--size", type=int, default=32)
    options.add_argument("--keep", help="folder for the pictures; default: a temporary one")
    given = options.parse_args()
    if not given.driver and not (given.clipspan and given.model):
        options.error("--driver, or --clipspan and --model")
    jpeg = features.version_feature("libjpeg_turbo")
    print(f"Pillow {Image.__version__}, libjpeg-turbo {jpeg}, libwebp {features.version('webp')}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or temporary
        os.makedirs(folder, exist_ok=True)
        names = make_pictures(folder, given.count, given.size, np.random.default_rng(given.seed))
        bad = 0
        for c in configurations(given.size) if given.driver else ():
            bad += compare(folder, names, ours(given.driver, folder, c, len(names)), reference_for(*c[:-1]), c[-1],
                           " ".join(map(str, c)))
        if given.clipspan:
            bad += compare(folder, names, ours_by_command(given.clipspan, given.model, folder),
                           reference.of_model(given.model), False, given.model)
    print("all floats equal" if bad == 0 else f"{bad} comparisons failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
