#!/usr/bin/env python3
"""Writes the prompt templates and ImageNet class names of an installed open_clip as files for clipspan.

    python3 tools/open_clip_lists.py OUT [--folders IMAGENET/val | --labels FILE]
    clipspan classify MODEL IMAGES --classes OUT/classes.txt --templates OUT/templates.txt

OUT/templates.txt         the 80 customary templates, one a line, {} for the class
OUT/templates_simple.txt  the 7 of them that open_clip calls simple
OUT/classes.txt           lines of label, tab, words. The words are open_clip's; the label is the class's number, or with
                          --folders the name of the n-th folder (sorted by bytes, as ImageNet's n01440764 ... are numbered),
                          or with --labels the n-th line of a file

The lists are open_clip's (open_clip.zero_shot_metadata), read where it is installed; nothing of it is part of clipspan.
Neither torch nor open_clip itself is loaded."""
import argparse
import importlib.util
import os
import sys


def metadata():
    """open_clip/zero_shot_metadata.py alone: it needs nothing of its package."""
    package = importlib.util.find_spec("open_clip")
    if package is None or not package.submodule_search_locations:
        sys.exit("open_clip is not installed for this Python (pip install open_clip_torch)")
    path = os.path.join(list(package.submodule_search_locations)[0], "zero_shot_metadata.py")
    if not os.path.exists(path):
        sys.exit(f"{path} is missing: this open_clip keeps its lists elsewhere")
    spec = importlib.util.spec_from_file_location("open_clip_zero_shot_metadata", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def template_lines(templates):
    """A template is a function of the class name: what it makes of "{}" is the line."""
    lines = [template("{}") if callable(template) else str(template) for template in templates]
    for line in lines:
        if "{}" not in line or "\n" in line:
            sys.exit(f"a template has no place for the class name: {line!r}")
    return lines


def labels_for(count, folders, labels):
    if folders:
        names = sorted((e.name for e in os.scandir(folders) if e.is_dir()), key=os.fsencode)
        where = folders
    elif labels:
        with open(labels, encoding="utf-8") as file:
            names = file.read().splitlines()
        where = labels
    else:
        return [str(i) for i in range(count)]
    if len(names) != count:
        sys.exit(f"{where}: {len(names)} labels, expected {count}, one for each of open_clip's classes")
    return names


def write(directory, name, lines):
    path, beside = os.path.join(directory, name), os.path.join(directory, f".{name}.{os.getpid()}")
    with open(beside, "w", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines)
    os.replace(beside, path)
    print(f"{path}: {len(lines)} lines")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--folders", help="an ImageNet folder whose class folders are the labels")
    which.add_argument("--labels", help="a file with one label a line, in ImageNet's order")
    arguments = parser.parse_args()
    lists = metadata()
    words = list(lists.IMAGENET_CLASSNAMES)
    labels = labels_for(len(words), arguments.folders, arguments.labels)
    os.makedirs(arguments.out, exist_ok=True)
    write(arguments.out, "templates.txt", template_lines(lists.OPENAI_IMAGENET_TEMPLATES))
    write(arguments.out, "templates_simple.txt", template_lines(lists.SIMPLE_IMAGENET_TEMPLATES))
    write(arguments.out, "classes.txt", [f"{label}\t{name}" for label, name in zip(labels, words)])


if __name__ == "__main__":
    main()
