#!/usr/bin/env python3
"""The server under load, and how long a new text takes.

    bench/serve.py --build build/release --model MODEL [--store STORE] --image PICTURE [--clients 16] [--seconds 10]

Starts `clipspan serve`, hands one picture in, then asks: new texts one after another (what typing does); the same few texts
from several clients at a time. Every request must be answered with 200; prints milliseconds and requests a second. Bounded:
it ends after so many seconds. Standard library only.
"""
import argparse
import http.client
import json
import os
import subprocess
import sys
import threading
import time


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Client:
    def __init__(self, host):
        self.connection = http.client.HTTPConnection(host, timeout=600)

    def ask(self, method, path, body=None, kind="application/json"):
        given = json.dumps(body).encode() if isinstance(body, dict) else body
        self.connection.request(method, path, given, {"Content-Type": kind} if body is not None else {})
        answer = self.connection.getresponse()
        bytes_of = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{method} {path}: {answer.status} {bytes_of[:200]}")
        return json.loads(bytes_of)


def times_of(call, count):
    found = []
    for number in range(count):
        begun = time.perf_counter()
        call(number)
        found.append(1000 * (time.perf_counter() - begun))
    return found


def say(what, found):
    print(f"{what:44} median {percentile(found, 0.5):8.1f} ms   95 %: {percentile(found, 0.95):8.1f} ms   fastest {min(found):8.1f} ms")


def load(host, image, clients, seconds):
    counts, problems, until = [0] * clients, [], time.perf_counter() + seconds

    def run(number):
        client = Client(host)
        try:
            while time.perf_counter() < until:
                client.ask("POST", "/api/scores", {"image": image, "texts": ["a red circle", "snow"], "off": "L0.H0", "by": "zero"})
                counts[number] += 1
        except Exception as problem:  # whatever it is, it is a lost request
            problems.append(problem)
    threads = [threading.Thread(target=run, args=(number,)) for number in range(clients)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{clients} clients at a time: {sum(counts)} requests in {time.perf_counter() - begun:.1f} s, "
          f"{sum(counts) / (time.perf_counter() - begun):.0f} a second, {len(problems)} lost")
    for problem in problems[:3]:
        print(f"  {problem}")
    return not problems


def measure(host, arguments):
    client = Client(host)
    with open(arguments.image, "rb") as file:
        picture = file.read()
    begun = time.perf_counter()
    image = client.ask("POST", "/api/images?name=first", picture, "image/png")["id"]
    print(f"{'the first image (packs the weights)':44}        {1000 * (time.perf_counter() - begun):8.1f} ms")
    # bytes behind a PNG's end make it another image of the same pixels
    say("an image", times_of(lambda n: client.ask("POST", "/api/images?name=next", picture + bytes([n]), "image/png"), arguments.images))
    client.ask("POST", "/api/images?name=first", picture, "image/png")
    begun = time.perf_counter()
    client.ask("POST", "/api/maps", {"image": image, "texts": ["the first text"]})
    print(f"{'the first text (packs the weights)':44}        {1000 * (time.perf_counter() - begun):8.1f} ms")
    new = lambda n: f"new text number {n} of {os.getpid()} on grass"
    say("a new text: its map", times_of(lambda n: client.ask("POST", "/api/maps", {"image": image, "texts": [new(n)]}), arguments.texts))
    say("a new text: scores, every head's effect", times_of(lambda n: client.ask("POST", "/api/scores", {"image": image, "texts": [new(-1 - n)]}), arguments.texts))
    say("a known text: its map", times_of(lambda n: client.ask("POST", "/api/maps", {"image": image, "texts": [new(0)]}), arguments.texts))
    say("a known text: every head's map", times_of(lambda n: client.ask("POST", "/api/maps", {"image": image, "texts": [new(0)], "detail": "head"}), arguments.texts))
    say("heads off, the network run again", times_of(lambda n: client.ask("POST", "/api/scores", {
        "image": image, "texts": [new(0)], "off": f"L{n % 4}.H0", "by": "zero", "run": True}), min(arguments.texts, 8)))
    return load(host, image, arguments.clients, arguments.seconds)


def main():
    parser = argparse.ArgumentParser(description="Measures clipspan serve.")
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--model", default="models/demo/clipspan-demo")
    parser.add_argument("--store")
    parser.add_argument("--image", required=True, help="a PNG")
    parser.add_argument("--dtype", default="f32")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--texts", type=int, default=40)
    parser.add_argument("--images", type=int, default=8)
    arguments = parser.parse_args()
    words = [os.path.join(arguments.build, "clipspan"), "serve", arguments.model]
    words += [arguments.store] if arguments.store else []
    with subprocess.Popen([*words, "--port", "0", "--dtype", arguments.dtype], stdout=subprocess.PIPE, text=True) as server:
        try:
            good = measure(server.stdout.readline().strip()[len("http://"):-1], arguments)
        finally:
            server.terminate()
    return 0 if good and server.returncode == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
