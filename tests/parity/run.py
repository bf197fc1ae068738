"""Compares clipspan with open_clip, transformers and an independent decomposition, at full size, live.

    tests/parity/run.sh BUILD [--reduced] [--models B-16-open_clip,H-14-huggingface] [--work DIR]

For every model of models.py (random weights, perturbed): its files are written as open_clip or transformers write them,
those programs' own answers are kept, and then clipspan reads the files.

  pixels   bit for bit the float32 that the program's own preprocessing makes
  ids      equal token ids
  images   embeddings, not normalised, fp32: largest |a - b| / largest |b| of a row, below 1e-4; cosine above 0.999999;
  texts    with --dtype bf16 the cosine with the fp32 reference above 0.999
  terms    every exported vector (heads, MLPs, class token's attention, constants; both conventions) against
           decomposition.py in fp64: |a - b| / |b| by vector (2-norms), below 1e-4, and below 1e-4 of the largest entry
  tokens   the same for single source tokens, from the store's factored tensors, two layers
  picks    TextSpan against textspan.py on the exported vectors: identical

Ends with 1 when anything is out of bounds. Log and table: WORK/parity.log, WORK/parity.md.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy's own products are small here; torch's threads are its own
import numpy as np  # noqa: E402

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import decomposition  # noqa: E402
import models  # noqa: E402
import sources  # noqa: E402
import textspan  # noqa: E402
from safetensors.numpy import load_file  # noqa: E402

SPAN_TEXTS, SPAN_SIZE = 400, 20


class Run:
    """clipspan, its scratch folder, and a log."""

    def __init__(self, clipspan, work):
        self.clipspan, self.work = clipspan, work
        os.makedirs(work, exist_ok=True)
        self.log_file = open(os.path.join(work, "parity.log"), "w")
        self.environment = dict(os.environ, XDG_CACHE_HOME=os.path.join(work, "cache"))
        self.failures = []

    def log(self, text):
        print(text, flush=True)
        print(text, file=self.log_file, flush=True)

    def path(self, name):
        return os.path.join(self.work, name)

    def command(self, *arguments):
        print("$ clipspan", *arguments, file=self.log_file, flush=True)
        done = subprocess.run([self.clipspan, *arguments], env=self.environment, capture_output=True)
        self.log_file.write(done.stderr.decode("utf-8", "replace"))
        if done.returncode != 0:
            raise RuntimeError(f"clipspan {arguments[0]}: exit {done.returncode}: {done.stderr.decode()[-800:]}")
        return done.stdout.decode()

    def array(self, *arguments):
        out = self.path("out.npy")
        self.command(*arguments, "-o", out)
        return np.load(out)

    def expect(self, model, what, good, detail):
        self.log(f"  {'ok  ' if good else 'FAIL'} {what}: {detail}")
        if not good:
            self.failures.append(f"{model}: {what}: {detail}")
        return good


# ---- measures -------------------------------------------------------------------------------------------


def relative(a, b):
    """Largest |a - b| / largest |b|, of the worst row."""
    return float((np.abs(a - b).max(-1) / np.abs(b).max(-1)).max())


def cosine(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(((a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)).min())


def by_vector(a, b):
    """Largest |a - b| / |b| over the vectors of the last axis."""
    return float((np.linalg.norm(a - b, axis=-1) / np.linalg.norm(b, axis=-1)).max())


def by_largest(a, b):
    return float(np.abs(a - b).max() / np.abs(b).max())


# ---- one model ------------------------------------------------------------------------------------------


def reference_answers(name, folder, paths, texts, run):
    """Everything the reference programs say; their model is let go before clipspan starts."""
    begin = time.time()
    reference, path, options = models.make(name, folder)
    made = time.time()
    answers = {"pixels": np.stack([reference.pixels(p) for p in paths])}
    answers["images"] = reference.encode_images(answers["pixels"])
    answers["ids"] = [reference.ids(t) for t in texts]
    answers["texts"] = reference.encode_texts(texts)
    tower = reference.tower()
    layers = len(tower.blocks)
    answers["token_layers"] = (layers // 2, layers - 1)
    answers["terms"] = decomposition.decompose_all(tower, answers["pixels"][:run.decomposed], answers["token_layers"])
    rows = answers["terms"].pop("rows")
    checks = [decomposition.check(row, answers["images"][i]) for i, row in enumerate(rows)]
    peak = min(row["peak"] for row in rows)
    tokens = tower.position.shape[0]
    run.expect(name, "attention is not uniform", peak > 3 / tokens, f"largest weight {peak:.3f}, uniform {1 / tokens:.4f}")
    worst = [max(c[i] for c in checks) for i in range(3)]
    run.expect(name, "the reference's own sums", worst[0] < 1e-12 and worst[1] < 1e-12 and worst[2] < 1e-4,
               f"terms against r/|r| {worst[0]:.1e}, against r {worst[1]:.1e}, r against encode_image {worst[2]:.1e}")
    run.log(f"  reference: {made - begin:.0f} s to make and write, {time.time() - made:.0f} s to answer")
    del reference, tower
    models.forget()
    return answers, path, options


def compare_inputs(run, name, answers, model, options, folder, texts_file):
    pixels = run.array("preprocess", model, folder, *options)
    same = pixels.shape == answers["pixels"].shape and np.array_equal(pixels.view(np.uint32),
                                                                      answers["pixels"].view(np.uint32))
    run.expect(name, "pixels", same, f"{len(pixels)} images, bit for bit" if same else "differ")
    lines = run.command("tokenize", model, "--texts", texts_file, *options).splitlines()
    ids = [[int(i) for i in line.split()] for line in lines]
    wrong = [i for i, (a, b) in enumerate(zip(ids, answers["ids"])) if a != b]
    same = len(ids) == len(answers["ids"]) and not wrong
    run.expect(name, "token ids", same, f"{len(ids)} texts" + ("" if same else f", different: {wrong[:10]}"))
    return {"pixels": "equal" if not run_failed(run, name, "pixels") else "differ", "ids": "equal" if same else "differ"}


def run_failed(run, name, what):
    return any(f.startswith(f"{name}: {what}") for f in run.failures)


def compare_embeddings(run, name, answers, model, options, folder, texts_file):
    row = {}
    for what, flag, source in (("images", "--images", folder), ("texts", "--texts", texts_file)):
        expected = answers[what]
        found = run.array("embed", model, flag, source, "--no-normalize", *options)
        error, angle = relative(found, expected), cosine(found, expected)
        run.expect(name, f"{what} fp32", error < 1e-4 and angle > 0.999999, f"relative {error:.2e}, cosine {angle:.9f}")
        half = cosine(run.array("embed", model, flag, source, "--dtype", "bf16", *options), expected)
        run.expect(name, f"{what} bf16", half > 0.999, f"cosine {half:.6f}")
        row[what] = f"{error:.1e}"
        row[what + " bf16"] = f"{half:.5f}"
    return row


def token_terms(shard, basis, l):
    """Exact terms by source token from the store's factors: [I, H, N, E]."""
    tokens = shard[f"tokens.{l}"].astype(np.float64)  # [H, I, N, d]
    w, w_mean = basis["w"][l].astype(np.float64), basis["w_mean"][l].astype(np.float64)  # [H, d, E], [H, d]
    centred = np.einsum("hind,hde->ihne", tokens, w)
    centred -= np.einsum("hind,hd->ihn", tokens, w_mean)[..., None] * basis["ones"].astype(np.float64)
    return centred / shard["sigma"].astype(np.float64)[:, None, None, None]


def compare_terms(run, name, answers, model, options, folder):
    store, out = run.path("terms.store"), run.path("terms")
    layers = ",".join(f"L{l}" for l in answers["token_layers"])
    run.command("decompose", model, folder, "-o", store, "--limit", str(run.decomposed), "--token-layers", layers, *options)
    row, worst = {}, 0.0
    for convention in ("paper", "exact"):
        run.command("export", store, "--format", "npy", "--name", "x", "--model-name", "m", "-o", out, "--convention",
                    convention)
        expected = answers["terms"][convention]
        for part in ("attn", "mlp", "cls_attn"):
            found = np.load(os.path.join(out, f"x_{part}_m.npy")).astype(np.float64)
            vector, largest = by_vector(found, expected[part]), by_largest(found, expected[part])
            worst = max(worst, vector)
            run.expect(name, f"terms {convention} {part}", vector < 1e-4 and largest < 1e-4,
                       f"by vector {vector:.2e}, of the largest entry {largest:.2e}, shape {list(found.shape)}")
        shutil.rmtree(out)
    row["terms"] = f"{worst:.1e}"
    basis = load_file(os.path.join(store, "basis.safetensors"))
    shards = sorted(f for f in os.listdir(store) if f.startswith("shard-"))
    shard = load_file(os.path.join(store, shards[0]))
    worst = 0.0
    for l in answers["token_layers"]:
        found, expected = token_terms(shard, basis, l), answers["terms"]["exact"]["tokens"][l]
        vector, largest = by_vector(found, expected), by_largest(found, expected)
        worst = max(worst, largest)
        run.expect(name, f"tokens of layer {l}", vector < 1e-4 and largest < 1e-4,
                   f"by vector {vector:.2e}, of the largest entry {largest:.2e}, shape {list(found.shape)}")
    row["tokens"] = f"{worst:.1e}"
    shutil.rmtree(store)
    return row


def compare_picks(run, name, model, options, folder, pool_file):
    store, out, answer = run.path("span.store"), run.path("span"), run.path("span.json")
    run.command("decompose", model, folder, "-o", store, *options)
    run.command("textspan", store, "--texts", pool_file, "--size", str(SPAN_SIZE), "--heads", "all", "--pictures", "1",
                "--json", "-o", answer)
    run.command("export", store, "--format", "npy", "--name", "x", "--model-name", "m", "-o", out)
    pool = run.array("embed", model, "--texts", pool_file, *options)
    attn = np.load(os.path.join(out, "x_attn_m.npy"))
    with open(answer) as file:
        heads = json.load(file)["heads"]
    result = textspan.compare(attn, pool, heads, SPAN_SIZE)
    same = not result["different"] and result["heads"] == attn.shape[1] * attn.shape[2]
    run.expect(name, "picks", same,
               f"{result['picks']} of {result['heads']} heads over {len(attn)} images and {len(pool)} texts, "
               f"{len(result['different'])} different, {result['ties']} ties, {result['ranks']} other ranks")
    for line in result["different"][:10]:
        run.log("       " + line)
    for path in (store, out):
        shutil.rmtree(path)
    return {"picks": f"{result['picks']}" + (f", {len(result['different'])} differ" if result["different"] else "")}


def compare_model(run, name, sizes):
    run.log(f"\n{name}")
    begin = time.time()
    folder = run.path("model")
    shutil.rmtree(folder, ignore_errors=True)
    texts = sources.TRICKY + sources.texts(40, 5)
    texts_file, pool_file = run.path("texts.txt"), run.path("pool.txt")
    for path, lines in ((texts_file, texts), (pool_file, sources.texts(SPAN_TEXTS, 6))):
        with open(path, "w", encoding="utf-8", newline="") as file:
            file.write("\n".join(lines) + "\n")
    images = run.path("images")
    paths = sources.pictures(images, sizes["images"], 7)
    run.decomposed = sizes["decomposed"]
    answers, model, options = reference_answers(name, folder, paths, texts, run)
    row = {"model": name}
    row.update(compare_inputs(run, name, answers, model, options, images, texts_file))
    row.update(compare_embeddings(run, name, answers, model, options, images, texts_file))
    row.update(compare_terms(run, name, answers, model, options, images))
    if sizes["span"]:
        span = run.path("span-images")
        shutil.rmtree(span, ignore_errors=True)
        sources.pictures(span, sizes["span"], 8)
        row.update(compare_picks(run, name, model, options, span, pool_file))
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(images)
    row["seconds"] = f"{time.time() - begin:.0f}"
    return row


def sizes_of(name, reduced):
    """Images to embed, to decompose in fp64, and for TextSpan (0: left out)."""
    if name.startswith("small"):
        return {"images": 14, "decomposed": 4, "span": 120}
    if name.startswith("B-"):
        return {"images": 7, "decomposed": 2, "span": 0 if reduced and "32" not in name else 48}
    return {"images": 5, "decomposed": 2, "span": 24 if name.startswith("L-14-o") else 0}


COLUMNS = ["model", "pixels", "ids", "images", "images bf16", "texts", "texts bf16", "terms", "tokens", "picks", "seconds"]


def table(rows):
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(row.get(c, "-") for c in COLUMNS) + " |" for row in rows]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clipspan", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--reduced", action="store_true")
    parser.add_argument("--models", help="comma-separated; default: all, or the reduced ones")
    given = parser.parse_args()
    run = Run(os.path.abspath(given.clipspan), os.path.abspath(given.work))
    names = given.models.split(",") if given.models else models.REDUCED if given.reduced else models.FULL
    rows, begin = [], time.time()
    for name in names:
        try:
            rows.append(compare_model(run, name, sizes_of(name, given.reduced)))
        except (RuntimeError, OSError) as error:
            run.expect(name, "run", False, str(error))
            rows.append({"model": name, "pixels": "stopped"})
    run.log("\n" + table(rows))
    run.log(f"\nimages, texts: relative error in fp32; bf16: cosine; terms, tokens: relative error. "
            f"{time.time() - begin:.0f} s in all.")
    with open(run.path("parity.md"), "w") as file:
        file.write(table(rows) + "\n")
    run.log("parity: all within bounds" if not run.failures else "parity: OUT OF BOUNDS:\n" + "\n".join(run.failures))
    return 1 if run.failures else 0


if __name__ == "__main__":
    sys.exit(main())
