"""Writes pool.txt: descriptions of the demo's world for TextSpan, one a line.

    python make_pool.py > pool.txt

Every value alone, worded as prompts.json words it, then every pair of values of
two attributes, then a few wordings of plain scenes. No chance in it."""
import itertools

import words

LOOKS = ("size", "colour", "texture")


def singles():
    for attribute, entry in words.PROMPTS.items():
        for template in entry["templates"][:2]:
            yield from words.prompts_of(attribute, template)


def pairs():
    text = words.class_texts
    for one, two in itertools.combinations(LOOKS, 2):
        for a, b in itertools.product(text(one), text(two)):
            yield f"a {a} {b} shape"
    for attribute in LOOKS:
        for a in text(attribute):
            for shape in text("shape"):
                yield f"a {a} {shape}"
            for setting in text("setting"):
                yield f"a {a} shape on {setting}"
            for place in text("place"):
                yield f"a {a} shape in the {place}"
    for shape in text("shape"):
        yield from (f"a {shape} on {s}" for s in text("setting"))
        yield from (f"a {shape} in the {p}" for p in text("place"))
    for setting in text("setting"):
        yield from (f"{c} on {setting}" for c in text("count"))
        yield from (f"a shape in the {p} on {setting}" for p in text("place"))
    for bird in text("bird"):
        yield from (f"a {c} {bird}" for c in text("colour"))
        yield from (f"a {bird} on {s}" for s in ("water", "grass"))


def main():
    articles = {"a orange": "an orange"}
    seen = set()
    for line in itertools.chain(singles(), pairs(), ["a bird", "a shape", "shapes", "a scene"]):
        for wrong, right in articles.items():
            line = line.replace(wrong, right)
        if line not in seen:
            seen.add(line)
            print(line)


if __name__ == "__main__":
    main()
