"""Holds a report page against the commands that it names.   report_check.py PAGE [--commands]"""
import base64
import json
import os
import re
import shlex
import subprocess
import sys


def read(path):
    text = open(path, encoding="utf-8").read()
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
    words = shlex.split(command)
    assert words[0] == "clipspan"
    words[0] = os.path.join(os.environ["BUILD"], "clipspan")
    return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


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
    return "agrees" if run(section["command"]) == data else "DIFFERS"


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
            print(" ", section["kind"] + ":", check_section(section) if "--commands" in sys.argv else "there")
        for absent in side["absent"]:
            print("  absent", absent["kind"] + ":", absent["why"].replace(os.environ["scratch"], "TMP"))


main()
