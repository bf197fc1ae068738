"""The decomposition, written from ALGORITHMS 1 and 2 without a thought for speed.

Every head's term of every token is a vector of the residual stream's width, made and projected on its own; in float64.
Nothing here knows of clipspan's factored form. `from_open_clip` and `from_hugging_face` take a tower's weights out of
those programs' modules; `check` compares the sum of all terms with their own output.
"""
from dataclasses import dataclass, field

import numpy as np
import torch


@dataclass
class Block:
    ln1: tuple  # gamma [D], beta [D]
    q: tuple  # weight [D, D], bias [D]
    k: tuple
    v: tuple
    out: tuple
    ln2: tuple
    fc1: tuple
    fc2: tuple


@dataclass
class Tower:
    heads: int
    eps: float
    activation: object
    patch: torch.Tensor  # [D, 3, P, P]
    class_token: torch.Tensor  # [D]
    position: torch.Tensor  # [N, D]
    ln_pre: tuple  # or None
    ln_post: tuple
    projection: torch.Tensor  # [D, E]
    blocks: list = field(default_factory=list)


def _pair(module):
    return module.weight, module.bias


def from_open_clip(visual):
    first = visual.transformer.resblocks[0]
    tower = Tower(first.attn.num_heads, first.ln_1.eps, first.mlp.gelu, visual.conv1.weight, visual.class_embedding,
                  visual.positional_embedding, _pair(visual.ln_pre) if hasattr(visual.ln_pre, "weight") else None,
                  _pair(visual.ln_post), visual.proj)
    for b in visual.transformer.resblocks:
        weights, biases = b.attn.in_proj_weight.chunk(3), b.attn.in_proj_bias.chunk(3)
        q, k, v = zip(weights, biases)
        tower.blocks.append(Block(_pair(b.ln_1), q, k, v, _pair(b.attn.out_proj), _pair(b.ln_2), _pair(b.mlp.c_fc),
                                  _pair(b.mlp.c_proj)))
    return tower


def from_hugging_face(model):
    vision = model.vision_model
    first = vision.encoder.layers[0]
    tower = Tower(first.self_attn.num_heads, first.layer_norm1.eps, first.mlp.activation_fn,
                  vision.embeddings.patch_embedding.weight, vision.embeddings.class_embedding,
                  vision.embeddings.position_embedding.weight, _pair(vision.pre_layrnorm), _pair(vision.post_layernorm),
                  model.visual_projection.weight.T)
    for b in vision.encoder.layers:
        a = b.self_attn
        tower.blocks.append(Block(_pair(b.layer_norm1), _pair(a.q_proj), _pair(a.k_proj), _pair(a.v_proj),
                                  _pair(a.out_proj), _pair(b.layer_norm2), _pair(b.mlp.fc1), _pair(b.mlp.fc2)))
    return tower


def double(t):
    return t.detach().double()


def norm(x, pair, eps):
    mean = x.mean(-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)
    return double(pair[0]) * (x - mean) / torch.sqrt(variance + eps) + double(pair[1])


def linear(x, pair):
    return x @ double(pair[0]).T + double(pair[1])


def by_head(x, heads):
    """[N, D] -> [H, N, d]"""
    return x.reshape(x.shape[0], heads, -1).transpose(0, 1)


def embed(tower, pixels):
    """x0 of every token: ln_pre([class; patches] + position). pixels: [3, S, S]."""
    width, _, side, _ = tower.patch.shape
    grid = pixels.shape[1] // side  # a convolution with that stride drops what is left over
    patches = double(pixels)[:, :grid * side, :grid * side].reshape(3, grid, side, grid, side).permute(1, 3, 0, 2, 4).reshape(grid * grid, -1)
    x = torch.cat([double(tower.class_token)[None], patches @ double(tower.patch).reshape(width, -1).T])
    x = x + double(tower.position)
    return x if tower.ln_pre is None else norm(x, tower.ln_pre, tower.eps)


def attention(tower, block, x):
    """The block's attention output for every token, and the class token's terms by head and source token.

    Returns [N, D] (with the out-projection's bias), [H, N, D] (without), and the class token's largest weight, mean over
    heads: 1 / N where attention is uniform."""
    y = norm(x, block.ln1, tower.eps)
    q, k, v = (by_head(linear(y, pair), tower.heads) for pair in (block.q, block.k, block.v))
    scores = q @ k.transpose(1, 2) / q.shape[2] ** 0.5
    alpha = torch.softmax(scores, dim=2)  # [H, N, N]
    out, bias = double(block.out[0]), double(block.out[1])  # [D, D], [D]
    slices = out.reshape(out.shape[0], tower.heads, -1).permute(1, 2, 0)  # O_h: [H, d, D]
    whole = (alpha @ v).transpose(0, 1).reshape(x.shape) @ out.T + bias
    terms = alpha[:, 0, :, None] * v @ slices  # alpha[h, n] v[h, n] O_h
    return whole, terms, float(alpha[:, 0].max(1).values.mean())


def residual_terms(tower, pixels):
    """Runs one image. Returns every layer's attention terms, a list of [H, N, D], its out-projection biases [L, D], x0's
    class token and the MLPs' outputs for it [L + 1, D], the class token before ln_post [D], and its largest attention weight,
    mean over layers and heads."""
    x = embed(tower, pixels)
    mlps, terms, biases, peaks = [x[0].clone()], [], [], []
    for block in tower.blocks:
        whole, by_token, peak = attention(tower, block, x)
        peaks.append(peak)
        terms.append(by_token)
        biases.append(double(block.out[1]))
        x = x + whole
        hidden = tower.activation(linear(norm(x, block.ln2, tower.eps), block.fc1))
        mlp = linear(hidden, block.fc2)
        mlps.append(mlp[0].clone())
        x = x + mlp
    return terms, torch.stack(biases), torch.stack(mlps), x[0], sum(peaks) / len(peaks)


class Conventions:
    """ALGORITHMS 2: what one term of the residual stream is before it is multiplied by P (all [.., D] -> [.., D])."""

    def __init__(self, tower, last, tokens):
        self.gamma, self.beta = double(tower.ln_post[0]), double(tower.ln_post[1])
        self.projection = double(tower.projection)
        self.mu = last.mean()
        self.sigma = torch.sqrt(((last - self.mu) ** 2).mean() + tower.eps)
        self.representation = (self.gamma * (last - self.mu) / self.sigma + self.beta) @ self.projection
        self.length = self.representation.norm()
        self.terms = 2 * len(tower.blocks) + 1  # K
        self.share = tokens * tower.heads  # N H

    def paper_attention(self, terms, bias):
        centred = (terms + bias / self.share) - self.mu / (self.terms * self.share)
        return (centred * self.gamma / self.sigma + self.beta / (self.terms * self.share)) / self.length

    def paper_other(self, m):
        """x0 and MLP terms"""
        return ((m - self.mu / self.terms) * self.gamma / self.sigma + self.beta / self.terms) / self.length

    def exact(self, m):
        return (m - m.mean(-1, keepdim=True)) * self.gamma / self.sigma


def decompose(tower, pixels, token_layers=()):
    """One image, [3, S, S]. Per convention ("paper", "exact"): attn [L, H, E], mlp [L + 1, E], cls_attn [L, E], and
    tokens {layer: [H, N, E]} for token_layers; the exact one's constant [E]; and the representation [E]."""
    terms, biases, mlps, last, peak = residual_terms(tower, pixels)
    c = Conventions(tower, last, tower.position.shape[0])
    p = c.projection
    result = {"representation": c.representation.numpy(), "peak": peak}
    for name in ("paper", "exact"):
        attn, cls, tokens = [], [], {}
        for l, by_token in enumerate(terms):
            spread = c.paper_attention(by_token, biases[l]) if name == "paper" else c.exact(by_token)
            attn.append(spread.sum(1) @ p)
            cls.append(spread[:, 0].sum(0) @ p)
            if l in token_layers:
                tokens[l] = (spread @ p).numpy()
        other = (c.paper_other(mlps) if name == "paper" else c.exact(mlps)) @ p
        result[name] = {"attn": torch.stack(attn).numpy(), "mlp": other.numpy(), "cls_attn": torch.stack(cls).numpy(),
                        "tokens": tokens}
    result["exact"]["constant"] = (c.exact(biases).sum(0) @ p + c.beta @ p).numpy()
    return result


def check(result, encoded):
    """Largest relative error of: the paper's terms against r / |r|, the exact ones (and constants) against r, and r
    against the program's own output, in fp32."""
    r = result["representation"]
    paper = result["paper"]["attn"].sum((0, 1)) + result["paper"]["mlp"].sum(0)
    exact = result["exact"]["attn"].sum((0, 1)) + result["exact"]["mlp"].sum(0) + result["exact"]["constant"]
    unit = r / np.linalg.norm(r)
    return (np.linalg.norm(paper - unit), np.linalg.norm(exact - r) / np.linalg.norm(r),
            np.linalg.norm(encoded - r) / np.linalg.norm(r))


@torch.no_grad()
def decompose_all(tower, pixels, token_layers=()):
    """pixels: [I, 3, S, S] -> arrays with a leading image axis."""
    rows = [decompose(tower, torch.from_numpy(p), token_layers) for p in pixels]
    out = {"representation": np.stack([r["representation"] for r in rows])}
    for convention in ("paper", "exact"):
        out[convention] = {key: np.stack([r[convention][key] for r in rows]) for key in ("attn", "mlp", "cls_attn")}
        out[convention]["tokens"] = {l: np.stack([r[convention]["tokens"][l] for r in rows]) for l in token_layers}
    out["rows"] = rows
    return out
