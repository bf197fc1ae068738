"""Pictures and texts for the comparison at full size: smooth random colours in several formats; words in templates."""
import os

import numpy as np
from PIL import Image


def smooth(rng, width, height, channels):
    """Coarse noise in two sizes, enlarged, with a hard-edged shape over it: uint8 [height, width, channels]."""
    out = np.zeros((height, width, channels), np.float32)
    for cells, weight in ((3, 150), (9, 80)):
        coarse = rng.random((cells, cells, channels)).astype(np.float32)
        for c in range(channels):
            plane = Image.fromarray(coarse[:, :, c]).resize((width, height), Image.BICUBIC)
            out[:, :, c] += weight * np.asarray(plane)
    y, x = np.mgrid[0:height, 0:width]
    cx, cy, r = rng.uniform(0.2, 0.8) * width, rng.uniform(0.2, 0.8) * height, rng.uniform(0.1, 0.3) * min(width, height)
    inside = (x - cx) ** 2 + (y - cy) ** 2 < r * r if rng.random() < 0.5 else (abs(x - cx) < r) & (abs(y - cy) < r)
    out[inside] = rng.integers(0, 256, channels)
    return np.clip(out + rng.normal(0, 4, out.shape), 0, 255).astype(np.uint8)


def save(rng, folder, i, kind):
    width, height = (int(n) for n in rng.integers(90, 420, 2))
    stem = os.path.join(folder, f"{i:04d}")
    if kind == "jpeg":
        Image.fromarray(smooth(rng, width, height, 3)).save(stem + ".jpg", quality=int(rng.integers(60, 96)))
    elif kind == "grey":
        Image.fromarray(smooth(rng, width, height, 1)[:, :, 0]).save(stem + ".jpg", quality=85)
    elif kind == "png":
        Image.fromarray(smooth(rng, width, height, 3)).save(stem + ".png")
    elif kind == "alpha":
        Image.fromarray(smooth(rng, width, height, 4)).save(stem + ".png")
    elif kind == "palette":
        Image.fromarray(smooth(rng, width, height, 3)).quantize(64).save(stem + ".png")
    else:
        Image.fromarray(smooth(rng, width, height, 3)).save(stem + ".webp", quality=80)


def pictures(folder, count, seed):
    """Writes `count` pictures; returns their paths in the order in which clipspan lists a folder."""
    os.makedirs(folder, exist_ok=True)
    rng = np.random.default_rng(seed)
    kinds = ["jpeg", "png", "jpeg", "alpha", "grey", "palette", "webp"]
    for i in range(count):
        save(rng, folder, i, kinds[i % len(kinds)])
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder))]


TRICKY = ["", " ", "a", "Hello, World!", "it's the dogs' 3rd 100% café", "caf\u0065\u0301 naïve façade", "東京タワー", "красный квадрат",
          "A &amp; B &lt;tag&gt;", "\u201ccurly\u201d \u2018quotes\u2019", "ﬁne ﬂour", "😀 👩\u200d🚀", "tab\tand  spaces  ",
          "x" * 300, "a red square on the left " * 12, "UPPER lower MiXeD", "1234567890", "¿qué?", "<|endoftext|>"]


def texts(count, seed):
    rng = np.random.default_rng(seed)
    colours = "red green blue yellow purple orange white black pink brown grey golden pale dark bright".split()
    things = ("square circle triangle dog cat boat house tree river mountain street car bird flower clock chair cup book "
              "bridge cloud window door fish horse lamp train plane shoe hat apple").split()
    places = "on grass,by the sea,at night,in snow,in a kitchen,on a table,in the rain,in the desert,in a forest".split(",")
    forms = ["a photo of a {c} {t} {p}", "{n} {c} {t}s {p}", "a {c} {t}", "a blurry picture of {n} {t}s", "{t} {p}",
             "the texture of a {c} {t}", "an image with {n} {c} {t}s", "close-up of a {t} {p}"]
    numbers = "one two three four five six seven eight nine ten".split()
    found = []
    while len(found) < count:
        pick = [list_[int(rng.integers(len(list_)))] for list_ in (forms, colours, things, places, numbers)]
        text = pick[0].format(c=pick[1], t=pick[2], p=pick[3], n=pick[4])
        if text not in found:
            found.append(text)
    return found
