"""Images a second, memory and disk of clipspan beside PyTorch with open_clip, measured in one run.

    bench/run.sh build/release                      ViT-B-16, fp32 and bf16
    bench/run.sh build/release --model ViT-L-14 --images 48

Random weights at full size; JPEG files of 500 x 375 pixels. Every row is a process of its own, run on the same number
of threads. Rates are steady-state: the time of a long run less the time of a short one, over the difference in images,
so that start-up, loading and packing do not count; the median of --repeats such pairs, rows in turn. PyTorch rows
include reading and preprocessing too (open_clip's own transform in the loading process' DataLoader with one worker).
Times on a shared machine drift: compare the ratios of one run.
"""
import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent


def run(command, env=None):
    """Wall seconds and peak memory (MB) of one process."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
    output, error = process.communicate()
    seconds = time.monotonic() - began
    if process.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{error.decode()}")
    return seconds, output.decode()


def with_memory(command):
    """The same through /usr/bin/env time when there is one; else through resource usage of a small wrapper."""
    wrapper = ("import resource, subprocess, sys, time; b = time.monotonic(); c = subprocess.call(sys.argv[1:], "
               "stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL); "
               "print(c, time.monotonic() - b, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)")
    _, output = run([sys.executable, "-c", wrapper, *map(str, command)])
    code, seconds, megabytes = output.split()
    if code != "0":
        sys.exit(f"failed: {' '.join(map(str, command))}")
    return float(seconds), float(megabytes)


def make_images(folder, count):
    import numpy
    from PIL import Image
    folder.mkdir(parents=True, exist_ok=True)
    generator = numpy.random.default_rng(0)
    for i in range(count):
        path = folder / f"{i:05d}.jpg"
        if path.exists():
            continue
        coarse = generator.integers(0, 256, (12, 16, 3), dtype=numpy.uint8)
        Image.fromarray(coarse).resize((500, 375), Image.BICUBIC).save(path, quality=90)


def make_model(folder, name):
    if (folder / "open_clip_model.safetensors").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.check_call([sys.executable, HERE / "torch_side.py", "model", name, folder])


def rows(args, folder, model, images, long_list, short_list):
    """name -> function(list, out) that gives the command."""
    clipspan = pathlib.Path(args.build) / "clipspan"
    threads = ["--threads", str(args.threads), "--batch", str(args.batch)]

    def embed(dtype):
        return lambda images_, out: [clipspan, "embed", model, "--images", images_, "-o", f"{out}.npy", "--dtype", dtype,
                                     *threads]

    def decompose(dtype):
        return lambda images_, out: [clipspan, "decompose", model, images_, "-o", out, "--store-dtype", "f16", "--dtype",
                                     dtype, *threads]

    def torch(mode, dtype):
        return lambda images_, out: [sys.executable, HERE / "torch_side.py", mode, args.model, folder / "model", images_,
                                     dtype, str(args.threads), str(args.batch)]

    found = {}
    for dtype in args.dtypes.split(","):
        found[f"clipspan, plain encoder, {dtype}"] = embed(dtype)
        found[f"clipspan, every head decomposed, {dtype}"] = decompose(dtype)
        found[f"open_clip in PyTorch, plain encoder, {dtype}"] = torch("plain", dtype)
    found["PyTorch, heads decomposed token by token (unfactored), f32"] = torch("unfactored", "f32")
    return found


def measure(command, long_list, short_list, counts, out):
    subprocess.call(["rm", "-rf", str(out)])
    long_seconds, megabytes = with_memory(command(long_list, out))
    size = sum(f.stat().st_size for f in out.rglob("shard*") if f.is_file()) if out.is_dir() else None
    subprocess.call(["rm", "-rf", str(out)])
    short_seconds, _ = with_memory(command(short_list, out))
    subprocess.call(["rm", "-rf", str(out), f"{out}.npy"])
    rate = (counts[0] - counts[1]) / max(long_seconds - short_seconds, 1e-9)
    return rate, megabytes, size


def textspan_seconds(args, model, long_list, folder):
    """All heads of the last four layers against the general pool, text embeddings in the cache."""
    store = folder / "textspan-store"
    clipspan = pathlib.Path(args.build) / "clipspan"
    pool = HERE.parent / "models/pools/general.txt"
    subprocess.call(["rm", "-rf", str(store)])
    with_memory([clipspan, "decompose", model, long_list, "-o", store, "--threads", args.threads])
    command = [clipspan, "textspan", store, "--texts", pool, "--heads", "last:4", "--images", "0", "--json", "-o",
               folder / "textspan.json", "--threads", args.threads]
    with_memory(command)  # fills the cache of text embeddings
    seconds = with_memory(command)[0]
    subprocess.call(["rm", "-rf", str(store)])
    return seconds, sum(1 for line in open(pool) if line.strip())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--model", default="ViT-B-16")
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dtypes", default="f32,bf16")
    parser.add_argument("--folder", default="build/bench")
    args = parser.parse_args()
    args.build = str(pathlib.Path(args.build).resolve())
    folder = pathlib.Path(args.folder).resolve() / args.model
    make_images(folder / "images", args.images)
    make_model(folder / "model", args.model)
    names = [str(folder / "images" / f"{i:05d}.jpg") for i in range(args.images)]
    short = max(args.batch, args.images // 6 // args.batch * args.batch)
    lists = {"long": names, "short": names[:short]}
    for name, content in lists.items():
        (folder / f"{name}.txt").write_text("\n".join(content) + "\n")
    long_list, short_list = folder / "long.txt", folder / "short.txt"

    table = rows(args, folder, folder / "model", None, long_list, short_list)
    results = {name: [] for name in table}
    for repeat in range(args.repeats):
        for name, command in table.items():
            results[name].append(measure(command, long_list, short_list, (len(names), short), folder / "out"))
            print(f"  {repeat + 1}/{args.repeats} {name}: {results[name][-1][0]:.2f} images/s", file=sys.stderr)
    seconds, texts = textspan_seconds(args, folder / "model", long_list, folder)

    report(args, results, seconds, texts, len(names))


def report(args, results, seconds, texts, images):
    print(f"\n{args.model}, batch {args.batch}, {args.threads} threads, {images} JPEG files of 500 x 375, "
          f"median of {args.repeats} (least - most)\n")
    print("| | images/s | peak memory | store, an image |\n|---|---|---|---|")
    machine = []
    for name, values in results.items():
        rates = [v[0] for v in values]
        memory, size = max(v[1] for v in values), values[0][2]
        print(f"| {name} | {statistics.median(rates):.1f} ({min(rates):.1f} - {max(rates):.1f}) | {memory:.0f} MB | "
              f"{'' if size is None else f'{size / images / 1000:.1f} kB'} |")
        machine.append({"name": name, "images_per_second": rates, "peak_megabytes": memory, "store_bytes": size})
    print(f"\nTextSpan, heads of the last 4 layers, {texts} texts, 20 each, whole command: {seconds:.2f} s")
    path = pathlib.Path(args.folder) / f"{args.model}.json"
    path.write_text(json.dumps({"model": args.model, "batch": args.batch, "threads": args.threads, "images": images,
                                "machine": platform.processor() or platform.machine(), "rows": machine,
                                "textspan_seconds": seconds}, indent=1))


if __name__ == "__main__":
    main()
