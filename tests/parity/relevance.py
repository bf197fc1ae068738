"""Derivatives and relevance maps against an independent implementation in PyTorch: float64, and torch's own autograd.

    relevance.py --library BUILD/src/libclipspan.so [--reduced] [--models a,b]

The tower is written out from decomposition.py's weights. Derivatives, also those by attention probabilities, are autograd's.
Relevance is shared out by vector-Jacobian products of each rule's own forward function (x+ W+ + x- W- for a linear layer, a
+ b, A B), so that no formula of src/trace stands here a second time. Rolled-out methods multiply whole matrices.
"""
import argparse
import ctypes
import os
import sys
import tempfile
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # torch's threads and the library's share the processors
import numpy as np  # noqa: E402

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import models  # noqa: E402
import torch  # noqa: E402
from decomposition import by_head, double, linear, norm  # noqa: E402

METHODS = ["raw-attention", "rollout", "gradcam", "partial-lrp", "lrp", "transformer-attribution", "generic-attention",
           "maskclip", "clip-surgery", "sclip", "naclip"]
TEXTS = 3
# Largest difference over the largest expected value. Observed: 8e-6; with relevance, behind a pass in double precision, 1.5e-6.
LIMITS = dict.fromkeys(METHODS + ["embedding", "gradient"], 2e-5)
LIMITS.update(dict.fromkeys(["partial-lrp", "lrp", "transformer-attribution"], 1e-5))


# ---- clipspan through its C interface ------------------------------------------------------------------------------


class Error(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int), ("message", ctypes.c_char * 1024)]


class Info(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("words", ctypes.c_char_p), ("citation", ctypes.c_char_p),
                ("by_text", ctypes.c_int), ("dense", ctypes.c_int), ("pixels", ctypes.c_int)]


def floats(array):
    return array.ctypes.data_as(ctypes.POINTER(ctypes.c_float))


class Tracer:
    def __init__(self, library, path):
        self.library, self.error = ctypes.CDLL(library), Error()
        self.library.clipspan_relevance_get_info.restype = ctypes.POINTER(Info)
        self.model, self.tracer = ctypes.c_void_p(), ctypes.c_void_p()
        self.call("clipspan_model_open", ctypes.byref(self.model), path.encode(), None)
        self.call("clipspan_tracer_open", ctypes.byref(self.tracer), self.model, 0)

    def call(self, name, *arguments):
        if getattr(self.library, name)(*arguments, ctypes.byref(self.error)) != 0:
            raise RuntimeError(self.error.message.decode())

    def info(self, method):
        return self.library.clipspan_relevance_get_info(method).contents

    def run(self, pixels, width):
        out = np.zeros(width, np.float32)
        self.call("clipspan_tracer_run", self.tracer, floats(pixels), floats(out))
        return out

    def gradient(self, text, size):
        out = np.zeros((3, size, size), np.float32)
        self.call("clipspan_tracer_gradient", self.tracer, floats(text), floats(out))
        return out

    def map(self, method, texts, side):
        out = np.zeros((len(texts), side, side), np.float32)
        self.call("clipspan_tracer_map", self.tracer, method, floats(texts), ctypes.c_size_t(len(texts)), floats(out))
        return out

    def close(self):
        self.library.clipspan_tracer_free(self.tracer)
        self.library.clipspan_model_free(self.model)


# ---- the tower in float64, everything kept ----------------------------------------------------------------------------


class Trace:
    """One image through the tower: what autograd and the rules need, by name."""

    def __init__(self, tower, pixels):
        self.tower, self.layers = tower, []
        self.pixels = torch.from_numpy(pixels).double().requires_grad_()
        width, _, self.side, _ = tower.patch.shape
        self.grid = pixels.shape[1] // self.side
        whole = self.grid * self.side
        self.patches = torch.nn.functional.unfold(self.pixels[None, :, :whole, :whole], self.side, stride=self.side)[0].T
        embedded = self.patches @ double(tower.patch).reshape(width, -1).T
        self.embedded = torch.cat([double(tower.class_token)[None], embedded])
        x = self.embedded + double(tower.position)
        x = x if tower.ln_pre is None else norm(x, tower.ln_pre, tower.eps)
        for block in tower.blocks:
            x = self._block(block, x)
        self.last, self.r = x, self.project(x)[0]

    def _block(self, block, x):
        tower, kept = self.tower, {"x": x}
        kept["h1"] = norm(x, block.ln1, tower.eps)
        for name in ("q", "k", "v"):
            kept[name] = by_head(linear(kept["h1"], getattr(block, name)), tower.heads)
        kept["A"] = torch.softmax(kept["q"] @ kept["k"].transpose(1, 2) * self.scale(kept), dim=2)
        kept["z"] = (kept["A"] @ kept["v"]).transpose(0, 1).reshape(x.shape)
        kept["o"] = linear(kept["z"], block.out)
        kept["mid"] = x + kept["o"]
        kept["h2"], kept["g"], kept["f"] = self.mlp(block, kept["mid"])
        self.layers.append(kept)
        return kept["mid"] + kept["f"]

    @staticmethod
    def scale(kept):
        return kept["q"].shape[2] ** -0.5

    def mlp(self, block, x):
        h = norm(x, block.ln2, self.tower.eps)
        g = self.tower.activation(linear(h, block.fc1))
        return h, g, linear(g, block.fc2)

    def project(self, x):
        return norm(x, self.tower.ln_post, self.tower.eps) @ double(self.tower.projection)

    def score(self, text):
        return self.r @ text / self.r.norm()

    def map(self, row):
        return row.detach().reshape(self.grid, self.grid)


# ---- attention and its derivatives -----------------------------------------------------------------------------------


def attention_gradients(trace, text):
    return torch.autograd.grad(trace.score(text), [k["A"] for k in trace.layers], retain_graph=True)


def rolled(matrices):
    out = torch.eye(matrices[0].shape[0], dtype=torch.float64)
    for m in matrices:
        out = m @ out
    return out[0, 1:]


def raw_attention(trace, text):
    return trace.map(trace.layers[-1]["A"].mean(0)[0, 1:])


def rollout(trace, text):
    matrices = []
    for k in trace.layers:
        m = 0.5 * k["A"].mean(0) + 0.5 * torch.eye(k["A"].shape[1], dtype=torch.float64)
        matrices.append(m / m.sum(1, keepdim=True))
    return trace.map(rolled(matrices))


def gradcam(trace, text):
    a, g = trace.layers[-1]["A"][:, 0, 1:], attention_gradients(trace, text)[-1][:, 0, 1:]
    return trace.map((a * g.mean(1, keepdim=True)).mean(0).clamp(min=0))


def generic_attention(trace, text):
    eye = torch.eye(trace.last.shape[0], dtype=torch.float64)
    gradients = attention_gradients(trace, text)
    return trace.map(rolled([eye + (g * k["A"]).clamp(min=0).mean(0) for g, k in zip(gradients, trace.layers)]))


# ---- relevance through vector-Jacobian products ------------------------------------------------------------------------


def pull(function, inputs, relevance, held_off=0.0):
    """inputs times the derivatives of sum(function(inputs) S), S = relevance / function(inputs) held fixed; the divisor
    is kept from zero by a share of its mean magnitude."""
    inputs = [i.detach().requires_grad_() for i in inputs]
    z = function(*inputs)
    least = held_off * z.detach().abs().mean() + 1e-9
    quotient = torch.where(z == 0, 0.0, relevance / (z + torch.where(z < 0, -least, least))).detach()
    pulled = torch.autograd.grad(z, inputs, quotient)
    return [i.detach() * p for i, p in zip(inputs, pulled)]


def rule_linear(x, weight, relevance):
    """weight: [out, in]"""
    w = double(weight)
    plus, minus = pull(lambda p, m: p @ w.clamp(min=0).T + m @ w.clamp(max=0).T, (x.clamp(min=0), x.clamp(max=0)), relevance)
    return plus + minus


def rule_add(a, b, relevance):
    shares = pull(torch.add, (a, b), relevance, 0.01)
    magnitudes = [s.sum().abs() for s in shares]
    return [s * (m / sum(magnitudes) * relevance.sum() / s.sum()) for s, m in zip(shares, magnitudes)]


def rule_product(a, b, relevance):
    return [part / 2 for part in pull(torch.matmul, (a, b), relevance, 0.01)]


def relevance(trace, text):
    """Relevance of every layer's attention, first to last, and of x0's [class; patches]."""
    tower, attentions = trace.tower, []
    p = (trace.r.detach() * text).clamp(min=0)
    start = rule_linear(norm(trace.last, tower.ln_post, tower.eps)[:1], tower.projection.T, (p / p.sum())[None])
    r = torch.zeros_like(trace.last).detach()
    r[0] = start[0]
    for block, k in zip(reversed(tower.blocks), reversed(trace.layers)):
        mid, f = rule_add(k["mid"], k["f"], r)
        mid = mid + rule_linear(k["h2"], block.fc1[0], rule_linear(k["g"], block.fc2[0], f))
        x, o = rule_add(k["x"], k["o"], mid)
        z = by_head(rule_linear(k["z"], block.out[0], o), tower.heads)
        a, v = rule_product(k["A"], k["v"], z)
        attentions.insert(0, a)
        q, kt = rule_product(k["q"], k["k"].transpose(1, 2), a)
        for name, part in (("q", q), ("k", kt.transpose(1, 2)), ("v", v)):
            x = x + rule_linear(k["h1"], getattr(block, name)[0], part.transpose(0, 1).reshape(x.shape))
        r = x
    return attentions, rule_add(trace.embedded, double(tower.position), r)[0]


def partial_lrp(trace, text):
    return trace.map(relevance(trace, text)[0][-1].clamp(min=0).mean(0)[0, 1:])


def transformer_attribution(trace, text):
    eye = torch.eye(trace.last.shape[0], dtype=torch.float64)
    pairs = zip(attention_gradients(trace, text), relevance(trace, text)[0])
    return trace.map(rolled([eye + (g * r).clamp(min=0).mean(0) for g, r in pairs]))


def lrp(trace, text):
    r = relevance(trace, text)[1][1:]
    x = trace.patches.detach()
    w = double(trace.tower.patch).reshape(r.shape[1], -1)
    low, high = torch.full_like(x, trace.pixels.min().item()), torch.full_like(x, trace.pixels.max().item())
    parts = pull(lambda a, b, c: a @ w.T - b @ w.clamp(min=0).T - c @ w.clamp(max=0).T, (x, low, high), r)
    shape = (trace.grid, trace.grid, 3, trace.side, trace.side)
    values = sum(parts).reshape(shape).sum(2).permute(0, 2, 1, 3).reshape(trace.grid * trace.side, -1)
    out = torch.zeros(trace.pixels.shape[1:], dtype=torch.float64)
    out[:values.shape[0], :values.shape[1]] = values
    return out


# ---- dense methods: [texts, grid, grid] ------------------------------------------------------------------------------------


def features(trace, x):
    f = trace.project(x).detach()
    return f / f.norm(dim=1, keepdim=True)


def dense(trace, x, texts):
    return (texts @ features(trace, x)[1:].T).reshape(len(texts), trace.grid, trace.grid)


def last_block(trace, weights, whole):
    """The last block with other attention weights [H, N, N]; whole: with residual stream and MLP."""
    block, k = trace.tower.blocks[-1], trace.layers[-1]
    o = linear((weights @ k["v"]).transpose(0, 1).reshape(k["x"].shape), block.out)
    if not whole:
        return o
    mid = k["x"] + o
    return mid + trace.mlp(block, mid)[2]


def like(part, scale, more=0.0):
    return torch.softmax(part @ part.transpose(1, 2) * scale + more, dim=2)


def maskclip(trace, texts):
    n = trace.last.shape[0]
    return dense(trace, last_block(trace, torch.eye(n, dtype=torch.float64).expand(trace.tower.heads, n, n), True), texts)


def sclip(trace, texts):
    k = trace.layers[-1]
    return dense(trace, last_block(trace, like(k["q"], trace.scale(k)) + like(k["k"], trace.scale(k)), True), texts)


def naclip(trace, texts):
    k, g = trace.layers[-1], trace.grid
    where = torch.cartesian_prod(torch.arange(g), torch.arange(g)).double()
    more = torch.zeros(trace.last.shape[0], trace.last.shape[0], dtype=torch.float64)
    more[1:, 1:] = torch.exp(-torch.cdist(where, where) ** 2 / (2 * 5.0 ** 2))
    return dense(trace, last_block(trace, like(k["k"], trace.scale(k), more), False), texts)


def clip_surgery(trace, texts):
    first = max(0, len(trace.layers) - 6)
    x = trace.layers[first]["x"].detach().clone()
    for block, k in zip(trace.tower.blocks[first:], trace.layers[first:]):
        x = x + linear((like(k["v"], trace.scale(k)) @ k["v"]).transpose(0, 1).reshape(x.shape), block.out)
    x = torch.cat([trace.last[:1], x[1:]])
    f = features(trace, x)
    w = torch.softmax(2 * f[0] @ texts.T, 0)
    w = w / w.mean()
    products = f[1:, None] * texts[None] * w[None, :, None]  # [N - 1, T, E]
    similarity = (products - products.mean(1, keepdim=True)).sum(2)
    return similarity.T.reshape(len(texts), trace.grid, trace.grid)


BY_TEXT = {"raw-attention": raw_attention, "rollout": rollout, "gradcam": gradcam, "partial-lrp": partial_lrp, "lrp": lrp,
           "transformer-attribution": transformer_attribution, "generic-attention": generic_attention}
DENSE = {"maskclip": maskclip, "clip-surgery": clip_surgery, "sclip": sclip, "naclip": naclip}


def expected_maps(trace, texts, method):
    if method in DENSE:
        return DENSE[method](trace, texts).detach().numpy()
    return torch.stack([BY_TEXT[method](trace, text).detach() for text in texts]).numpy()


# ---- comparing ----------------------------------------------------------------------------------------------------------------


def error_of(found, expected):
    found, largest = found.astype(np.float64), np.abs(expected).max()
    if not largest > 0 or not np.isfinite(found).all():
        return float("inf")  # nothing but zeros would prove nothing
    return np.abs(found - expected).max() / largest


def compare_model(library, name, folder):
    reference, path, _ = models.make(name, folder, seed=7)
    generator = np.random.default_rng(11)
    size = reference.size if hasattr(reference, "size") else reference.model.config.vision_config.image_size
    pixels = generator.standard_normal((3, size, size)).astype(np.float32)
    tower = reference.tower()
    width = tower.projection.shape[1]
    texts = generator.standard_normal((TEXTS, width)).astype(np.float32)
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    trace, tracer, worst = Trace(tower, pixels), Tracer(library, path), {}
    exact = torch.from_numpy(texts).double()
    worst["embedding"] = error_of(tracer.run(pixels, width), trace.r.detach().numpy())
    gradient = torch.autograd.grad(trace.score(exact[0]), trace.pixels, retain_graph=True)[0].numpy()
    worst["gradient"] = error_of(tracer.gradient(texts[0], size), gradient)
    print(f"  embedding {worst['embedding']:.1e}, gradient by pixels {worst['gradient']:.1e}", flush=True)
    for i, method in enumerate(METHODS):
        info = tracer.info(i)
        assert info.name.decode() == method
        begin = time.time()
        found = tracer.map(i, texts, size if info.pixels else trace.grid)
        seconds = (time.time() - begin) / TEXTS
        worst[method] = error_of(found, expected_maps(trace, exact, method))
        print(f"  {method}: {worst[method]:.1e}  ({seconds:.3f} s a text)", flush=True)
    tracer.close()
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", required=True)
    parser.add_argument("--reduced", action="store_true", help="small models alone")
    parser.add_argument("--models")
    given = parser.parse_args()
    names = given.models.split(",") if given.models else ["small-open_clip", "small-huggingface"]
    if not given.models and not given.reduced:
        names += ["B-16-open_clip", "B-16-quickgelu-open_clip"]
    failures = []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            print(f"{name}:", flush=True)
            for what, error in compare_model(os.path.abspath(given.library), name, folder).items():
                if not error <= LIMITS[what]:
                    failures.append(f"{name}, {what}: {error:.1e}")
    print("relevance: all within bounds" if not failures else "relevance: OUT OF BOUNDS: " + "; ".join(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
