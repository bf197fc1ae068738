"""Zero-shot accuracy of the shipped model on held-out scenes, with transformers.

    python evaluate.py MODEL TESTS

TESTS holds three folders of `demo-scenes dir ... --split test`: scenes, single and
birds (README.md has the lines). Prompts are prompts.json's, averaged over an
attribute's templates. Setting is asked of every image of scenes and single, count
of scenes, the others of single; 'new' counts the images whose every object is a
combination of shape, colour, texture and setting that training never held."""
import csv
import pathlib
import sys

import torch
from PIL import Image
from transformers import CLIPModel, CLIPProcessor

import words


def features(output):
    """transformers 5 wraps what version 4 returned bare."""
    tensor = output if isinstance(output, torch.Tensor) else output.pooler_output
    return torch.nn.functional.normalize(tensor, dim=-1)


@torch.no_grad()
def embed_images(model, processor, folder):
    rows = list(csv.DictReader(open(folder / "labels.csv", newline="")))
    out = []
    for at in range(0, len(rows), 100):
        images = [Image.open(folder / r["path"]) for r in rows[at:at + 100]]
        pixels = processor.image_processor(images=images, return_tensors="pt")
        out.append(features(model.get_image_features(**pixels)))
    return rows, torch.cat(out)


@torch.no_grad()
def embed_classes(model, processor, attribute, first_only=False):
    entry, total = words.PROMPTS[attribute], 0
    for template in entry["templates"][:1 if first_only else None]:
        texts = words.prompts_of(attribute, template)
        ids = processor.tokenizer(texts, return_tensors="pt", padding=True)
        total = total + features(model.get_text_features(**ids))
    return total, [c["label"] for c in entry["classes"]]


def right_answers(images, classes, rows, column):
    texts, labels = classes
    guesses = (images @ texts.t()).argmax(-1).tolist()
    return [labels[g] == r[column] for g, r in zip(guesses, rows)]


def percent(hits):
    hits = list(hits)
    return f"{100 * sum(hits) / len(hits):6.2f} % of {len(hits):5d}" if hits else "    none"


def report(model, processor, name, parts):
    classes = embed_classes(model, processor, name)
    bare = embed_classes(model, processor, name, first_only=True)
    hits, first, groups = [], [], []
    for rows, images in parts:
        hits += right_answers(images, classes, rows, name)
        first += right_answers(images, bare, rows, name)
        groups += [r["group"] for r in rows]
    new = [h for h, g in zip(hits, groups) if g == "new"]
    print(f"{name:8} all {percent(hits)}   new {percent(new)}   first template {percent(first)}")


def report_birds(model, processor, rows, images):
    hits = right_answers(images, embed_classes(model, processor, "bird"), rows, "label")
    groups = {}
    for hit, row in zip(hits, rows):
        groups.setdefault(row["group"], []).append(hit)
    print(f"birds    average {percent(hits)}")
    for group, found in sorted(groups.items()):
        print(f"         {group:12} {percent(found)}")
    worst = min(groups, key=lambda g: sum(groups[g]) / len(groups[g]))
    print(f"         worst group: {worst}")


def main():
    folder, tests = sys.argv[1], pathlib.Path(sys.argv[2])
    torch.set_num_threads(2)
    model = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
    processor = CLIPProcessor.from_pretrained(folder)
    scenes, single, birds = (embed_images(model, processor, tests / n)
                             for n in ("scenes", "single", "birds"))
    report(model, processor, "setting", [scenes, single])
    report(model, processor, "count", [scenes])
    for name in ("shape", "colour", "texture", "size", "place"):
        report(model, processor, name, [single])
    report_birds(model, processor, *birds)


if __name__ == "__main__":
    main()
