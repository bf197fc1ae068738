#!/usr/bin/env python3
"""One table: clipspan beside other engines on the same threads, with the machine's own peak; JSON beside it.

    make bench          everything, under 10 minutes        make bench-quick    under one minute, clipspan alone
    bench/run.py --build build/release [--quick] [--only TEXT] [--repeats N] [--sections encoder,kernels,analyses]

Every engine is a process of its own that is loaded once and then asked in turn, round after round, for about a second's
work (the protocol stands in encoder.c), so that ratios are of neighbours in time. The peak is measured before and after
every round. A figure is the median over the rounds, with the least and the most; a ratio is the median of the rounds' own
ratios. Everything runs as in a shell that says nothing of threads, whatever this one exports. docs/benchmarks.md says what
each figure means.
"""
import argparse
import json
import os
import pathlib
import platform
import select
import shutil
import signal
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
# Rounds, images of the list of files; the share of the time that is meant for all, after which no further round begins.
MODELS = {"ViT-B-16": {"batch": 16, "rounds": 4, "files": 48, "until": 0.36},
          "ViT-L-14": {"batch": 8, "rounds": 3, "files": 0, "until": 0.66}}
# The published program's decomposition in fp32, as a share of the fp32 peak of the machine where it was measured for the
# project. It is not run here.
PUBLISHED = {"ViT-B-16": 0.009, "ViT-L-14": 0.004}
BUDGET = 540  # seconds
PATIENCE = 240  # seconds that an engine may be silent
# How an engine's threads wait, where they run and how many there are: GNU's, Intel's and LLVM's OpenMP, MKL, oneDNN, BLAS.
THREADING = ("OMP_", "GOMP_", "KMP_", "MKL_", "ONEDNN_", "DNNL_", "OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS")
TOLD = ("CLIPSPAN_", "OPENBLAS_")  # left as they are, and told
OURS = {"plain": "plain encoder", "heads": "every head decomposed", "default": "heads, MLPs, class token (as `decompose`)",
        "maps": "heads, and a heat-map for one text at every head", "tokens": "heads, and every head by source token",
        "heads-files": "every head decomposed, from JPEG files"}


# ---- the environment ------------------------------------------------------------------------------------------------

def settle_environment(threads, chosen):
    """Makes this process's environment, which all others inherit, that of a user whose shell says nothing of threads, save
    what is chosen for this run (NAME=VALUE). Says what stands and what was taken out."""
    cleared = {name: os.environ.pop(name) for name in sorted(os.environ) if name.startswith(THREADING)}
    stands = {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false", **dict(pair.split("=", 1) for pair in chosen)}
    os.environ.update(stands)
    told = {name: value for name, value in sorted(os.environ.items()) if name.startswith(TOLD)}
    return {"set": dict(stands, **told), "cleared": cleared}


# ---- engines --------------------------------------------------------------------------------------------------------

class Engine:
    """A process that speaks bench_encoder's protocol. What goes wrong with it ends it, and is told; not the run."""

    def __init__(self, command, threads):
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
        self.fault, self.library, self.megabytes = None, "", None
        self.errors = open(os.devnull, "w") if os.environ.get("BENCH_QUIET") else None
        self.process = subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.errors, env=environment)
        ready = self.read()
        self.library = ready.get("library", "")

    def read(self):
        if self.fault is None and select.select([self.process.stdout], [], [], PATIENCE)[0]:
            try:
                return json.loads(self.process.stdout.readline())
            except json.JSONDecodeError:
                pass
        self.fail("ended or was silent")
        return {}

    def fail(self, fault):
        self.fault = self.fault or fault
        self.process.kill()
        self.process.wait()

    def ask(self, what, images):
        """Images a second, or None."""
        if self.fault:
            return None
        try:
            self.process.stdin.write(f"{what} {images}\n".encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            self.fail("ended")
        said = self.read()
        return said["images"] / said["seconds"] if said else None

    def finish(self):
        """Peak memory in MB, or None."""
        if self.fault is None:
            self.process.stdin.close()
            self.megabytes = self.read().get("megabytes")
            self.process.wait()
        return self.megabytes


def run_for(seconds, command):
    """What the command printed, and what went wrong or None. Ends it, and what it started, when its time is over."""
    try:
        process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   start_new_session=True)
    except OSError as error:
        return "", str(error)
    try:
        printed, errors = process.communicate(timeout=seconds)
        return printed, (errors.strip().splitlines() or ["failed"])[-1] if process.returncode else None
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.communicate()[0], f"not done after {seconds:.0f} s"
    except KeyboardInterrupt:
        os.killpg(process.pid, signal.SIGKILL)
        raise


class Row:
    def __init__(self, model, who, dtype, what, engine, once=False):
        self.model, self.who, self.dtype, self.what, self.engine, self.once = model, who, dtype, what, engine, once
        self.images, self.rates, self.megabytes = None, [], None
        self.name = f"{model} {who} {dtype} {what}"

    def turn(self, batch, seconds):
        """The first turn is a warm-up, from which the length of the others is taken."""
        if self.images is None:
            self.images = {"heads-files": 1, "all": 2, "direct": 2}.get(self.what, batch)
            rate = self.engine.ask(self.what, self.images)
            if self.once and rate:
                self.rates.append(rate)
            elif rate and self.what not in ("heads-files", "direct"):
                self.images = max(1, round(rate * seconds / batch)) * batch
        elif not (self.once and self.rates):
            rate = self.engine.ask(self.what, self.images)
            if rate:
                self.rates.append(rate)


def peers_python():
    """The interpreter that has the other engines, and which of them."""
    for venv in (ROOT / "build/bench/peers-venv", ROOT / "build/parity-venv"):
        if (venv / "bin/python").exists():
            code = ("import importlib.util as u; "
                    "print(*[m for m in ('torch', 'open_clip', 'onnx', 'onnxruntime', 'openvino', 'PIL') if u.find_spec(m)])")
            found = subprocess.run([venv / "bin/python", "-c", code], capture_output=True, text=True)
            if found.returncode == 0:
                return venv / "bin/python", set(found.stdout.split())
    return None, set()


class Bench:
    def __init__(self, args):
        self.args, self.build = args, pathlib.Path(args.build).resolve()
        self.folder = pathlib.Path(args.folder).resolve()
        self.python, self.modules = peers_python()
        if args.quick or args.no_peers:
            self.modules -= {"onnx", "onnxruntime", "openvino"}
        self.environment = settle_environment(args.threads, args.environment)
        self.peaks, self.rows, self.lines, self.versions = [], [], [], {}
        self.began = time.monotonic()

    def elapsed(self):
        return time.monotonic() - self.began

    def program(self, name):
        return self.build / "bench" / f"bench_{name}"

    # ---- what is measured with -------------------------------------------------------------------------------

    def make_model(self, name):
        folder = self.folder / name / "model"
        if (folder / "open_clip_model.safetensors").exists():
            return folder
        folder.mkdir(parents=True, exist_ok=True)
        if {"torch", "open_clip"} <= self.modules:
            subprocess.check_call([self.python, HERE / "peers.py", "model", name, folder])
        else:  # the same shapes without PyTorch: our own maker of test models
            large = name == "ViT-L-14"
            sizes = {"layers": 24, "width": 1024, "heads": 16, "mlp": 4096, "patch": 14, "embed": 768} if large else \
                    {"layers": 12, "width": 768, "heads": 12, "mlp": 3072, "patch": 16, "embed": 512}
            options = [f"--{key}={value}" for key, value in dict(sizes, image=224, layout="open_clip").items()]
            subprocess.check_call([self.build / "tests/make_model", folder, *options])
        return folder

    def make_pictures(self, count):
        """A list of JPEG files of 500 x 375, or None where nothing here can write them."""
        folder, listing = self.folder / "pictures", self.folder / f"pictures-{count}.txt"
        if count == 0 or not (listing.exists() or "PIL" in self.modules):
            return None
        code = ("import sys, pathlib, numpy\nfrom PIL import Image\nfolder = pathlib.Path(sys.argv[1])\n"
                "g = numpy.random.default_rng(0)\n"
                "for i in range(int(sys.argv[2])):\n"
                "    coarse = Image.fromarray(g.integers(0, 256, (12, 16, 3), dtype=numpy.uint8))\n"
                "    coarse.resize((500, 375), Image.BICUBIC).save(folder / f'{i:05d}.jpg', quality=90)\n")
        if not listing.exists():
            folder.mkdir(parents=True, exist_ok=True)
            subprocess.check_call([self.python, "-c", code, folder, str(count)])
            listing.write_text("".join(f"{folder}/{i:05d}.jpg\n" for i in range(count)))
        return listing

    def make_onnx(self, name, model, batch):
        path = self.folder / name / f"image-{batch}.onnx"
        if path.exists():
            return path
        part = path.with_name("part-" + path.name)
        done = subprocess.run([self.python, HERE / "peers.py", "onnx", model, part, str(batch)], capture_output=True, text=True)
        if done.returncode:
            self.say(f"no ONNX file of {name}: {done.stderr.strip().splitlines()[-1:]}")
            return None
        return part.rename(path)

    def prepare(self):
        """What the other engines' rows need and is made once."""
        for name, setting in MODELS.items():
            model = self.make_model(name)
            self.make_pictures(setting["files"])
            self.say(f"{name}: {self.make_onnx(name, model, setting['batch'])}")

    def say(self, text):
        print(f"  {text}", file=sys.stderr, flush=True)

    # ---- the encoder -----------------------------------------------------------------------------------------

    def engines_of(self, name):
        """(who, dtype, command, [what]) of every engine that is here."""
        setting, threads = MODELS[name], self.args.threads
        model, batch = self.make_model(name), str(setting["batch"])
        pictures = None if self.args.quick else self.make_pictures(setting["files"])
        encoder = [self.program("encoder"), model, "--batch", batch]
        what = ["plain", "heads"] if self.args.quick else ["plain", "heads", "default", "maps", "tokens"]
        if pictures:
            what, encoder = what + ["heads-files"], encoder + ["--list", pictures]
        for dtype in ("f32", "bf16"):
            yield "clipspan", dtype, encoder + ["--dtype", dtype, "--threads", str(threads)], what
            if not self.args.quick and name == "ViT-B-16" and threads > 1:
                yield "clipspan, 1 thread", dtype, encoder + ["--dtype", dtype, "--threads", "1"], ["heads"]
        if self.args.quick or self.args.no_peers:
            return
        peer = [self.python, HERE / "peers.py"]
        tail = ["--batch", batch, "--threads", str(threads)]
        if {"torch", "open_clip"} <= self.modules:
            yield "torch", "f32", peer + ["torch", model, *tail], ["plain", "direct", "all"]
            yield "torch", "bf16", peer + ["torch", model, *tail, "--dtype", "bf16"], ["plain"]
        onnx = self.make_onnx(name, model, batch) if {"torch", "onnx"} <= self.modules else None
        for who, dtype in (("onnxruntime", "f32"), ("openvino", "f32"), ("openvino", "bf16")):
            if onnx and who in self.modules:
                yield who, dtype, peer + [who, model, *tail, "--onnx", onnx, "--dtype", dtype], ["plain"]

    def wanted(self, name):
        return all(word in name for word in self.args.only or [])

    def measure_model(self, name):
        batch, rows = MODELS[name]["batch"], []
        for who, dtype, command, whats in self.engines_of(name):
            chosen = [what for what in whats if self.wanted(f"{name} {who} {dtype} {what}")]
            if not chosen:
                continue
            engine = Engine(command, self.args.threads if "1 thread" not in who else 1)
            self.versions[who.split(",")[0]] = engine.library
            self.say(f"{name}: {who} {dtype} is ready: {engine.library or engine.fault}")
            rows += [Row(name, who, dtype, what, engine, what in ("direct", "all")) for what in chosen]
        rounds = self.args.repeats or (2 if self.args.quick else MODELS[name]["rounds"])
        for number in range(rounds + 1):
            if number > 2 and not self.args.repeats and self.elapsed() > MODELS[name]["until"] * BUDGET:
                break
            self.measure_peak(name)
            for row in rows:
                row.turn(batch, 0.5 if self.args.quick else 1.0)
            self.say(f"{name}: {f'round {number} of {rounds}' if number else 'warmed up'}")
        self.measure_peak(name)
        for engine in {id(row.engine): row.engine for row in rows}.values():
            engine.finish()
        for row in rows:
            alone = row.who != "clipspan"
            row.megabytes = row.engine.megabytes if alone else self.memory_of(row, batch)
        self.rows += rows

    def memory_of(self, row, batch):
        """Of our own rows, which share a process above: a process of its own, two batches."""
        if row.what not in ("plain", "heads") or self.args.quick:
            return None
        command = [self.program("encoder"), self.folder / row.model / "model", "--batch", batch, "--dtype", row.dtype,
                   "--threads", self.args.threads]
        engine = Engine(command, self.args.threads)
        engine.ask(row.what, 2 * batch)
        return engine.finish()

    def measure_peak(self, model):
        done = subprocess.run([self.program("peak"), str(self.args.threads)], capture_output=True, text=True)
        if done.returncode == 0:
            self.peaks.append(dict(json.loads(done.stdout), model=model))

    def peak(self, dtype, model=None):
        """Median of the machine's peak over the run, GFLOP/s; of bf16 the better unit's."""
        keys = ["f32"] if dtype == "f32" else ["bf16_dot", "bf16_tile"]
        values = [max(p.get(key, 0) for key in keys) for p in self.peaks if model in (None, p["model"])]
        return statistics.median(values) if values else 0

    def gflop(self, name):
        """Of the full plain forward of one image, every token in every layer: multiply and add count as two."""
        config = json.loads((self.folder / name / "model/open_clip_config.json").read_text())["model_cfg"]
        v = config["vision_cfg"]
        d, patches = v["width"], (v["image_size"] // v["patch_size"]) ** 2
        n, hidden = patches + 1, round(d * v.get("mlp_ratio", 4))
        block = 2 * n * d * 4 * d + 2 * n * d * 2 * hidden + 4 * n * n * d
        return (2 * patches * d * 3 * v["patch_size"] ** 2 + v["layers"] * block + 2 * d * config["embed_dim"]) / 1e9

    # ---- programs that print one flat object a line -----------------------------------------------------------

    def run_lines(self, section, command, patience):
        patience = min(patience, max(20, BUDGET + 50 - self.elapsed())) if not self.args.repeats else patience
        self.say(" ".join(pathlib.Path(str(part)).name for part in command))
        printed, fault = run_for(patience, command)
        for line in printed.splitlines():
            if line.startswith("{"):
                try:
                    self.lines.append(dict(json.loads(line), section=section))
                except json.JSONDecodeError:
                    pass
        if fault:
            self.lines.append({"section": section, "name": pathlib.Path(str(command[0])).name, "fault": fault[:200]})

    def measure_kernels(self):
        options = ["--quick", "--repeats", "5"] if self.args.quick else []
        self.run_lines("kernels", [self.program("kernels"), "--time", "--json", "--threads", self.args.threads, *options], 200)

    @staticmethod
    def bring_into_memory(store):
        for path in sorted(store.glob("*.safetensors")):
            with open(path, "rb") as file:
                while file.read(1 << 20):
                    pass

    def measure_analyses(self):
        """The analyses' own programs, where they are built; small with --quick."""
        stores, kind = self.folder / "stores", "small" if self.args.quick else "whole"
        stores.mkdir(parents=True, exist_ok=True)
        # The store's name, the program, images of the quick run, more options.
        for name, program, images, options in (("analyses", "analyses", 2000, ["--only", "ablate"]),
                                               ("analyses-mlp", "analyses", 2000, ["--mlp"]),
                                               ("retrieval", "retrieval", 50000, []), ("store", "store", 1000, [])):
            if self.program(program).exists() and self.wanted(program):
                few = ["--images", images] if self.args.quick else []
                self.bring_into_memory(stores / f"{name}-{kind}")
                self.run_lines("analyses", [self.program(program), stores / f"{name}-{kind}", *few, *options, "--json"], 200)
        shutil.rmtree(stores / f"store-{kind}", ignore_errors=True)
        if not self.args.quick and self.python and self.wanted("texts"):
            self.run_lines("analyses", [self.python, HERE / "texts.py", "--build", self.build, "--folder", self.folder / "texts",
                                        "--models", self.make_model("ViT-B-16"), "--repeats", 1, "--json"], 200)

    # ---- what is printed --------------------------------------------------------------------------------------

    def ratio(self, row, other):
        pairs = [a / b for a, b in zip(row.rates, other.rates)] if len(other.rates) > 1 else \
                [statistics.median(row.rates) / other.rates[0]] if other.rates else []
        return statistics.median(pairs) if pairs and row.rates else None

    def find(self, row, who, what, dtype=None):
        for other in self.rows:
            if (other.model, other.who, other.what, other.dtype) == (row.model, who, what, dtype or row.dtype) and other.rates:
                return other
        return None

    def describe(self, row):
        middle = statistics.median(row.rates) if row.rates else None
        peak = self.peak(row.dtype, row.model)
        said = {"model": row.model, "batch": MODELS[row.model]["batch"], "engine": row.who, "dtype": row.dtype, "what": row.what,
                "images_per_second": middle, "least": min(row.rates, default=None), "most": max(row.rates, default=None),
                "rates": row.rates, "megabytes": row.megabytes, "fault": row.engine.fault,
                "share_of_peak": middle * self.gflop(row.model) / peak if middle and peak else None, "ratios": {}}
        against = [("our plain", "clipspan", "plain", None), ("torch", "torch", "plain", None),
                   ("onnxruntime", "onnxruntime", "plain", None), ("openvino", "openvino", "plain", None),
                   ("torch direct, f32", "torch", "direct", "f32"), ("torch all, f32", "torch", "all", "f32"),
                   ("memory heads", "clipspan", "heads", None), ("1 thread", "clipspan, 1 thread", "heads", None)]
        for name, who, what, dtype in against:
            other = self.find(row, who, what, dtype)
            if other and other is not row and row.who == "clipspan":
                said["ratios"][name] = self.ratio(row, other)
        return said

    def machine(self):
        info = {}
        for line in open("/proc/cpuinfo") if os.path.exists("/proc/cpuinfo") else []:
            key, _, value = line.partition(":")
            info.setdefault(key.strip(), value.strip())
        lscpu = subprocess.run(["lscpu"], capture_output=True, text=True).stdout if shutil.which("lscpu") else ""
        caches = {line.split(":")[0].strip(): line.split(":")[1].strip() for line in lscpu.splitlines() if " cache:" in line}
        flags = [f for f in info.get("flags", "").split() if f.startswith(("avx", "amx", "fma", "f16c"))]
        return {"cpu": info.get("model name", platform.machine()), "cores": os.cpu_count(), "flags": flags, "caches": caches,
                "memory_kB": next((int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith("MemTotal")), None),
                "system": platform.platform(terse=True), "load_at_start": os.getloadavg()}

    def commit(self):
        done = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty", "--abbrev=12"], capture_output=True, text=True)
        return done.stdout.strip()

    def report(self, seconds, machine):
        rows = [self.describe(row) for row in self.rows]
        result = {"date": time.strftime("%Y-%m-%dT%H:%M:%S"), "commit": self.commit(), "machine": machine,
                  "versions": self.versions, "environment": self.environment, "threads": self.args.threads,
                  "peaks_gflops": self.peaks, "rows": rows, "lines": self.lines, "asked": self.asked(rows), "seconds": seconds,
                  "quick": self.args.quick}
        path = pathlib.Path(self.args.json or self.folder / ("bench-quick.json" if self.args.quick else "bench.json"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n")
        print_tables(result, self)
        print(f"\n{seconds:.0f} s; JSON: {path}")

    def asked(self, rows):
        """What was set as the aim, beside what was measured: (what, at least or at most, aim, measured)."""
        by = {(r["model"], r["engine"], r["dtype"], r["what"]): r for r in rows}
        out = []

        def ask(name, sense, aim, value):
            if value is not None:
                met = None if aim is None else value >= aim if sense == "at least" else value <= aim
                out.append({"what": name, "sense": sense, "aim": aim, "measured": value, "met": met})
        shares = {("ViT-B-16", "f32"): .88, ("ViT-B-16", "bf16"): .90, ("ViT-L-14", "f32"): .80, ("ViT-L-14", "bf16"): .88}
        for (model, dtype), aim in shares.items():
            heads = by.get((model, "clipspan", dtype, "heads"))
            if not heads:
                continue
            name, ratios = f"{model} {dtype}, every head", heads["ratios"]
            ask(f"{name}: share of peak", "at least", aim, heads["share_of_peak"])
            ask(f"{name}: times OpenVINO's plain forward", "at least", 1.0, ratios.get("openvino"))
            ask(f"{name}: times torch", "at least", 1.3, ratios.get("torch"))
            published = PUBLISHED[model] * self.peak("f32", model)
            ask(f"{name}: times the published code's decomposition at the {PUBLISHED[model]:.1%} of fp32 peak it had elsewhere",
                "at least", 150 if dtype == "f32" else 300,
                heads["share_of_peak"] * self.peak(dtype, model) / published if heads["share_of_peak"] and published else None)
            for way, what in (("direct", "class token's row alone"), ("all", "by all tokens' terms")):
                ask(f"{name}: times our own torch code of the decomposition, fp32, {what}", "", None,
                    ratios.get(f"torch {way}, f32"))
            for what, label, aim_of in (("heads", "heads", .03), ("maps", "heat-maps", .08), ("tokens", "per-token factors", .15)):
                row = by.get((model, "clipspan", dtype, what))
                plain = row and row["ratios"].get("our plain")
                ask(f"{model} {dtype}: cost of {label} over our plain forward", "at most", aim_of, plain and 1 / plain - 1)
            files = by.get((model, "clipspan", dtype, "heads-files"))
            ask(f"{model} {dtype}: cost of JPEG files over decoded images", "at most", .05,
                files and files["ratios"].get("memory heads") and 1 / files["ratios"]["memory heads"] - 1)
            ask(f"{model} {dtype}: {self.args.threads} threads over 1", "at least", 1.85, ratios.get("1 thread"))
        return out

    def run(self):
        machine = self.machine()
        sections = self.args.sections.split(",")
        if "encoder" in sections:
            for name in self.args.models.split(","):
                self.measure_model(name)
        if "kernels" in sections:
            self.measure_kernels()
        if "analyses" in sections:
            self.measure_analyses()
        self.report(self.elapsed(), machine)


# ---- the table ------------------------------------------------------------------------------------------------------

def number(value, form="{:.1f}", none=""):
    return none if value is None else form.format(value)


def print_tables(result, bench):
    machine = result["machine"]
    print(f"{machine['cpu']}, {machine['cores']} cores, {result['threads']} threads in use; commit {result['commit']}; "
          + ", ".join(sorted(set(filter(None, result["versions"].values())))))
    print("load at the start " + ", ".join(f"{load:.1f}" for load in machine["load_at_start"]))
    pairs = {state: ", ".join(f"{name}={value}" for name, value in names.items()) for state, names in result["environment"].items()}
    print(f"environment: {pairs['set']}" + (f"; taken out of the shell's: {pairs['cleared']}" if pairs["cleared"] else ""))
    for kind, key in (("f32", "f32"), ("bf16 dot", "bf16_dot"), ("bf16 tile", "bf16_tile")):
        values = [p[key] for p in result["peaks_gflops"] if key in p]
        if values:
            print(f"peak {kind}: {statistics.median(values):.0f} GFLOP/s ({min(values):.0f} - {max(values):.0f})")
    if result["rows"]:
        print("\n| model, batch | type | engine | images/s (least - most) | share of peak | times our plain | times torch | "
              "MB |\n|---|---|---|---|---|---|---|---|")
    for row in sorted(result["rows"], key=lambda r: (r["model"], r["dtype"] != "f32")):
        print_row(row)
    print_asked(result["asked"])
    print_lines(result["lines"])


def print_row(row):
    label = OURS.get(row["what"], row["what"])
    name = {"direct": "torch, decomposed directly: class token", "all": "torch, decomposed by all tokens' terms"}.get(
        row["what"], row["engine"] if not row["engine"].startswith("clipspan") else f"{row['engine']}: {label}")
    rates = row["fault"] or "failed"
    if row["images_per_second"]:
        form = "{:.3f}" if row["images_per_second"] < 1 else "{:.2f}" if row["images_per_second"] < 10 else "{:.1f}"
        spread = f" ({form.format(row['least'])} - {form.format(row['most'])})" if len(row["rates"]) > 1 else " (once)"
        rates = form.format(row["images_per_second"]) + spread
    share = row["share_of_peak"]
    print(f"| {row['model']}, {row['batch']} | {row['dtype']} | {name} | {rates} | {number(share and 100 * share, '{:.1f} %')} | "
          f"{number(row['ratios'].get('our plain'), '{:.3f}')} | {number(row['ratios'].get('torch'), '{:.2f}')} | "
          f"{number(row['megabytes'], '{:.0f}')} |")


def print_asked(asked):
    if asked:
        print("\n| asked for | aim | measured | |\n|---|---|---|---|")
    for a in asked:
        aim, form = a["aim"], "{:.2f}".format
        if aim is not None and aim < 1:
            form = "{:.1%}".format
        print(f"| {a['what']} | {'' if aim is None else a['sense'] + ' ' + form(aim)} | {form(a['measured'])} | "
              f"{'' if aim is None else 'met' if a['met'] else 'missed'} |")


def print_lines(lines):
    for section in dict.fromkeys(line["section"] for line in lines):
        print(f"\n| {section} | value | spread | against |\n|---|---|---|---|")
        for line in (line for line in lines if line["section"] == section):
            if "fault" in line:
                print(f"| {line['name']} | failed: {line['fault']} | | |")
                continue
            spread = f"{line['least']:.4g} - {line['most']:.4g}" if "least" in line and "most" in line else ""
            share = f"{100 * line['share']:.1f} % of " if "share" in line else ""
            against = line.get("against", line.get("of"))
            print(f"| {line['name']} | {line['value']:.4g} {line.get('unit', '')} | {spread} | "
                  f"{share}{'' if against is None else against} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--quick", action="store_true", help="under a minute: clipspan alone, ViT-B-16, few kernels")
    parser.add_argument("--prepare", action="store_true", help="only make models, pictures and ONNX files, for `make bench-peers`")
    parser.add_argument("--no-peers", action="store_true", help="clipspan alone")
    parser.add_argument("--only", action="append", metavar="TEXT", help="rows whose name contains TEXT; may be repeated")
    parser.add_argument("--repeats", type=int, metavar="N", help="rounds")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--models", metavar="LIST")
    parser.add_argument("--environment", action="append", default=[], metavar="NAME=VALUE",
                        help="a variable that all engines get; may be repeated. Others that bear on threads are taken out")
    parser.add_argument("--sections", default="encoder,kernels,analyses")
    parser.add_argument("--folder", default="build/bench", help="models, pictures, results")
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    args.models = args.models or ("ViT-B-16" if args.quick else ",".join(MODELS))
    if set(args.models.split(",")) - set(MODELS):
        parser.error(f"models are {', '.join(MODELS)}")
    if set(args.sections.split(",")) - {"encoder", "kernels", "analyses"}:
        parser.error("sections are encoder, kernels, analyses")
    if not all("=" in pair for pair in args.environment):
        parser.error("--environment is NAME=VALUE")
    bench = Bench(args)
    bench.prepare() if args.prepare else bench.run()


if __name__ == "__main__":
    main()
