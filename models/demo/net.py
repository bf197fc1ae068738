"""The CLIP network as this folder trains it. Same arithmetic as transformers'
CLIPModel (export.py renames the weights); written out so that the input is raw
patches, q, k and v are one product, and the early layers can start as a
convolution."""
import math

import torch
from torch import nn

SIDE, PATCH, GRID = 96, 8, 12
WIDTH, LAYERS, HEADS, INNER = 192, 6, 6, 512
TEXT_WIDTH, TEXT_LAYERS, TEXT_HEADS, TEXT_INNER, CONTEXT = 128, 3, 4, 512, 77
JOINT = 128
CODE = 32  # channels of the position code: 2 axes x 8 frequencies x (sin, cos)


class Block(nn.Module):
    def __init__(self, width, heads, inner):
        super().__init__()
        self.heads = heads
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x, causal=False):
        b, n, w = x.shape
        qkv = self.qkv(self.ln1(x)).view(b, n, 3, self.heads, w // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        # written out: on a CPU the fused kernel's backward pass is four times slower
        scores = (q * (w // self.heads) ** -0.5) @ k.transpose(-1, -2)
        if causal:
            later = torch.ones(n, n, dtype=torch.bool).triu(1)
            scores = scores.masked_fill(later, -1e4)
        mixed = scores.softmax(-1) @ v
        x = x + self.out(mixed.transpose(1, 2).reshape(b, n, w))
        h = self.fc1(self.ln2(x))
        return x + self.fc2(h * torch.sigmoid(1.702 * h))


class Vision(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch = nn.Linear(3 * PATCH * PATCH, WIDTH, bias=False)
        self.cls = nn.Parameter(torch.zeros(WIDTH))
        self.position = nn.Parameter(torch.zeros(1 + GRID * GRID, WIDTH))
        self.ln_pre, self.ln_post = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.blocks = nn.ModuleList(Block(WIDTH, HEADS, INNER) for _ in range(LAYERS))
        self.project = nn.Linear(WIDTH, JOINT, bias=False)

    def embed(self, patches, where=None):
        """patches: [B, N, 192] in [-1, 1], each patch channel by channel; where:
        [B, N], which patches these are (None: all 144 in order)."""
        x = self.patch(patches)
        cls = (self.cls + self.position[0]).to(x.dtype).expand(x.shape[0], 1, -1)
        at = self.position[1:] if where is None else self.position[1:][where]
        return self.ln_pre(torch.cat([cls, x + at], 1))

    def forward(self, patches, where=None):
        """-> (joint [B, JOINT], class token [B, W], last-but-one layer's patches)"""
        x = self.embed(patches, where)
        for i, block in enumerate(self.blocks):
            if i == LAYERS - 1:
                early = x[:, 1:]
            x = block(x)
        cls = self.ln_post(x[:, 0])
        return self.project(cls), cls, early


class Text(nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        self.token = nn.Embedding(vocabulary, TEXT_WIDTH)
        self.position = nn.Parameter(torch.zeros(CONTEXT, TEXT_WIDTH))
        self.blocks = nn.ModuleList(Block(TEXT_WIDTH, TEXT_HEADS, TEXT_INNER)
                                    for _ in range(TEXT_LAYERS))
        self.ln_post = nn.LayerNorm(TEXT_WIDTH)
        self.project = nn.Linear(TEXT_WIDTH, JOINT, bias=False)

    def forward(self, ids, ends):
        x = self.token(ids) + self.position[:ids.shape[1]]
        for block in self.blocks:
            x = block(x, causal=True)
        return self.project(self.ln_post(x[torch.arange(len(ids)), ends]))


class Clip(nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        self.vision, self.text = Vision(), Text(vocabulary)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.1)))


# ---- initialisation ----------------------------------------------------------

def frequencies():
    """Eight waves of period 16 to 2: the sum of their cosines is 8 at 0 and near
    zero at every other whole offset a 12-wide grid can hold."""
    return 2 * math.pi * torch.arange(1, 9) / 16


def position_code():
    """[144, CODE]: sin and cos of each frequency for the row, then the column."""
    at = torch.arange(GRID)[:, None] * frequencies()[None]
    axis = torch.stack([at.sin(), at.cos()], -1).reshape(GRID, 16)
    rows = axis[:, None].expand(GRID, GRID, 16)
    return torch.cat([rows, rows.transpose(0, 1)], -1).reshape(GRID * GRID, CODE)


def shift_matrix(down, right):
    """R with R code(y, x) = code(y + down, x + right): one rotation a frequency."""
    turn = torch.zeros(CODE, CODE)
    for axis, step in enumerate((down, right)):
        for i, w in enumerate(frequencies()):
            c, s = math.cos(w * step), math.sin(w * step)
            at = axis * 16 + 2 * i
            turn[at:at + 2, at:at + 2] = torch.tensor([[c, s], [-s, c]])
    return turn


# (down, right) each head of the first layers starts by looking at; None: free.
OFFSETS = [
    [(-1, 0), (1, 0), (0, -1), (0, 1), None, None],
    [(-1, -1), (-1, 1), (1, -1), (1, 1), None, None],
    [(-2, 0), (2, 0), (0, -2), (0, 2), None, None],
    [(-2, -2), (2, 2), (-2, 2), (2, -2), None, None],
]


def init_block(block, width, layers, spread=1.0):
    for linear, std in ((block.qkv, 0.7), (block.out, 1 / math.sqrt(2 * layers)),
                        (block.fc1, 1.0), (block.fc2, 1 / math.sqrt(2 * layers))):
        nn.init.normal_(linear.weight, std=spread * std / math.sqrt(linear.in_features))
        nn.init.zeros_(linear.bias)


@torch.no_grad()
def init(model):
    for block in model.text.blocks:
        init_block(block, TEXT_WIDTH, TEXT_LAYERS)
    nn.init.normal_(model.text.token.weight, std=0.3)
    nn.init.normal_(model.text.position, std=0.05)
    vision = model.vision
    for tower, width in ((vision, WIDTH), (model.text, TEXT_WIDTH)):
        nn.init.normal_(tower.project.weight, std=width ** -0.5)
    nn.init.normal_(vision.patch.weight, std=0.07)
    vision.patch.weight[:CODE] = 0
    nn.init.normal_(vision.cls, std=0.5)
    vision.cls[:CODE] = 0
    vision.position[1:, :CODE] = position_code()
    for block in vision.blocks:
        init_block(block, WIDTH, LAYERS)
        block.out.weight[:CODE] = 0  # the code stays readable in deeper layers
        block.fc2.weight[:CODE] = 0


@torch.no_grad()
def init_offsets(model, patches, sharpness=0.7):
    """Makes each head of OFFSETS look at its offset: q is the turned position
    code, k the code, scaled by the code's energy measured on a few images."""
    vision, size = model.vision, WIDTH // HEADS
    x = vision.embed(patches)
    for block, offsets in zip(vision.blocks, OFFSETS):
        code = block.ln1(x)[:, 1:, :CODE]
        gain = math.sqrt(sharpness * math.sqrt(size) / (2 * code.pow(2).mean().item()))
        for head, offset in enumerate(offsets):
            if offset is None:
                continue
            rows = slice(head * size, (head + 1) * size)
            q, k, v = (block.qkv.weight[i * WIDTH:(i + 1) * WIDTH][rows] for i in range(3))
            q.mul_(0.1)
            k.mul_(0.1)
            q[:, :CODE] = gain * shift_matrix(*offset)
            k[:, :CODE] = gain * torch.eye(CODE)
            v.zero_()
            nn.init.orthogonal_(v[:, CODE:])
        x = block(x)


# ---- a look at the start: python net.py ---------------------------------------

def attention_at(attention, offset):
    """Mean attention of patches on the patch at the offset, where there is one."""
    grid = [(y, x) for y in range(GRID) for x in range(GRID)
            if 0 <= y + offset[0] < GRID and 0 <= x + offset[1] < GRID]
    here = [1 + y * GRID + x for y, x in grid]
    there = [1 + (y + offset[0]) * GRID + x + offset[1] for y, x in grid]
    return attention[:, here, there].mean().item()


@torch.no_grad()
def main():
    torch.manual_seed(0)
    model = Clip(688)
    init(model)
    patches = torch.rand(16, GRID * GRID, 3 * PATCH * PATCH) * 2 - 1
    init_offsets(model, patches)
    x = model.vision.embed(patches)
    for layer, (block, offsets) in enumerate(zip(model.vision.blocks, OFFSETS)):
        q, k, _ = block.qkv(block.ln1(x)).view(16, -1, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        attention = (q @ k.transpose(-1, -2) * (WIDTH // HEADS) ** -0.5).softmax(-1)
        for head, offset in enumerate(offsets):
            if offset is not None:
                print(f"layer {layer} head {head} {offset}: {attention_at(attention[:, head], offset):.3f}")
        x = block(x)


if __name__ == "__main__":
    main()
