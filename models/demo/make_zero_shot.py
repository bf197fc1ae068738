"""Writes prompts.json as the class and template files that `clipspan classify` reads:

    python make_zero_shot.py        -> zero_shot/ATTRIBUTE.classes.txt, zero_shot/ATTRIBUTE.templates.txt
"""
import json
import pathlib

HERE = pathlib.Path(__file__).resolve().parent


def main():
    for name, entry in json.loads((HERE / "prompts.json").read_text()).items():
        classes = [f"{c['label']}\t{c['text']}\n" for c in entry["classes"]]
        (HERE / "zero_shot" / f"{name}.classes.txt").write_text("".join(classes))
        templates = "".join(f"{t}\n" for t in entry["templates"])
        (HERE / "zero_shot" / f"{name}.templates.txt").write_text(templates)


if __name__ == "__main__":
    main()
