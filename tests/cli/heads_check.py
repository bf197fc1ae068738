"""Holds `clipspan heads --json` against what other subcommands say of the same store.

    heads_check.py HEADS.json HEADS.csv TEXTSPAN.json ATTRIBUTES.json ABLATE.json
"""
import csv
import json
import math
import sys

heads, textspan, attributes, ablate = (json.load(open(path)) for path in sys.argv[1:2] + sys.argv[3:])
rows = list(csv.DictReader(open(sys.argv[2])))
every = heads["heads"]
names = [head["name"] for head in every]


def say(what, good):
    print(what if good else f"WRONG: {what}")


def close(a, b):
    return math.isclose(a, b, rel_tol=1e-8, abs_tol=1e-12)


say(f"{heads['layers']} x {heads['heads_a_layer']} heads, by layer and head",
    names == [f"L{l}.H{h}" for l in range(heads["layers"]) for h in range(heads["heads_a_layer"])])
say("shares sum to 1, in proportion to the variances",
    math.isclose(sum(head["share"] for head in every), 1) and
    all(close(head["share"] * every[0]["variance"], every[0]["share"] * head["variance"]) for head in every))

said = {head["name"]: head for head in textspan["heads"]}
described = [head for head in every if "texts" in head]
say(f"textspan's texts, variance and rank, of {len(described)} heads",
    [head["name"] for head in described] == list(said) and all(
        head["variance"] == said[head["name"]]["variance"] and head["rank"] == said[head["name"]]["rank"] and
        head["explained"] == said[head["name"]]["explained"] and
        [(t["text"], t["explained"], t["stability"]) for t in head["texts"]] ==
        [(t["text"], t["explained"], t["stability"]) for t in said[head["name"]]["texts"]] for head in described))
say(f"pool of {heads['pool']['texts']} texts, {heads['resamples']} resamples",
    heads["pool"]["texts"] == textspan["pool"]["texts"] and heads["resamples"] == textspan["resamples"])

told = {head["name"]: head for head in attributes["heads"]}
say("attributes' roles and excesses",
    all(head["role"] == told[head["name"]]["strongest"] and head["excess"] == told[head["name"]]["excess"] for head in every))

drops = {(one["layer"], one["head"]): one["direct"]["logit_drop"]["value"] for one in ablate["ablations"] if one["kind"] == "head"}
say(f"ablate's effects, of {len(drops)} heads",
    len(drops) == len(every) and all(head["effect"] == drops[head["layer"], head["head"]] for head in every))


def sound(head):
    a = head["activation"]
    most, least = [i["value"] for i in a["most"]], [i["value"] for i in a["least"]]
    return (a["text"] == head["texts"][0]["text"] and sum(a["counts"]) == heads["images"] and len(a["counts"]) == 32 and
            most == sorted(most, reverse=True) and least == sorted(least) and most[0] == a["high"] and least[0] == a["low"] and
            a["low"] < a["mean"] < a["high"] and 0 < a["deviation"] < a["high"] - a["low"] and
            len({i["row"] for i in a["most"]}) == len(most) == 3)


say("activations are sound", all(sound(head) for head in described))


def same(row, head):
    texts = head.get("texts", [])
    return (row["layer"] == str(head["layer"]) and row["head"] == str(head["head"]) and row["rank"] == str(head["rank"]) and
            close(float(row["variance"]), head["variance"]) and close(float(row["share"]), head["share"]) and
            row["role"] == (head["role"] or "") and (not head["role"] or close(float(row["excess"]), head["excess"][head["role"]])) and
            close(float(row["effect"]), head["effect"]) and
            all(row[f"text_{m + 1}"] == text["text"] and close(float(row[f"explained_{m + 1}"]), text["explained"])
                for m, text in enumerate(texts)) and
            (texts or row["text_1"] == ""))


say("CSV says the same", len(rows) == len(every) and all(same(row, head) for row, head in zip(rows, every)))
