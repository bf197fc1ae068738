#!/usr/bin/env python3
"""`clipspan serve` from outside: its numbers are the commands', its errors are clear, its limits hold, nothing ends it.

    BUILD=build/release SOURCE=. tests/serve/serve_test.py [TestCase.test]
"""
import csv
import http.client
import json
import math
import os
import random
import re
import shutil
import signal
import socket
import struct
import tempfile
import threading
import time
import unittest
import zlib

from serving import DEMO, PATIENCE, SOURCE, Server, command, make

TEXTS = ["a red circle", "snow", "two shapes on grass"]
ZERO_SHOT = os.path.join(SOURCE, "models/demo/zero_shot")
POOL = os.path.join(SOURCE, "models/demo/pool.txt")


def setUpModule():
    global SCRATCH
    SCRATCH = tempfile.mkdtemp()
    make(SCRATCH)


def tearDownModule():
    shutil.rmtree(SCRATCH)


def scene(number):
    return os.path.join(SCRATCH, "scenes/images", f"{number:06d}.png")


def bytes_of(path):
    with open(path, "rb") as file:
        return file.read()


def grey(side):
    """A PNG of one grey that is small as a file and takes long to read."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress((b"\0" + b"\x80" * side) * side, 1)) + chunk(b"IEND", b""))


def raw(server, data):
    """Bytes to the server and no more, and what comes back until it closes. (A request that is worked on is dropped by that, but with
    Connection: close.)"""
    with server.socket() as s:
        try:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        parts = []
        while True:
            try:
                part = s.recv(65536)
            except ConnectionResetError:
                break
            if not part:
                break
            parts.append(part)
    return b"".join(parts)


class Numbers(unittest.TestCase):
    """With the store and a pool: what is answered is what the commands print."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server(SCRATCH, DEMO, "store", "--texts", POOL, "--held", "30").__enter__()
        cls.id = cls.server.hand_in(scene(3))

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__(None)

    def test_state(self):
        state = self.server.get("/api/state").json()
        one, = state["models"]
        self.assertEqual(one["model"], json.loads(command(SCRATCH, "info", DEMO, "--json")))
        self.assertEqual(one["store"], json.loads(command(SCRATCH, "info", "store", "--json")))
        self.assertEqual((one["model_path"], one["store_path"], one["pictures"]), (DEMO, "store", True))
        self.assertEqual(state["command"], f"clipspan serve {DEMO} store --texts {POOL} --port 0 --held 30")
        self.assertEqual(state["limits"]["images_held"], 30)
        self.assertIn({"id": self.id, "name": "000003.png", "model": 0}, state["images"])

    def test_heads(self):
        self.assertEqual(self.server.get("/api/heads").json(),
                         json.loads(command(SCRATCH, "heads", "store", "--texts", POOL, "--json")))

    def test_images(self):
        again = self.server.ask("POST", "/api/images?name=C%3A%5Choliday%5Cother.png", bytes_of(scene(3)),
                                {"Content-Type": "application/octet-stream"}).json()
        self.assertEqual(again, {"id": self.id, "name": "000003.png", "side": 96, "patches": 12, "picture": True})
        picture = self.server.get(f"/api/images/{self.id}.png")
        self.assertEqual((picture.headers["content-type"], picture.body[:8]), ("image/png", b"\x89PNG\r\n\x1a\n"))
        self.assertEqual(struct.unpack(">II", picture.body[16:24]), (96, 96))
        row = self.server.post("/api/images", {"row": 5}).json()
        self.assertEqual((row["row"], row["name"]), (5, "images/000005.png"))
        self.assertEqual(self.server.get(f"/api/images/{row['id']}.png").status, 200)

    def test_rows(self):
        with open(os.path.join(SCRATCH, "scenes/labels.csv"), encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
        found = self.server.get("/api/rows?first=3&count=2").json()
        self.assertEqual(found["total"], len(lines))
        self.assertEqual(found["rows"], [{"row": i, "name": lines[i]["path"], "label": lines[i]["label"]} for i in (3, 4)])
        like = self.server.get("/api/rows?like=woo&count=1000").json()
        expected = [i for i, line in enumerate(lines) if any("woo" in value for value in line.values())]
        self.assertTrue(0 < len(expected) < len(lines))
        self.assertEqual([row["row"] for row in like["rows"]], expected)
        picture = self.server.get("/api/rows/4.jpg?side=48")
        self.assertEqual((picture.headers["content-type"], picture.body[:3]), ("image/jpeg", b"\xff\xd8\xff"))
        self.assertGreater(len(self.server.get("/api/rows/4.jpg?side=96").body), len(picture.body))

    def test_maps(self):
        for asked, words in [
                ({}, []), ({"detail": "layer"}, ["--detail", "layer"]), ({"detail": "head"}, ["--detail", "head"]),
                ({"detail": "head", "heads": "L4.H3,last:1"}, ["--detail", "head", "--heads", "L4.H3,last:1"]),
                ({"heads": "L2"}, ["--heads", "L2"]), ({"minus": "a blue square"}, ["--minus", "a blue square"]),
                ({"minus_mean": True, "detail": "layer", "heads": "last:2"}, ["--minus-mean", "--detail", "layer", "--heads", "last:2"])]:
            given = sum((["-t", text] for text in TEXTS), [])
            expected = command(SCRATCH, "map", DEMO, scene(3), *given, *words, "--top", "0", "--json")
            self.assertEqual(self.server.post("/api/maps", {"image": self.id, "texts": TEXTS, **asked}).body, expected, asked)

    def test_maps_of_one_text_against_the_mean_of_all(self):
        asked = {"image": self.id, "texts": TEXTS, "minus_mean": True, "detail": "layer"}
        whole, one = (self.server.post("/api/maps", body).json()["images"][0]["texts"] for body in (asked, {**asked, "only": 1}))
        self.assertEqual(one, whole[1:2])
        many = {"image": self.id, "texts": [f"text {n}" for n in range(64)], "only": 63, "detail": "head"}
        self.assertEqual([text["text"] for text in self.server.post("/api/maps", many).json()["images"][0]["texts"]], ["text 63"])

    def test_maps_of_a_row(self):
        row = self.server.post("/api/images", {"row": 7}).json()["id"]
        expected = command(SCRATCH, "map", DEMO, "scenes/labels.csv", "--rows", "7", "-t", "snow", "--top", "0", "--json")
        self.assertEqual(self.server.post("/api/maps", {"image": row, "texts": ["snow"]}).body, expected)

    def test_scores_are_those_of_maps(self):
        scores = self.server.post("/api/scores", {"image": self.id, "texts": TEXTS}).json()
        maps = self.server.post("/api/maps", {"image": self.id, "texts": TEXTS}).json()["images"][0]["texts"]
        total = 0
        for text, map_of in zip(scores["texts"], maps):
            self.assertEqual((text["text"], text["cosine"], text["cosine_off"]), (map_of["text"], map_of["score"], map_of["score"]))
            for strong in map_of["strongest"]:
                layer, head = map(int, re.match(r"L(\d+)\.H(\d+)", strong["head"]).groups())
                self.assertAlmostEqual(text["effects"][layer][head], strong["effect"], delta=1e-9)
            total += text["probability"]
        self.assertAlmostEqual(total, 1, delta=1e-12)
        logits = [scores["logit_scale"] * text["cosine"] for text in scores["texts"]]
        softmax = [math.exp(x) / sum(map(math.exp, logits)) for x in logits]
        for text, expected in zip(scores["texts"], softmax):
            self.assertAlmostEqual(text["probability"], expected, delta=1e-12)

    def ablated(self, heads, by):
        """The mean logit of the right class over the store, with heads replaced: in the sum, and with the network run again."""
        with open(os.path.join(ZERO_SHOT, "setting.classes.txt"), encoding="utf-8") as file:
            classes = dict(line.rstrip("\n").split("\t") for line in file)
        labels = self.server.get("/api/rows?count=1000").json()["rows"]
        direct = total = scale = 0
        for row in labels:
            image = self.server.post("/api/images", {"row": row["row"]}).json()["id"]
            answer = self.server.post("/api/scores", {"image": image, "texts": [classes[row["label"]]], "off": heads, "by": by,
                                                      "run": True}).json()
            scale = answer["logit_scale"]
            direct += answer["texts"][0]["cosine_off"]
            total += answer["texts"][0]["cosine_run"]
        return scale * direct / len(labels), scale * total / len(labels)

    def test_heads_switched_off_are_as_ablate_has_them(self):
        with open(os.path.join(SCRATCH, "bare.txt"), "w", encoding="utf-8") as file:
            file.write("{}\n")
        for heads, by in (("L5.H0,L3.H2", "mean"), ("last:2", "zero")):
            words = ["--zero"] if by == "zero" else []
            printed = json.loads(command(
                SCRATCH, "ablate", "store", "--column", "setting", "--classes", os.path.join(ZERO_SHOT, "setting.classes.txt"),
                "--templates", "bare.txt", "--heads", heads, "--total", "--at", "class", "--resamples", "0", "--json", *words))
            named = next(a for a in printed["ablations"] if a["kind"] == "set")
            nothing = next(a for a in printed["ablations"] if a["kind"] == "nothing")
            direct, total = self.ablated(heads, by)
            self.assertGreater(abs(named["direct"]["logit"]["value"] - nothing["direct"]["logit"]["value"]), 0.01)
            self.assertGreater(abs(named["total"]["logit"]["value"] - named["direct"]["logit"]["value"]), 0.001)
            self.assertAlmostEqual(direct, named["direct"]["logit"]["value"], delta=2e-5)
            self.assertAlmostEqual(total, named["total"]["logit"]["value"], delta=2e-5)

    def test_mean_effects(self):
        sums = None
        for row in range(24):
            image = self.server.post("/api/images", {"row": row}).json()["id"]
            text, = self.server.post("/api/scores", {"image": image, "texts": ["snow"]}).json()["texts"]
            flat = sum(text["effects"], [])
            sums = [a + b for a, b in zip(sums, flat)] if sums else flat
        means = sum(text["mean_effects"], [])
        self.assertGreater(max(map(abs, means)), 1e-3)
        for total, mean in zip(sums, means):
            self.assertAlmostEqual(total / 24, mean, delta=1e-7)

    def test_nearest(self):
        for asked, words in [
                ({"row": 7, "heads": "L5.H0"}, ["--row", "7", "--heads", "L5.H0"]),
                ({"row": 7}, ["--row", "7", "--whole"]),
                ({"text": "snow", "heads": "last:1", "similarity": "inner", "count": 5},
                 ["--text", "snow", "--heads", "last:1", "--similarity", "inner", "-k", "5"]),
                ({"row": 2, "heads": "L4.H1,L5", "column": "setting", "centre": True},
                 ["--row", "2", "--heads", "L4.H1,L5", "--column", "setting", "--centre"]),
                ({"row": 2, "heads": "L3", "column": "label", "count": 1000}, ["--row", "2", "--heads", "L3", "--column", "label", "-k", "1000"])]:
            expected = command(SCRATCH, "retrieve", "store", *words, "--json")
            for _ in range(2):  # opened, and open already
                self.assertEqual(self.server.post("/api/nearest", asked).body, expected, asked)
        printed = json.loads(command(SCRATCH, "retrieve", "store", "--image", scene(3), "--heads", "L5.H0", "--json"))
        printed["query"]["name"] = "000003.png"
        self.assertEqual(self.server.post("/api/nearest", {"image": self.id, "heads": "L5.H0"}).json(), printed)

    def test_more_spaces_than_are_kept_open(self):
        asked = [{"row": 1, "heads": f"L{layer}.H{head}"} for layer in range(4, 6) for head in range(6)]
        first = [self.server.post("/api/nearest", one).body for one in asked]
        self.assertEqual(len(set(first)), len(asked))
        random.Random(1).shuffle(order := list(range(len(asked))))
        for i in order:
            self.assertEqual(self.server.post("/api/nearest", asked[i]).body, first[i])

    def test_textspan(self):
        with open(POOL, encoding="utf-8") as file:
            pool = file.read().splitlines()[:100] + ["snow", "snow"]
        with open(os.path.join(SCRATCH, "pool.txt"), "w", encoding="utf-8") as file:
            file.write("\n".join(pool) + "\n")
        expected = command(SCRATCH, "textspan", "store", "--texts", "pool.txt", "--heads", "L5.H1,L2.H0", "--size", "6", "--json")
        for _ in range(2):  # embedded, and kept
            self.assertEqual(self.server.post("/api/textspan", {"pool": pool, "heads": "L5.H1,L2.H0", "size": 6}).body, expected)

    def test_a_text_gives_the_same_alone_and_among_others(self):
        words = [f"a text with number {n} in it" for n in range(40)]
        together = self.server.post("/api/scores", {"image": self.id, "texts": words}).json()["texts"]
        with Server(SCRATCH, DEMO) as other:
            image = other.hand_in(scene(3))
            for word, text in list(zip(words, together))[::7]:
                alone, = other.post("/api/scores", {"image": image, "texts": [word]}).json()["texts"]
                self.assertEqual(alone["cosine"], text["cosine"])
                for one, other_one in zip(sum(alone["effects"], []), sum(text["effects"], [])):
                    self.assertAlmostEqual(one, other_one, delta=1e-7)  # observed: 1e-9


class Pages(unittest.TestCase):
    def test_every_file_that_the_page_names(self):
        with Server(SCRATCH, DEMO) as server:
            page = server.get("/")
            self.assertEqual(page.headers["content-type"], "text/html; charset=utf-8")
            names = re.findall(r'(?:src|href)="([^":]+\.(?:js|css))"', page.body.decode())
            self.assertGreater(len(names), 5)
            for name in names:
                answer = server.get("/" + name)
                self.assertEqual(answer.status, 200, name)
                self.assertEqual(answer.body, bytes_of(os.path.join(SOURCE, "web", name)))
            for answer in (page, server.get("/api/state"), server.get("/none"), server.get("/" + names[0])):
                self.assertIn("default-src 'self'", answer.headers["content-security-policy"])
                self.assertEqual(answer.headers["x-content-type-options"], "nosniff")
                self.assertEqual(answer.headers["referrer-policy"], "no-referrer")
                self.assertFalse([name for name in answer.headers if name.startswith("access-control")])
            self.assertEqual(server.ask("HEAD", "/").body, b"")

    def test_no_file_but_those(self):
        with Server(SCRATCH, DEMO) as server:
            for path in ("/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc/passwd", "/viewer.html%00", "/api/state%00.png", "/etc/passwd", "//etc/passwd", "/web/viewer.html",
                         "/api", "/api/", "/api/state/", "/api/viewer.html", "/api/images/../state"):
                self.assertEqual(server.get(path).status, 404, path)


class Errors(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(SCRATCH, DEMO, "store").__enter__()
        cls.id = cls.server.hand_in(scene(0))

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__(None)

    def refused(self, status, words, answer):
        self.assertEqual(answer.status, status, answer.body)
        self.assertRegex(answer.error(), words)
        self.assertNotIn("\n", answer.error())

    def test_requests_that_make_no_sense(self):
        good = {"image": self.id, "texts": ["a"]}
        for path, body, status, words in [
                ("maps", {}, 400, "texts: expected an array"), ("maps", {"texts": ["a"]}, 404, "image  is not held"),
                ("maps", {**good, "image": 7}, 400, "image: expected a text"), ("maps", {**good, "image": "nope"}, 404, "not held"),
                ("maps", {**good, "image": "x" * 200}, 400, "image: 200 bytes"), ("maps", {**good, "texts": "a"}, 400, "expected an array"),
                ("maps", {**good, "texts": []}, 400, "0 texts, expected 1 to 64"), ("maps", {**good, "texts": ["a"] * 65}, 400, "65 texts"),
                ("maps", {**good, "texts": ["a", 1]}, 400, r"number 1 \(from 0\) is no text"),
                ("maps", {**good, "texts": ["a", " \n"]}, 400, "is empty"),
                ("maps", {**good, "texts": ["x" * 2001]}, 400, "2001 bytes, expected at most 2000"),
                ("maps", {**good, "detail": "pixel"}, 400, '"whole" or "layer" or "head"'),
                ("maps", {**good, "heads": "L6"}, 400, "L6.*expected L0 to L5"), ("maps", {**good, "heads": "@/etc/passwd"}, 400, "no file"),
                ("maps", {**good, "minus": "b", "minus_mean": True}, 400, "cannot both"),
                ("maps", {**good, "minus_mean": True}, 400, "two texts or more"), ("maps", {**good, "minus_mean": 1}, 400, "true or false"),
                ("maps", {**good, "only": 1}, 400, "only: expected a whole number from 0 to 0"),
                ("maps", {**good, "model": 1}, 400, "there is no model 1"), ("maps", {**good, "model": -1}, 400, "whole number"),
                ("maps", {**good, "models": 0}, 400, '"models" is no field'),
                ("maps", {**good, "texts": [f"text {n}" for n in range(64)], "detail": "head", "heads": "all"}, 200, ""),
                ("scores", {**good, "off": "H3"}, 400, "unknown head"), ("scores", {**good, "by": "median"}, 400, '"mean" or "zero"'),
                ("images", {}, 400, "row is missing"), ("images", {"row": 24}, 404, "the store has 24 images"),
                ("images", {"row": "3"}, 400, "whole number"), ("images", {"row": 1e30}, 400, "whole number"),
                ("nearest", {}, 400, "one of image, row and text"), ("nearest", {"row": 1, "text": "a"}, 400, "one of image"),
                ("nearest", {"row": 24}, 404, "24 images"), ("nearest", {"row": 1, "count": 0}, 400, "from 1 to 1000"),
                ("nearest", {"row": 1, "column": "taste"}, 400, 'no column "taste"'),
                ("nearest", {"row": 1, "similarity": "near"}, 400, '"cosine" or "inner"'),
                ("textspan", {"pool": []}, 400, "expected 1 to 5000"), ("textspan", {"pool": ["a"] * 5001}, 400, "5001 texts"),
                ("textspan", {"pool": ["a"], "size": 0}, 400, "from 1 to 1000")]:
            answer = self.server.post("/api/" + path, body)
            if status == 200:
                self.assertEqual(answer.status, 200, answer.body[:300])
            else:
                self.refused(status, words, answer)

    def test_json_that_is_none(self):
        for body, words in [(b"", "no JSON"), (b"{", "no JSON"), (b"[]", "no JSON object"), (b'"a"', "no JSON"),
                            (b'{"texts": ["\xff"]}', "no JSON"), (b'{"image": "a\\u0000b"}', "no JSON"), (b'{"a": 1, "a": 2}', "no JSON"),
                            (b"[" * 100000, "deeper than 8"), (b'{"a":' * 9 + b"1" + b"}" * 9, "deeper than 8"),
                            (b'{"image": "' + b"\\" * 99, "no JSON"), (b"\0" * 50, "no JSON"), (b'{"image": 1e999}', "no JSON"),
                            (b"{}{}", "no JSON")]:
            self.refused(400, words, self.server.ask("POST", "/api/maps", body, {"Content-Type": "application/json"}))

    def test_pictures_that_are_none(self):
        kind = {"Content-Type": "image/jpeg"}
        good = bytes_of(scene(1))
        for body, words in [(b"", "empty"), (b"GIF89a...", "is a GIF"), (b"nothing", "not a JPEG, PNG or WebP"), (good[:200], "photo"),
                            (b"\xff\xd8\xff" + os.urandom(5000), "photo"), (good[:1000] + os.urandom(500), "photo")]:
            self.refused(400, words, self.server.ask("POST", "/api/images?name=photo", body, kind))
        large = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + struct.pack(">IIBBBBB", 100000, 100000, 8, 2, 0, 0, 0) + b"\0" * 4
        self.refused(400, "photo", self.server.ask("POST", "/api/images?name=photo", large, kind))
        for name, words in [("", "1 to 200 bytes"), ("x" * 201, "1 to 200"), ("a%0Ab", "control"), ("%FF", "not UTF-8"), ("a/", "1 to 200")]:
            self.refused(400, words, self.server.ask("POST", f"/api/images?name={name}", good, kind))

    def test_paths_and_methods(self):
        for method, path, status, words in [
                ("GET", "/api/maps", 405, "another method"), ("POST", "/api/state", 405, "another method"), ("PUT", "/api/images", 405, "method"),
                ("DELETE", "/api/images/x.png", 405, "method"), ("OPTIONS", "/api/maps", 405, "method"), ("POST", "/", 405, "method"),
                ("GET", "/api/none", 404, "no such path"), ("GET", "/none", 404, "no page"),
                ("GET", "/api/images/none.png", 404, "not held"), ("GET", f"/api/images/{self.id}.gif", 404, "no picture"),
                ("GET", "/api/images/", 404, "no picture"), ("GET", "/api/images/" + "x" * 300 + ".png", 404, "no picture"),
                ("GET", "/api/rows/24.jpg", 404, "no row 24"), ("GET", "/api/rows/-1.jpg", 404, "no row"), ("GET", "/api/rows/x.jpg", 404, "no row"),
                ("GET", "/api/rows/1.jpg?side=0", 400, "from 8"), ("GET", "/api/rows/1.jpg?side=4000", 400, "0 to 1024"),
                ("GET", "/api/rows?first=x", 400, "first: expected a number"), ("GET", "/api/rows?count=1001", 400, "0 to 1000"),
                ("GET", "/api/heads?model=1", 400, "no model 1")]:
            body = b"" if method in ("POST", "PUT") else None
            answer = self.server.ask(method, path, body)
            self.refused(status, words, answer)
            self.assertEqual("allow" in answer.headers, status == 405)
        self.assertEqual(self.server.get("/api/maps").headers["allow"], "POST")
        self.assertEqual(self.server.ask("OPTIONS", "/api/rows/1.jpg").headers["allow"], "GET, HEAD")
        self.assertEqual(self.server.get("/api/rows?like=000%00").json()["total"], 0)  # the text 000%00, not 000

    def test_pictures_are_kept_no_longer_than_the_server(self):
        for path in (f"/api/images/{self.id}.png", "/api/rows/1.jpg"):
            first = self.server.get(path)
            self.assertEqual((first.status, first.headers["cache-control"]), (200, "private, no-cache"))
            tag = first.headers["etag"]
            again = self.server.get(path, headers={"If-None-Match": tag})
            self.assertEqual((again.status, again.body, again.headers["etag"]), (304, b"", tag))
            with Server(SCRATCH, DEMO, "store") as other:
                self.assertEqual(other.hand_in(scene(0)), self.id)
                self.assertEqual(other.get(path, headers={"If-None-Match": tag}).status, 200)
        state = self.server.get("/api/state", headers={"If-None-Match": tag})
        self.assertEqual((state.status, state.headers["cache-control"], "etag" in state.headers), (200, "no-store", False))

    def test_headers(self):
        body = json.dumps({"image": self.id, "texts": ["a"]}).encode()
        host = self.server.host
        ask = self.server.ask
        self.refused(415, "expected JSON", ask("POST", "/api/maps", body, {"Content-Type": "text/plain"}))
        self.refused(415, "expected JSON", ask("POST", "/api/maps", body, {"Content-Type": "application/jsonx"}))
        self.refused(415, "expected a picture", ask("POST", "/api/images", body, {"Content-Type": "text/html"}))
        self.assertEqual(ask("POST", "/api/maps", body, {"Content-Type": "application/json; charset=utf-8"}).status, 200)
        kind = {"Content-Type": "application/json"}
        chunked = b"POST /api/maps HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
        self.assertIn(b" 411 ", raw(self.server, chunked).split(b"\r\n")[0])
        for twice in (b"Host: localhost\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"):
            got = raw(self.server, chunked.replace(b"Transfer-Encoding: chunked\r\n", b"Content-Length: 2\r\n" + twice).replace(b"2\r\n{}", b"{}"))
            self.assertIn(b"more than once", got)
            self.assertEqual(got.count(b"HTTP/1.1 "), 1)  # what follows is no second request
        for name in ("evil.example", f"127.0.0.1.evil.example:{self.server.port}", "localhost.evil", "", "127.0.0.1:x", "[::2]"):
            self.refused(400, "Host header", ask("GET", "/api/state", None, {"Host": name}))
        for name in ("127.0.0.1.", "127.1", "2130706433", "[::1", "[::1]x", "localhost:", "localhost:80:80", "localhost@evil", "128.0.0.1"):
            self.refused(400, "Host header", ask("GET", "/api/state", None, {"Host": name}))
        for name in (host, "localhost", f"LOCALHOST:{self.server.port}", "[::1]:1", "127.0.0.2:80"):
            self.assertEqual(ask("GET", "/api/state", None, {"Host": name}).status, 200, name)
        for more in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": f"http://{host}.evil"}, {"Origin": "file://"},
                     {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": f"http://localhost:{self.server.port}"}):
            self.refused(400, "page of another server", ask("POST", "/api/maps", body, {**kind, **more}))
            self.refused(400, "page of another server", ask("GET", "/api/state", None, more))
            self.assertEqual(ask("GET", "/", None, more).status, 200)  # a link from elsewhere may lead here
        for more in ({"Origin": f"http://{host}"}, {"Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}):
            self.assertEqual(ask("POST", "/api/maps", body, {**kind, **more}).status, 200)

    def test_too_large(self):
        kind = {"Content-Type": "application/json"}
        self.refused(413, "too large", self.server.ask("POST", "/api/maps", b" " * (1 << 18) + b"{}", kind))
        self.refused(400, "no JSON", self.server.ask("POST", "/api/maps", b" " * (1 << 18), kind))
        self.refused(413, "too large", self.server.ask("POST", "/api/textspan", b" " * ((2 << 20) + 1), kind))
        announced = b"POST /api/images HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n"
        self.refused(413, "larger than 32 MiB", self.server.ask("POST", "/api/images", b"\0" * ((32 << 20) + 1), {"Content-Type": "image/png"}))
        for length in (1 << 40, (1 << 64) - 1):
            self.assertIn(b" 413 ", raw(self.server, announced % length).split(b"\r\n")[0])
        self.assertRegex(raw(self.server, announced % (1 << 70)).split(b"\r\n")[0], rb" 4\d\d ")
        self.assertRegex(raw(self.server, b"GET /api/state HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 200000 + b"\r\n\r\n"), rb"^HTTP/1.1 4\d\d |^$")
        asked = announced.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
        with self.server.socket() as s:  # no byte of the body is waited for
            s.sendall(asked % ((32 << 20) + 1))
            self.assertIn(b" 413 ", s.recv(65536).split(b"\r\n")[0])
        with self.server.socket() as s:
            s.sendall(asked % 5)
            self.assertIn(b" 100 ", s.recv(65536).split(b"\r\n")[0])
        with self.server.socket() as s:  # a body that is refused for having no length has an end all the same
            s.sendall((announced % 1).replace(b"Content-Length: 1", b"Transfer-Encoding: chunked"))
            with self.assertRaises(OSError):
                for _ in range(200):
                    s.sendall(b"100000\r\n" + b"\0" * (1 << 20) + b"\r\n")
        many = "&".join(f"a{n}=1" for n in range(500))
        self.assertEqual(self.server.get("/api/state?" + many).status, 200)
        self.refused(400, "no body", self.server.ask("GET", "/api/state", b"{}", kind))


class Holding(unittest.TestCase):
    def test_heads_without_texts(self):
        with Server(SCRATCH, DEMO, "store") as server:
            self.assertEqual(server.get("/api/heads").json(), json.loads(command(SCRATCH, "heads", "store", "--json")))

    def test_images_make_way(self):
        with Server(SCRATCH, DEMO, "--held", "2") as server:
            first, second = server.hand_in(scene(0)), server.hand_in(scene(1))
            self.assertEqual(server.post("/api/maps", {"image": first, "texts": ["a"]}).status, 200)  # asked for last
            third = server.hand_in(scene(2))
            self.assertEqual([image["id"] for image in server.get("/api/state").json()["images"]], [first, third])
            self.assertEqual(server.post("/api/maps", {"image": second, "texts": ["a"]}).status, 404)
            expected = server.post("/api/maps", {"image": third, "texts": ["a"]}).body
            for number in range(3, 9):
                server.hand_in(scene(number))
            again = server.hand_in(scene(2))
            self.assertEqual((again, server.post("/api/maps", {"image": again, "texts": ["a"]}).body), (third, expected))

    def test_an_image_whose_client_leaves_is_no_other_one(self):
        """While its picture is read, which takes a while: it is neither held nor taken for the next one."""
        large = grey(7000)
        with Server(SCRATCH, DEMO) as server:
            first = server.hand_in(scene(0))
            for number in range(3):
                body = large + bytes([number])
                with server.socket() as s:
                    s.sendall(b"POST /api/images?name=large HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n"
                              % len(body) + body)
                    time.sleep(0.05 * (1 + number))
            second = server.hand_in(scene(3))
            for number, image in ((0, first), (3, second)):
                expected = command(SCRATCH, "map", DEMO, scene(number), "-t", "snow", "--top", "0", "--json")
                self.assertEqual(server.post("/api/maps", {"image": image, "texts": ["snow"]}).body, expected)

    def test_large_pictures_make_way(self):
        """Bytes behind a PNG's end are kept with it: 18 of 30 MB are more than 512 MiB."""
        with Server(SCRATCH, DEMO, "--held", "40") as server:
            body, ids = bytes_of(scene(0)) + b"\0" * 30_000_000, []
            for number in range(18):
                ids.append(server.ask("POST", "/api/images?name=large.png", body + bytes([number]), {"Content-Type": "image/png"}).json()["id"])
            self.assertEqual([image["id"] for image in server.get("/api/state").json()["images"]], ids[1:])

    def test_two_models(self):
        with Server(SCRATCH, DEMO, "store", "--beside", "tiny") as server:
            state = server.get("/api/state").json()
            self.assertEqual([one["model"]["name"] for one in state["models"]], ["clipspan-demo", "tiny"])
            self.assertIsNone(state["models"][1]["store"])
            images = [server.hand_in(scene(4), model=model) for model in (0, 1)]
            self.assertEqual(images[0], images[1])
            for model, path in enumerate((DEMO, "tiny")):
                expected = command(SCRATCH, "map", path, scene(4), "-t", "snow", "--top", "0", "--json")
                self.assertEqual(server.post("/api/maps", {"image": images[model], "texts": ["snow"], "model": model}).body, expected)
            row = server.post("/api/images", {"row": 6, "model": 1}).json()  # of the store that there is
            self.assertEqual((row["row"], row["name"], row["picture"]), (6, "images/000006.png", True))
            expected = command(SCRATCH, "map", "tiny", "scenes/labels.csv", "--rows", "6", "-t", "snow", "--top", "0", "--json")
            self.assertEqual(server.post("/api/maps", {"image": row["id"], "texts": ["snow"], "model": 1}).body, expected)
            self.assertEqual(server.get(f"/api/images/{row['id']}.png?model=1").status, 200)
            self.assertEqual(server.post("/api/images", {"row": 24, "model": 1}).status, 404)
            self.assertEqual(server.get("/api/heads?model=1").status, 404)
            self.assertEqual(server.post("/api/nearest", {"row": 1, "model": 1}).status, 404)

    def test_without_a_store(self):
        with Server(SCRATCH, DEMO) as server:
            image = server.hand_in(scene(4))
            for path, body in (("heads", None), ("rows", None), ("nearest", {"text": "a"}), ("textspan", {"pool": ["a"]}), ("images", {"row": 1})):
                answer = server.ask("POST" if body else "GET", "/api/" + path, body)
                self.assertEqual((answer.status, "without a store" in answer.error()), (404, True), path)
            self.assertEqual(server.post("/api/scores", {"image": image, "texts": ["a"], "off": "L5", "by": "mean"}).status, 404)
            scores = server.post("/api/scores", {"image": image, "texts": ["a"], "off": "L5.H2", "run": True}).json()
            text, = scores["texts"]
            self.assertEqual((scores["by"], text["mean_effects"]), ("zero", None))
            self.assertAlmostEqual(text["cosine_off"], text["cosine"] - text["effects"][5][2], delta=1e-12)
            self.assertNotAlmostEqual(text["cosine_run"], text["cosine"], delta=1e-5)
            self.assertEqual(server.post("/api/scores", {"image": image, "texts": ["a"]}).json()["texts"][0]["cosine"], text["cosine"])

    def test_a_store_whose_pictures_are_gone(self):
        shutil.copytree(os.path.join(SCRATCH, "scenes"), os.path.join(SCRATCH, "moved"))
        command(SCRATCH, "decompose", DEMO, "moved/labels.csv", "-o", "tokens", "--tokens", "--limit", "3")
        command(SCRATCH, "decompose", DEMO, "moved/labels.csv", "-o", "heads", "--limit", "3")
        shutil.rmtree(os.path.join(SCRATCH, "moved"))
        with Server(SCRATCH, DEMO, "tokens", "--beside", DEMO) as server:
            answer = server.post("/api/images", {"row": 1, "model": 1})
            self.assertEqual((answer.status, "other model's store" in answer.error()), (404, True))
            self.assertEqual(server.stop(), 0)
            server.expected = server.said()
        with Server(SCRATCH, DEMO, "tokens", "--beside", DEMO, "--beside-store", "heads") as server:
            self.assertFalse(server.get("/api/state").json()["models"][0]["pictures"])
            row = server.post("/api/images", {"row": 1}).json()
            self.assertFalse(row["picture"])
            expected = json.loads(command(SCRATCH, "map", "tokens", "--rows", "1", "-t", "snow", "--top", "0", "--json"))
            self.assertEqual(server.post("/api/maps", {"image": row["id"], "texts": ["snow"]}).json(), expected)
            self.assertEqual(server.get(f"/api/images/{row['id']}.png").status, 404)
            self.assertEqual(server.get("/api/rows/1.jpg").status, 404)
            self.assertEqual(server.post("/api/scores", {"image": row["id"], "texts": ["a"], "off": "L5", "run": True}).status, 404)
            self.assertEqual(server.post("/api/images", {"row": 1, "model": 1}).status, 404)
            self.assertEqual(server.stop(), 0)
            self.assertIn("pictures are not where they were", server.said())
            server.expected = server.said()


class Tokens(unittest.TestCase):
    def refused(self, server, path, headers=None):
        answer = server.get(path, headers=headers)
        self.assertEqual(answer.status, 401)
        self.assertIn("token", answer.error())

    def test_with_a_token(self):
        with Server(SCRATCH, DEMO, "--token", "let-me_in1") as server:
            self.assertTrue(server.url.endswith("/?token=let-me_in1"))
            for path in ("/api/state", "/api/heads", "/api/none", "/api/state?token=let-me_in1"):
                self.refused(server, path)
            for path in ("/", "/viewer.html", "/design.css", "/?token=let-me_in2", "/?token=", "/?token=let-me_in1x"):  # nothing secret
                page = server.get(path)
                self.assertEqual((page.status, "set-cookie" in page.headers), (200, False), path)
                self.assertNotIn(b"let-me_in1", page.body)
            self.assertEqual(server.get("/", headers={"Host": "evil.example"}).status, 400)
            self.assertEqual(server.ask("POST", "/", b"").status, 401)
            for given in ("Bearer let-me_in", "Bearer let-me_in11", "Bearer ", "Basic let-me_in1", "let-me_in1"):
                self.refused(server, "/api/state", {"Authorization": given})
            self.refused(server, "/api/state", {"Cookie": f"clipspan_token_{server.port}=wrong-one"})
            self.assertEqual(server.get("/api/state", headers={"Authorization": "Bearer let-me_in1"}).status, 200)
            page = server.get("/?token=let-me_in1")
            cookie = page.headers["set-cookie"]
            self.assertIn("HttpOnly", cookie)
            self.assertIn("SameSite=Strict", cookie)
            for path in ("/", "/design.css", "/api/state"):
                self.assertEqual(server.get(path, headers={"Cookie": cookie.split(";")[0]}).status, 200)
            image = server.ask("POST", "/api/images?name=a.png", bytes_of(scene(0)), {"Content-Type": "image/png"})
            self.assertEqual(image.status, 401)

    def test_elsewhere_a_token_is_made_up(self):
        tokens = set()
        for _ in range(2):
            with Server(SCRATCH, DEMO, "--host", "0.0.0.0") as server:
                token = re.search(r"/\?token=([0-9a-f]{32})$", server.url).group(1)
                tokens.add(token)
                server.name = "127.0.0.1"
                self.refused(server, "/api/state")
                answer = server.get("/api/state", headers={"Authorization": "Bearer " + token, "Host": "this-machine.example"})
                self.assertEqual(answer.status, 200)
        self.assertEqual(len(tokens), 2)


class Hardship(unittest.TestCase):
    def alive(self, server):
        self.assertEqual(server.get("/api/state").status, 200)

    def test_garbage(self):
        chance = random.Random(2)
        with Server(SCRATCH, DEMO, "--timeout", "2") as server:
            good = (b"POST /api/maps HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 30\r\n\r\n"
                    b'{"image": "a", "texts":["b"]}\n')
            pieces = [b"\0" * 5000, b"\r\n" * 1000, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET " + b"/" * 100000, b"\x16\x03\x01\x02\x00\x01",
                      b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                      b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20000 + b"\r\n", b"GET /%zz%00%ff HTTP/1.1\r\nHost: localhost\r\n\r\n",
                      b"POST /api/maps HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\nContent-Length: 20\r\n\r\n{}"]
            pieces += [chance.randbytes(chance.randrange(1, 3000)) for _ in range(60)]
            for _ in range(120):  # nearly a request
                broken = bytearray(good)
                for _ in range(chance.randrange(1, 6)):
                    broken[chance.randrange(len(broken))] = chance.randrange(256)
                pieces.append(bytes(broken[:chance.randrange(1, len(broken) + 1)]) if chance.random() < 0.5 else bytes(broken))
            for piece in pieces:
                raw(server, piece)
            self.alive(server)
            self.assertEqual(server.post("/api/maps", {"image": "a", "texts": ["b"]}).status, 404)

    def test_requests_that_follow_each_other(self):
        one = b"GET /api/state HTTP/1.1\r\nHost: localhost\r\n\r\n"
        with Server(SCRATCH, DEMO) as server:
            got = raw(server, one * 20 + one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            self.assertEqual(got.count(b"HTTP/1.1 200 OK"), 21)

    def test_a_client_that_closes_its_side_behind_its_last_request_is_answered(self):
        with Server(SCRATCH, DEMO, "store") as server:
            body = json.dumps({"image": server.hand_in(scene(2)), "texts": ["a ring"], "off": "L4.H3", "run": True}).encode()
            head = "POST /api/scores HTTP/1.%d\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n"
            expected = server.post("/api/scores", json.loads(body)).body
            for version, more in ((1, "Connection: close\r\n"), (0, "")):
                got = raw(server, (head % (version, len(body), more)).encode() + body)
                self.assertRegex(got, rb"^HTTP/1.[01] 200 OK\r\n")
                self.assertEqual(got.split(b"\r\n\r\n", 1)[1], expected)

    def test_slow_ones_are_cut(self):
        with Server(SCRATCH, DEMO, "--timeout", "1") as server:
            head = b"GET /api/state HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
            body = b"POST /api/maps HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{"
            slow = [server.socket() for _ in range(40)]
            for i, each in enumerate(slow):
                each.settimeout(0.2)
                each.sendall(head if i % 2 else body)
            open_ones, rounds = list(slow), 0
            while open_ones and rounds < PATIENCE:  # a byte now and then, until it is closed
                rounds += 1
                self.alive(server)
                for each in list(open_ones):
                    try:
                        each.sendall(b"x")
                        if each.recv(1000) == b"":
                            open_ones.remove(each)
                    except socket.timeout:
                        pass
                    except OSError:
                        open_ones.remove(each)
            self.assertEqual(open_ones, [])
            for each in slow:
                each.close()
            self.alive(server)

    def test_fifty_at_a_time(self):
        with Server(SCRATCH, DEMO, "store") as server:
            image = server.hand_in(scene(2))
            answers, expected = {}, {}

            def ask(number):
                answers[number] = [server.post("/api/scores", {"image": image, "texts": [f"number {number}"]}),
                                   server.post("/api/nearest", {"text": f"number {number}", "heads": "L5"}),
                                   server.get(f"/api/rows/{number % 24}.jpg")]
            threads = [threading.Thread(target=ask, args=(number,)) for number in range(50)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(PATIENCE)
            self.assertEqual(sorted(answers), list(range(50)))
            for number in range(50):
                expected = [server.post("/api/scores", {"image": image, "texts": [f"number {number}"]}),
                            server.post("/api/nearest", {"text": f"number {number}", "heads": "L5"}), server.get(f"/api/rows/{number % 24}.jpg")]
                self.assertEqual([(a.status, a.body) for a in answers[number]], [(200, e.body) for e in expected])

    def test_more_than_the_queue_holds(self):
        with Server(SCRATCH, DEMO, "store") as server:
            image = server.hand_in(scene(2))
            answers = []

            def ask(number):
                words = [f"{number} and {n} and more words beside them" for n in range(64)]
                answers.append(server.post("/api/scores", {"image": image, "texts": words}))
            threads = [threading.Thread(target=ask, args=(number,)) for number in range(240)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(PATIENCE)
            self.assertEqual(len(answers), 240)
            statuses = {answer.status for answer in answers}
            self.assertLessEqual(statuses, {200, 503})
            self.assertGreaterEqual(sum(answer.status == 200 for answer in answers), 128)
            for answer in answers:
                if answer.status == 503:
                    self.assertEqual(answer.headers["retry-after"], "1")
                    self.assertIn("too much to do", answer.error())
            self.alive(server)

    def test_nobody_waits_for_those_who_left(self):
        with open(POOL, encoding="utf-8") as file:
            base = file.read().splitlines()
        with Server(SCRATCH, DEMO, "store") as server:
            image = server.hand_in(scene(2))
            for turn in range(8):
                pool = [f"{text} {turn} {n}" for n in range(6) for text in base][:5000]
                body = json.dumps({"pool": pool, "heads": "all"}).encode()
                with server.socket() as s:
                    s.sendall(b"POST /api/textspan HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                self.assertEqual(server.post("/api/scores", {"image": image, "texts": [f"turn {turn}"]}).status, 200)
            self.assertEqual(server.post("/api/nearest", {"row": 1}).status, 200)

    def test_ends_while_heads_are_found(self):
        """What the command itself does for the server listens to the same signals."""
        for before in (True, False):
            with Server(SCRATCH, DEMO, "store", "--texts", POOL) as server:
                asking = http.client.HTTPConnection(server.name, server.port, timeout=PATIENCE)
                asking.request("GET", "/api/heads")
                if before:
                    self.assertEqual(asking.getresponse().status, 200)
                self.assertEqual(server.get("/api/state").status, 200)  # behind the other at the door: that one is in
                self.assertEqual(server.stop(signal.SIGINT), 0)
                if not before:
                    self.assertIn(asking.getresponse().status, (200, 503))
                asking.close()

    def test_ends_in_the_middle_of_work(self):
        with open(POOL, encoding="utf-8") as file:
            pool = [f"{text} {n}" for n in range(6) for text in file.read().splitlines()][:5000]
        for number in (signal.SIGINT, signal.SIGTERM):
            with Server(SCRATCH, DEMO, "store") as server:
                image = server.hand_in(scene(2))
                asking = [http.client.HTTPConnection(server.name, server.port, timeout=PATIENCE) for _ in range(3)]
                for each in asking:
                    each.request("POST", "/api/textspan", json.dumps({"pool": pool}), {"Content-Type": "application/json"})
                self.assertEqual(server.post("/api/scores", {"image": image, "texts": ["a"]}).status, 200)
                self.assertEqual(server.stop(number), 0)
                self.assertEqual([each.getresponse().status in (200, 503) for each in asking], [True] * 3)
                for each in asking:
                    each.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
