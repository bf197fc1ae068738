"""Holds a report page against the commands that it names, run by a shell in the folder that this runs in; what they print is
the page's but for the folders that a page says in short.   report_check.py PAGE [--commands] [--show]"""
import base64
import json
import os
import re
import subprocess
import sys


def read(path):
    text = open(path, encoding="utf-8").read()
    check_private(text)
    found = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert len(found) == 1, f"{len(found)} elements of data"
    return text.replace(found[0], ""), json.loads(found[0])


def check_outside(page):
    """Nothing in the page's own text leads out of it; the names of SVG's and XHTML's languages are names."""
    text = re.sub(r"http://www\.w3\.org/[\w/]+", "", page)
    for bad in (r"https?:", r"@import", r"\bimport\s*\(", r"\bfetch\s*\(", r"XMLHttpRequest", r"url\((?!['\"]?(data:|#))",
                r"<link\b[^>]*stylesheet", r"<script[^>]*\bsrc="):
        found = re.search(bad, text)
        if found:
            print("leads outside:", text[max(0, found.start() - 30):found.end() + 50])


def run(command):
    path = os.environ["BUILD"] + ":" + os.environ["PATH"]
    return json.loads(subprocess.run(["sh", "-c", command], check=True, capture_output=True, text=True,
                                     env={**os.environ, "PATH": path}).stdout)


def short(value):
    """The value with every path in this folder relative, and in the user's own behind a ~."""
    if isinstance(value, dict):
        return {key: short(item) for key, item in value.items()}
    if isinstance(value, list):
        return [short(item) for item in value]
    for folder, name in ((os.getcwd(), ""), (os.environ.get("HOME", "/"), "~/")):
        if isinstance(value, str) and folder != "/" and value.startswith(folder + "/"):
            return name + value[len(folder) + 1:]
    return value


def check_private(page):
    """Neither this folder nor the user's own is named."""
    for folder in (os.getcwd(), os.environ.get("HOME", "/")):
        if folder != "/" and folder + "/" in page:
            at = page.index(folder + "/")
            print("tells", folder, "in", page[max(0, at - 60):at + 60])


def check_map(found):
    """Every place within half a step of what the map command prints, the sum to the digit."""
    part = run(found["command"])["images"][0]["texts"][0]["parts"][0]
    true = [v for row in part["values"] for v in row]
    coded = [b - 256 if b > 127 else b for b in base64.b64decode(found["values"])]
    assert len(coded) == len(true) and found["limit"] > 0
    assert max(abs(v) for v in true) == found["limit"]
    assert all(abs(c * found["limit"] / 127 - v) <= found["limit"] / 253 for c, v in zip(coded, true))
    assert part["total"] == found["effect"]


def check_section(section):
    kind, data = section["kind"], section["data"]
    if kind == "head-maps":
        for found in data["maps"][:: max(1, len(data["maps"]) // 3)]:
            check_map(found)
        return "maps agree"
    if kind == "segment-examples":
        wanted = [m["method"] for m in run(section["command"])["methods"]]
        return "methods agree" if data["methods"] == wanted else "methods DIFFER"
    return "agrees" if short(run(section["command"])) == data else "DIFFERS"


def shown(command):
    """The command on one line, without what hangs on the last digits: which rows, heads and texts."""
    command = re.sub(r"(--(rows?|text|heads)) ('[^']*'|\S+)", r"\1 ..", command)
    return command.encode("unicode_escape").decode()


def rows_of(value):
    if isinstance(value, dict):
        if isinstance(value.get("row"), int):
            yield value["row"]
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from rows_of(item)


def main():
    page, data = read(sys.argv[1])
    check_outside(page)
    print(data["format"], "|", data["title"])
    for side in data["sides"]:
        print("side:", os.path.basename(side["store"]["images_path"]), "model" if "model" in side else "no model",
              "|", re.sub(r"^[1-9][\d,]*|(?<=; of )[\d,]+", "some", side.get("sample", "no pictures")))
        named = set().union(*(rows_of(s["data"]) for s in side["sections"])) if side["sections"] else set()
        kept = {int(row) for row in side["pictures"]}
        print("pictures of rows that are not named:", sorted(kept - named))
        for picture in side["pictures"].values():
            assert base64.b64decode(picture["src"].removeprefix("data:image/jpeg;base64,"))[:3] == b"\xff\xd8\xff"
        for section in side["sections"]:
            print(" ", section["kind"] + ":", check_section(section) if "--commands" in sys.argv else "there",
                  *([shown(section["command"])] if "--show" in sys.argv else []))
        for absent in side["absent"]:
            print("  absent", absent["kind"] + ":", absent["why"].replace(os.environ["scratch"], "TMP"))


main()
