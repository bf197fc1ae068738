"""The text tower beside open_clip, and TextSpan beside the plain algorithm.

    bench/texts.py --build build/release                 the table
    bench/texts.py --build build/release --json          one object a line: name, value, unit, against
    bench/texts.py --build build/release --million       also a pool of one million texts (needs 5 GB of disk for its file)

Text tower: texts a second of the general pool. Ours is a whole `clipspan embed` of the pool less one of its first
texts, over the difference in texts, so that start and packing do not count; open_clip's is encode_text on batches of token
ids, padded to the context length as its tokenizer gives them, same type, same threads, behind one batch to warm up. Rows
are run in turn and the median of --repeats is given.

TextSpan: a synthetic store of ViT-L-14's shape (bench_textspan; random numbers, 2.6 GB for 50,000 images), unit random
texts; whole commands, so starting, reading, checking and printing count. Beside it the algorithm as published, here in
PyTorch fp32: project the texts on the contributions' right singular vectors, centre, then for each text to pick score every
text over every image and take the best one's direction out of all contributions and all texts. It runs for ONE head and a
fifth of the images, on random contributions of rank 67 (its time does not depend on their values), and is multiplied by five
and by the number of heads, 64: all but a hundredth of its work is proportional to images.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
POOL = HERE.parent / "models/pools/general.txt"
HEADS, SIZE, WIDTH, FACTORS = 64, 20, 768, 67
PART = 5  # of the images, one in so many is given to the published algorithm


def seconds_of(command):
    began = time.monotonic()
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr.decode()}")
    return time.monotonic() - began


# ---- the other side, each in a process of its own ---------------------------------------------------------

def open_clip_rate(folder, name, dtype, threads, count, batch):
    """Texts a second of encode_text."""
    import torch
    library = torch.library.Library("torchvision", "DEF")  # torchvision's wheel imports once these operators exist
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import open_clip
    from safetensors.torch import load_file
    torch.set_num_threads(threads)
    model = open_clip.create_model(name, pretrained=None)
    model.load_state_dict(load_file(pathlib.Path(folder) / "open_clip_model.safetensors"))
    model = model.eval().to(torch.bfloat16 if dtype == "bf16" else torch.float32)
    lines = POOL.read_text().splitlines()
    lines = lines[::max(1, len(lines) // (count + batch))]
    ids = open_clip.get_tokenizer(name)(lines[:count + batch])
    with torch.inference_mode():
        model.encode_text(ids[:batch])
        began = time.monotonic()
        for first in range(batch, count + batch, batch):
            model.encode_text(ids[first:first + batch])
    return count / (time.monotonic() - began)


def direct_seconds(images, texts, threads, picks):
    """The published algorithm for one head."""
    import torch
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    c = torch.randn(images, FACTORS) @ torch.randn(FACTORS, WIDTH) * 0.01
    t = torch.nn.functional.normalize(torch.randn(texts, WIDTH), dim=1)
    began = time.monotonic()
    span = torch.linalg.svd(c, full_matrices=False).Vh[:80]
    t = t @ span.T @ span
    c = c - c.mean(0)
    for _ in range(picks):
        best = (c @ t.T).std(0).argmax()
        n = t[best] / t[best].norm()
        c = c - (c @ n)[:, None] * n
        t = t - (t @ n)[:, None] * n
    return time.monotonic() - began


def other_side(arguments):
    return float(subprocess.check_output([sys.executable, __file__, "--other", *map(str, arguments)],
                                         stderr=subprocess.DEVNULL).decode().split()[-1])


# ---- rows -----------------------------------------------------------------------------------------------------

def tower_rows(args, folder):
    lines = POOL.read_text().splitlines()
    short = folder / "short.txt"
    short.write_text("\n".join(lines[:256]) + "\n")
    clipspan = pathlib.Path(args.build) / "clipspan"
    for model in args.models:
        name = pathlib.Path(model).parent.name
        for dtype in args.dtypes.split(","):
            ours, theirs = [], []
            for _ in range(args.repeats):
                command = [clipspan, "embed", model, "-o", folder / "e.npy", "--dtype", dtype, "--threads", args.threads,
                           "--quiet", "-t"]
                ours.append((len(lines) - 256) / (seconds_of(command + [POOL]) - seconds_of(command + [short])))
                theirs.append(other_side(["open_clip", model, name, dtype, args.threads, args.open_clip_texts, 64]))
            yield (f"text tower, {name}, {dtype}, general pool", statistics.median(ours), "texts/s",
                   f"open_clip {statistics.median(theirs):.1f} texts/s: "
                   f"{statistics.median(ours) / statistics.median(theirs):.1f} times")


def make_pool(path, count):
    import numpy
    if path.with_suffix(".npy").exists():
        return
    generator = numpy.random.default_rng(count)
    out = numpy.lib.format.open_memmap(path.with_suffix(".npy"), mode="w+", dtype=numpy.float32, shape=(count, WIDTH))
    for first in range(0, count, 50000):
        x = generator.standard_normal((min(50000, count - first), WIDTH), dtype=numpy.float32)
        out[first:first + len(x)] = x / numpy.linalg.norm(x, axis=1, keepdims=True)
    out.flush()
    path.with_suffix(".txt").write_text("".join(f"text number {i}\n" for i in range(count)))


def textspan_rows(args, folder):
    build = pathlib.Path(args.build)
    store, moments = folder / f"store-{args.images}", folder / f"moments-{args.images}"
    for target, extra in ((store, []), (moments, ["moments"])):  # what is there is left, what is half there finished
        seconds_of([build / "bench/bench_textspan", target, args.images, *extra])
    pool = folder / f"pool-{args.texts}"
    make_pool(pool, args.texts)

    def span(from_store, texts):
        command = [build / "clipspan", "textspan", from_store, "--texts", texts.with_suffix(".txt"), "--embeddings",
                   texts.with_suffix(".npy"), "--heads", "last:4", "--size", SIZE, "--json", "-o", folder / "heads.json",
                   "--threads", args.threads, "--quiet"]
        return statistics.median(seconds_of(command) for _ in range(args.repeats))

    what = f"{HEADS} heads, {args.texts} texts, {SIZE} each, {args.images} images"
    against = "not run"
    if not args.quick:
        one = PART * other_side(["direct", args.images // PART, args.texts, args.threads, SIZE])
        against = f"the published algorithm {one:.0f} s for one head, so {one * HEADS / 60:.0f} min for {HEADS} (scaled)"
    yield f"TextSpan from the store, with its images ranked: {what}", span(store, pool), "s", against
    yield f"TextSpan from moments: {what}", span(moments, pool), "s", against
    if args.million:
        large = folder / "pool-1000000"
        make_pool(large, 1000000)
        args.repeats = 1
        yield f"TextSpan from moments: {HEADS} heads, 1,000,000 texts", span(moments, large), "s", "a target of 60 s"


def main():
    if sys.argv[1:2] == ["--other"]:
        which, *rest = sys.argv[2:]
        if which == "open_clip":
            print(open_clip_rate(rest[0], rest[1], rest[2], *map(int, rest[3:])))
        else:
            print(direct_seconds(*map(int, rest)))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True)
    parser.add_argument("--folder", default="build/bench/texts", help="for synthetic data")
    parser.add_argument("--models", nargs="*", default=["build/bench/ViT-B-16/model"], help="open_clip directories")
    parser.add_argument("--dtypes", default="f32,bf16")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--images", type=int, default=50000)
    parser.add_argument("--texts", type=int, default=3498)
    parser.add_argument("--open-clip-texts", type=int, default=256, help="of the pool, spread over it")
    parser.add_argument("--only", choices=["tower", "textspan"])
    parser.add_argument("--quick", action="store_true", help="without the published algorithm")
    parser.add_argument("--million", action="store_true")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    folder = pathlib.Path(args.folder)
    folder.mkdir(parents=True, exist_ok=True)
    for part, rows in (("tower", tower_rows), ("textspan", textspan_rows)):
        for name, value, unit, against in rows(args, folder) if args.only in (None, part) else ():
            if args.json:
                print(json.dumps({"name": name, "value": value, "unit": unit, "against": against}), flush=True)
            else:
                print(f"{name}: {value:.2f} {unit} ({against})", flush=True)


if __name__ == "__main__":
    main()
