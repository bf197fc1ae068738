"""What the tests of `clipspan serve` share: a server as a child process, plain requests, the commands beside it.

Standard library only. BUILD and SOURCE name the build folder and the repository.
"""
import http.client
import json
import os
import signal
import socket
import subprocess
import tempfile

BUILD = os.path.abspath(os.environ.get("BUILD", "build/release"))
SOURCE = os.path.abspath(os.environ.get("SOURCE", "."))
CLIPSPAN = os.path.join(BUILD, "clipspan")
DEMO = os.path.join(SOURCE, "models/demo/clipspan-demo")
PATIENCE = 300  # seconds until something counts as hung


def environment(scratch):
    return {**os.environ, "XDG_CACHE_HOME": os.path.join(scratch, "cache"), "OMP_WAIT_POLICY": "passive", "LC_ALL": "C.UTF-8",
            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=1",
            "LSAN_OPTIONS": f"suppressions={SOURCE}/tests/leaks.txt:print_suppressions=0"}


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def error(self):
        return self.json()["error"]


class Server:
    """`with Server(scratch, words...) as server`: runs, and must end well when it is told to."""

    def __init__(self, scratch, *words):
        self.scratch, self.words = scratch, words
        self.expected = ""  # on standard error

    def __enter__(self):
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen([CLIPSPAN, "serve", *self.words, "--port", "0", "--quiet"], stdout=subprocess.PIPE,
                                        stderr=self.errors, cwd=self.scratch, env=environment(self.scratch), text=True)
        self.url = self.process.stdout.readline().strip()
        assert self.url.startswith("http://"), self.said()
        self.host = self.url[len("http://"):].split("/")[0]
        self.name, port = self.host.rsplit(":", 1)
        self.port = int(port)
        return self

    def __exit__(self, kind, *_):
        code, said = self.stop(), self.said()
        self.errors.close()
        if kind is None:
            assert code == 0 and said == self.expected, f"ended with {code}: {said}"

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self.process.stdout.close()

    def said(self):
        """What it wrote on standard error."""
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")

    def ask(self, method, path, body=None, headers=None, connection=None):
        own = connection or http.client.HTTPConnection(self.name, self.port, timeout=PATIENCE)
        given = dict(headers or {})
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
            given.setdefault("Content-Type", "application/json")
        try:
            own.request(method, path, body, given)
            answer = own.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            if connection is None:
                own.close()

    def get(self, path, **more):
        return self.ask("GET", path, **more)

    def post(self, path, body, **more):
        return self.ask("POST", path, body, **more)

    def hand_in(self, file, name=None, model=0):
        with open(file, "rb") as opened:
            bytes_of = opened.read()
        name = name or os.path.basename(file)
        return self.ask("POST", f"/api/images?name={name}&model={model}", bytes_of, {"Content-Type": "image/png"}).json()["id"]

    def socket(self):
        return socket.create_connection((self.name, self.port), timeout=PATIENCE)


def command(scratch, *words):
    """What a command prints."""
    done = subprocess.run([CLIPSPAN, *words, "--quiet"], cwd=scratch, env=environment(scratch), capture_output=True, timeout=PATIENCE,
                          check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def make(scratch, images=24):
    """Rendered scenes and a store of them: scenes/, store/; a tiny model beside: tiny/."""
    def run(*words):
        subprocess.run(words, cwd=scratch, env=environment(scratch), check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE)
    run(os.path.join(BUILD, "models/demo/demo-scenes"), "dir", "scenes", "--count", str(images), "--seed", "7", "--split", "test")
    run(CLIPSPAN, "decompose", DEMO, "scenes/labels.csv", "-o", "store", "--quiet")
    run(os.path.join(BUILD, "tests/make_model"), "tiny")
