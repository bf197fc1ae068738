"""A byte-pair vocabulary in CLIP's layout: 256 bytes, 256 bytes that end a word,
the merges, and two special tokens. transformers' CLIPTokenizer reads its files."""
import json
import re

START, END = "<|startoftext|>", "<|endoftext|>"
MAX_MERGES = 240
SPLIT = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[^\W\d_]+|\d|(?:[^\w\s]|_)+")


def byte_symbols():
    """GPT-2's printable stand-ins for bytes, in CLIP's order."""
    plain = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    symbols = {b: chr(b) for b in plain}
    extra = [b for b in range(256) if b not in symbols]
    symbols.update({b: chr(256 + i) for i, b in enumerate(extra)})
    return symbols


def join(parts, pair):
    out, i = [], 0
    while i < len(parts):
        if tuple(parts[i:i + 2]) == pair:
            out.append(parts[i] + parts[i + 1])
            i += 2
        else:
            out.append(parts[i])
            i += 1
    return out


def train(counts):
    """Merges, most frequent pair first (ties by spelling), from word counts."""
    words = {w: list(w[:-1]) + [w[-1] + "</w>"] for w in counts}
    merges = []
    while len(merges) < MAX_MERGES:
        pairs = {}
        for word, parts in words.items():
            for pair in zip(parts, parts[1:]):
                pairs[pair] = pairs.get(pair, 0) + counts[word]
        if not pairs:
            break
        best = min(pairs, key=lambda p: (-pairs[p], p))
        merges.append(best)
        words = {w: join(parts, best) for w, parts in words.items()}
    return merges


class Tokenizer:
    def __init__(self, merges):
        self.merges = [tuple(m) for m in merges]
        symbols = list(byte_symbols().values())
        names = symbols + [s + "</w>" for s in symbols] + ["".join(m) for m in self.merges]
        self.vocab = {name: i for i, name in enumerate(names + [START, END])}
        self.rank = {m: i for i, m in enumerate(self.merges)}
        self.cache = {}

    def word(self, word):
        if word not in self.cache:
            symbols = byte_symbols()
            parts = [symbols[b] for b in word.encode()]
            parts[-1] += "</w>"
            while len(parts) > 1:
                pair = min(zip(parts, parts[1:]), key=lambda p: self.rank.get(p, 1 << 30))
                if pair not in self.rank:
                    break
                parts = join(parts, pair)
            self.cache[word] = [self.vocab[p] for p in parts]
        return self.cache[word]

    def encode(self, text):
        ids = [self.vocab[START]]
        for word in SPLIT.findall(text.lower()):
            ids += self.word(word)
        return ids + [self.vocab[END]]

    def save(self, folder):
        (folder / "vocab.json").write_text(json.dumps(self.vocab, ensure_ascii=False, indent=0) + "\n")
        lines = ["#version: 0.2"] + [" ".join(m) for m in self.merges]
        (folder / "merges.txt").write_text("\n".join(lines) + "\n")
