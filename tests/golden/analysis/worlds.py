"""The invented inputs of tests/unit in NumPy: the numbers of analysis_fake.h and decompose_fake.h from the same seeds, and
their terms in the joint space by the unfactored formulas of ALGORITHMS 2, in float64."""
import numpy as np

MASK = (1 << 64) - 1
f32 = np.float32


class Random:
    """splitmix64"""

    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    def normal(self):
        total = 0.0
        for _ in range(4):
            total += (self.next() >> 11) / 9007199254740992.0 - 0.5
        return total * 3.0 ** 0.5

    def array(self, count, mean, scale):
        return np.array([mean + scale * self.normal() for _ in range(count)]).astype(f32)

    def fill(self, *shape, mean, scale):
        """decompose_fake.h's fake_fill: each normal number is rounded first."""
        values = [mean + scale * float(f32(self.normal())) for _ in range(int(np.prod(shape)))]
        return np.array(values).astype(f32).reshape(shape)


def unit_rows(count, width, seed):
    """world_pool"""
    random, rows = Random(seed), np.zeros((count, width))
    for j in range(count):
        rows[j] = [f32(0.3 + random.normal()) for _ in range(width)]
        rows[j] /= np.sqrt((rows[j] ** 2).sum())
    return rows.astype(f32)


class World:
    """analysis_fake.h: terms of the heads [I, L, H, E] in both conventions (paper, exact), and |r| [I].
    change: what a test does to z [L H, I, d] once it is made."""

    def __init__(self, layers, heads, width, embed, images, factors, noise, seed, change=None):
        self.layers, self.heads, self.width, self.images, self.factors, self.noise = layers, heads, width, images, factors, noise
        random, count = Random(seed), layers * heads
        w = random.array(count * width * embed, 0.01, 0.2).reshape(count, width, embed).astype(np.float64)
        w_mean = random.array(count * width, 0.05, 0.1).reshape(count, width).astype(np.float64)
        ones = random.array(embed, 0, 1.5).astype(np.float64)
        bias = random.array(layers * embed, 0.02, 0.4).reshape(layers, embed).astype(np.float64)
        random.array(layers, 0.01, 0.02)
        constant = random.array(embed, 0.05, 0.6).astype(np.float64)
        z = self._z(random)
        if change:
            change(z)
        z = z.astype(np.float64)
        mu, sigma, self.norm = (random.array(images, *p).astype(np.float64) for p in ((0.1, 0.03), (1.4, 0.1), (9.0, 0.5)))
        written, shares = np.einsum("hid,hde->ihe", z, w), (2 * layers + 1) * heads
        exact = (written - np.einsum("hid,hd->ih", z, w_mean)[:, :, None] * ones) / sigma[:, None, None]
        paper = written + np.repeat(bias, heads, 0) / heads - (mu / shares)[:, None, None] * ones
        paper = (paper / sigma[:, None, None] + constant / shares) / self.norm[:, None, None]
        self.terms = [t.reshape(images, layers, heads, embed) for t in (paper, exact)]

    def _z(self, random):
        count = self.layers * self.heads
        random.array(count * self.images * self.width, 0, 0)
        z = np.zeros((count, self.images, self.width), f32)
        for h in range(count):
            loading = [random.normal() for _ in range((self.factors + 1) * self.width)]
            loading = np.array(loading).reshape(self.factors + 1, self.width)
            for i in range(self.images):
                value = [random.normal() / (f + 1) for f in range(self.factors)]
                for c in range(self.width):
                    total = 0.5 * loading[self.factors, c] + sum(0.3 * value[f] * loading[f, c] for f in range(self.factors))
                    z[h, i, c] = total + self.noise * random.normal()
        return z


class Tower:
    """decompose_fake.h's model. Vectors of the residual stream are written out; nothing is folded together."""

    NEURONS = 6

    def __init__(self, layers, heads, head_dim, embed, tokens, seed):
        self.layers, self.heads, self.head_dim, self.tokens = layers, heads, head_dim, tokens
        random, d, m = Random(seed), heads * head_dim, self.NEURONS
        self.width = d
        self.gamma, self.beta = random.fill(d, mean=1, scale=0.3), random.fill(d, mean=0, scale=0.3)
        self.projection = random.fill(embed, d, mean=0, scale=1 / d ** 0.5).T.astype(np.float64)
        self.out = []  # weight [D, D], bias [D]
        for _ in range(layers):
            self.out.append((random.fill(d, d, mean=0.01, scale=1 / d ** 0.5), random.fill(d, mean=0.05, scale=0.2)))
        self.fc2 = []  # weight [D, M]
        for l in range(layers):
            weight = random.fill(d * m, mean=0.1, scale=1 / m ** 0.5)
            self.fc2.append(weight.reshape(m, d).T if l % 2 else weight.reshape(d, m))
            random.fill(d, mean=0.05, scale=0.2)


class Images:
    """fake_capture_init's images at some positions, and what they make: terms in both conventions, index 0 the paper's.
    heads [I, L, H, N, E] by token, mlps [I, L + 1, E], cls [I, L, E] (by head [I, L, H, E]), whole [I, E], norm [I]."""

    def __init__(self, tower, positions):
        self.tower, count, d, n = tower, len(positions), tower.width, tower.tokens
        self.streams = np.zeros((count, tower.layers + 1, d))
        self.values = np.zeros((count, tower.layers, n, d))
        self.hidden = np.zeros((count, tower.layers, tower.NEURONS))
        self.sums = np.zeros((count, tower.layers, d))  # over tokens, rounded as float32 sums are
        for i, position in enumerate(positions):
            random = Random(77 + 1000003 * position)
            self.streams[i] = random.fill(tower.layers + 1, d, mean=0.1, scale=1)
            for l in range(tower.layers):
                values, total = random.fill(n, d, mean=0.05, scale=1 / n), np.zeros(d, f32)
                for token in values:
                    total = total + token
                self.values[i, l], self.sums[i, l] = values, total
            noise = [[random.normal() for _ in range(tower.NEURONS)] for _ in range(tower.layers)]
            scaled = f32(4) * np.array(noise).astype(f32)
            self.hidden[i] = np.sign(scaled) * np.floor(np.abs(scaled) + f32(0.5)) / 4  # roundf: halves away from zero
        self._terms()

    def _terms(self):
        t, i = self.tower, len(self.streams)
        last = self.streams.sum(1) + sum(self.sums[:, l] @ out.T.astype(np.float64) + b for l, (out, b) in enumerate(t.out))
        self.mu, self.sigma = last.mean(1), np.sqrt(last.var(1) + f32(1e-5))
        r = ((last - self.mu[:, None]) / self.sigma[:, None] * t.gamma + t.beta) @ t.projection
        self.norm = np.linalg.norm(r, axis=1)
        self.whole = [r / self.norm[:, None], r]
        written = np.zeros((i, t.layers, t.heads, t.tokens, t.width))  # by head and token, to the residual stream
        for l, (out, _) in enumerate(t.out):
            parts = self.values[:, l].reshape(i, t.tokens, t.heads, t.head_dim)
            for h in range(t.heads):
                written[:, l, h] = parts[:, :, h] @ out[:, h * t.head_dim:(h + 1) * t.head_dim].T.astype(np.float64)
        bias = np.stack([b for _, b in t.out]).astype(np.float64)
        k, n, h = 2 * t.layers + 1, t.tokens, t.heads
        self.heads = [self._paper(written + (bias / (n * h))[None, :, None, None], k * n * h), self._exact(written)]
        self.mlps = [self._paper(self.streams, k), self._exact(self.streams)]
        own = written[:, :, :, 0]
        self.cls = [self._paper(own + (bias / (n * h))[None, :, None], k * n * h).sum(2), self._exact(own).sum(2)]

    def _each(self, values, like):
        return values.reshape((-1,) + (1,) * (like.ndim - 1))

    def _paper(self, x, shares):
        t = self.tower
        out = (x - self._each(self.mu, x) / shares) / self._each(self.sigma, x) * t.gamma + t.beta.astype(np.float64) / shares
        return out @ t.projection / self._each(self.norm, x)

    def _exact(self, x):
        return (x - x.mean(-1, keepdims=True)) / self._each(self.sigma, x) * self.tower.gamma @ self.tower.projection


def stored(tower):
    """The images of store_fake.h's store: 47, of which every seventh cannot be read."""
    positions = [p for p in range(47) if p % 7 != 3]
    return positions, Images(tower, positions)
