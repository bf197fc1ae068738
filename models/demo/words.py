"""The demo's language: prompts, random captions, and which captions are true.

A caption is seven numbers (setting, count, noun, colour, texture, size, place),
ANY where it does not say. The noun is a kind (0-9), SHAPE or BIRD. An image is
its record from `demo-scenes raw`.
"""
import json
import pathlib

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
PROMPTS = json.loads((HERE / "prompts.json").read_text())
ATTRIBUTES = ["setting", "count", "shape", "colour", "texture", "size", "place"]
ANY, SHAPE, BIRD = 255, 10, 11
SETTING, COUNT, NOUN, COLOUR, TEXTURE, SIZE, PLACE = range(7)
SIZES = [8, 4, 12, 10, 4, 3, 9]

RECORD = np.dtype([("bird", "u1"), ("setting", "u1"), ("count", "u1"), ("new", "u1"),
                   ("object", "u1", (4, 5)), ("owner", "u1", (144,))])


def class_texts(attribute):
    return [c["text"] for c in PROMPTS[attribute]["classes"]]


SETTING_TEXT, COUNT_TEXT = class_texts("setting"), ["one", "two", "three", "four"]
NOUN_TEXT = class_texts("shape") + class_texts("bird") + ["shape", "bird"]
LOOKS = {COLOUR: class_texts("colour"), TEXTURE: class_texts("texture"), SIZE: class_texts("size")}
PLACE_TEXT = class_texts("place")
VOWELS = "aeiou"


def prompts_of(attribute, template):
    """All classes' prompts under one template."""
    return [template.replace("{}", text) for text in class_texts(attribute)]


def say(caption, form=0):
    """The caption in words; form chooses between equally good wordings."""
    looks = [LOOKS[f][caption[f]] for f in (SIZE, COLOUR, TEXTURE) if caption[f] != ANY]
    noun = NOUN_TEXT[caption[NOUN]]
    count = caption[COUNT]
    about_object = looks or caption[NOUN] not in (SHAPE, BIRD) or caption[PLACE] != ANY
    if count == ANY or count == 0:
        first = "one" if count == 0 else "an" if (looks + [noun])[0][0] in VOWELS else "a"
        text = " ".join([first] + looks + [noun])
        if looks and noun == "shape" and form % 4 == 1 and len(looks) == 1:
            text = f"{first} shape that is {looks[0]}"
        elif len(looks) == 1 and noun == "shape" and form % 4 == 2 and count == ANY:
            text = f"something {looks[0]}"
        elif not looks and noun == "shape" and form % 4 == 1 and count == ANY:
            text = "something"
        elif form % 8 == 3 and looks + [noun] != ["shape"]:
            text = "a picture of " + text
    else:
        text = f"{COUNT_TEXT[count]} shapes"
        if about_object:
            text += " with " + " ".join(["a"] + looks + [noun])
        elif form % 4 == 1:
            text = "a scene of " + text
        elif form % 4 == 2:
            text = "a picture of " + text
    if caption[PLACE] != ANY:
        text += f" in the {PLACE_TEXT[caption[PLACE]]}"
    if caption[SETTING] != ANY:
        if text == "a shape" and form % 8 in (2, 6):
            text = "shapes" if form % 8 == 2 else "a scene"
        text += f" on {SETTING_TEXT[caption[SETTING]]}"
    return text


def random_caption(rng, record):
    """A true caption of one to five parts. Short ones are common: they are how
    prompts are worded."""
    caption = [ANY] * 7
    which = rng.integers(record["count"])
    seen = record["object"][which]
    generic = BIRD if record["bird"] else SHAPE
    draw = rng.random(9)
    caption[NOUN] = generic
    if draw[0] < 0.22:  # how many, and perhaps where
        caption[COUNT] = record["count"] - 1
        caption[SETTING] = record["setting"] if draw[1] < 0.4 else ANY
        if record["bird"] or draw[2] < 0.6:
            return caption
    wanted = [0.3, 0, 0.5, 0.45, 0.35, 0.35, 0.4] if draw[3] < 0.7 else [0.1, 0, 0.2, 0.2, 0.2, 0.2, 0.2]
    keep = draw[2:9] < np.array(wanted)
    if caption[COUNT] == ANY and not keep.any():
        keep[(SETTING, NOUN, COLOUR, TEXTURE, SIZE, PLACE)[rng.integers(6)]] = True
    if keep[SETTING]:
        caption[SETTING] = record["setting"]
    if keep[NOUN]:
        caption[NOUN] = seen[0]
    for field in (COLOUR, TEXTURE, SIZE, PLACE):
        if keep[field]:
            caption[field] = seen[field - 2]
    return caption


def swapped_caption(rng, caption, record):
    """The caption with one part made (most likely) false; in scenes of several
    objects half the swaps borrow from another object, to teach what belongs to what."""
    fields = [f for f in range(7) if caption[f] != ANY and not (f == NOUN and caption[f] >= SHAPE)]
    field = fields[rng.integers(len(fields))]
    other = list(caption)
    if field >= NOUN and record["count"] > 1 and rng.random() < 0.5:
        value = record["object"][rng.integers(record["count"])][field - 2]
        if value != caption[field]:
            other[field] = int(value)
            return other
    low, high = 0, SIZES[field]
    if field == NOUN:
        low, high = (0, 8) if caption[field] < 8 else (8, 10)
    value = low + rng.integers(high - low - 1)
    other[field] = int(value + (value >= caption[field]))
    return other


def truth(records, captions):
    """[images, captions] booleans: the caption is true of the image."""
    c = np.asarray(captions, dtype=np.int16)
    objects = records["object"].astype(np.int16)  # B,4,5
    fits = lambda have, want: (want == ANY) | (have[:, None] == want[None])
    whole = fits(records["setting"].astype(np.int16), c[:, SETTING])
    whole &= fits(records["count"].astype(np.int16) - 1, c[:, COUNT])
    some = np.zeros_like(whole)
    for i in range(4):
        o = objects[:, i]
        noun = c[None, :, NOUN]
        kind = o[:, :1]
        one = (kind == noun) | ((noun == SHAPE) & (kind < 8)) | ((noun == BIRD) & ((kind == 8) | (kind == 9)))
        for field in (COLOUR, TEXTURE, SIZE, PLACE):
            one &= fits(o[:, field - 2], c[:, field])
        some |= one
    return whole & some


def every_word():
    """Words with how often captions use them, for the vocabulary."""
    rng = np.random.default_rng(5)
    counts = {}
    for attribute in PROMPTS:
        for template in PROMPTS[attribute]["templates"]:
            for text in prompts_of(attribute, template):
                for word in text.split():
                    counts[word] = counts.get(word, 0) + 1
    for _ in range(4000):
        caption = [int(rng.integers(n)) if rng.random() < 0.5 else ANY for n in SIZES]
        caption[NOUN] = int(rng.integers(12)) if caption[NOUN] == ANY else caption[NOUN]
        for word in say(caption, int(rng.integers(8))).split():
            counts[word] = counts.get(word, 0) + 1
    return counts
