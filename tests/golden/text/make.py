#!/usr/bin/env python3
"""Makes the tokenizer's goldens: a small byte-pair vocabulary of our own, and the ids that both programs give with it.

    python tests/golden/text/make.py          (made with Python 3.11, open_clip_torch 3.3, transformers 5.23,
                                               tokenizers 0.23, ftfy 6.3.1, regex 2026.11.15)

Writes beside itself:
    bpe.txt.gz        merges as open_clip's SimpleTokenizer reads them
    vocab.json, merges.txt, tokenizer.json, lines/tokenizer.json
                      the same vocabulary as transformers reads it; in lines/ merges are strings, and the special tokens
                      are looked for behind the normalizer
    ids.tsv           text in hexadecimal, ids of open_clip, of vocab.json, of lines/tokenizer.json; at most 77, spaces
                      between; "-" where ftfy would repair a wrong decoding, which clipspan leaves out
"""
import collections
import gzip
import json
import os
import sys

import regex
import torch

library = torch.library.Library('torchvision', 'DEF')
library.define('nms(Tensor d, Tensor s, float t) -> Tensor')
library.define('qnms(Tensor d, Tensor s, float t) -> Tensor')

import ftfy  # noqa: E402
import open_clip.tokenizer  # noqa: E402
from transformers import CLIPTokenizer  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from texts import PROSE, SCRIPTS, TEXTS  # noqa: E402

MERGES = 420
CAPACITY = 77
# A vocabulary in which a later merge makes a pair of lower rank than its own: the programs differ on "jqzjqzx".
TWISTED = ['q z', 'jqz j', 'j qz']
MORE_TEXTS = [b'jqzjqzx', b'jqzjqz', b'jqzjqzjqzjqz x', b'jqzj', b'qzqzqzqz', b'aaaa aaaaa aaaaaaaaaaaaaaaa', b'abababab']


def words():
    """Words of our own pool and of the goldens' own prose, as sequences of byte symbols."""
    with open(os.path.join(HERE, '..', '..', '..', 'models', 'pools', 'general.txt'), encoding='utf-8') as file:
        lines = file.read().splitlines()[::2] + PROSE * 3 + SCRIPTS * 2
    symbols = open_clip.tokenizer.bytes_to_unicode()
    counts = collections.Counter(w for line in lines for w in regex.findall(r"'s|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+", line.lower()))
    table = {}
    for word, count in counts.items():
        parts = [symbols[b] for b in word.encode('utf-8')]
        parts[-1] += '</w>'
        table[tuple(parts)] = count
    return table


def joined(word, pair):
    out, i = [], 0
    while i < len(word):
        both = word[i:i + 2] == pair
        out.append(word[i] + word[i + 1] if both else word[i])
        i += 2 if both else 1
    return tuple(out)


def train():
    table, merges = words(), []
    while len(merges) < MERGES:
        pairs = collections.Counter()
        for word, count in table.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += count
        best = max(pairs, key=lambda p: (pairs[p], p))
        merges.append(' '.join(best))
        table = {joined(word, best) if best[0] in word else word: count for word, count in table.items()}
    return merges + TWISTED


def write(name, text):
    with open(os.path.join(HERE, name), 'w', encoding='utf-8') as file:
        file.write(text)


def write_vocabulary(merges):
    symbols = list(open_clip.tokenizer.bytes_to_unicode().values())
    tokens = symbols + [s + '</w>' for s in symbols] + [m.replace(' ', '') for m in merges]
    tokens += ['<|startoftext|>', '<|endoftext|>']
    packed = gzip.compress(('"a small vocabulary for tests"\n' + '\n'.join(merges)).encode('utf-8'), mtime=0)
    with open(os.path.join(HERE, 'bpe.txt.gz'), 'wb') as file:
        file.write(packed)
    write('vocab.json', json.dumps({t: i for i, t in enumerate(tokens)}, ensure_ascii=False, separators=(',', ':')) + '\n')
    write('merges.txt', '#version: 0.2\n' + '\n'.join(merges) + '\n')
    for name in ('tokenizer.json', 'tokenizer_config.json', 'lines/tokenizer.json'):
        if os.path.exists(os.path.join(HERE, name)):
            os.remove(os.path.join(HERE, name))
    first = CLIPTokenizer(vocab=os.path.join(HERE, 'vocab.json'), merges=os.path.join(HERE, 'merges.txt'))
    whole = json.loads(first.backend_tokenizer.to_str())
    write('tokenizer.json', json.dumps(whole, ensure_ascii=False, separators=(',', ':')) + '\n')
    whole['model']['merges'] = merges
    for token in whole['added_tokens']:
        token['normalized'] = True
    os.makedirs(os.path.join(HERE, 'lines'), exist_ok=True)
    write('lines/tokenizer.json', json.dumps(whole, ensure_ascii=False, separators=(',', ':')) + '\n')


def repaired(text):
    plain = ftfy.TextFixerConfig(explain=False, fix_encoding=False)
    return ftfy.fix_text(text) != ftfy.fix_text(text, plain)


def main():
    write_vocabulary(train())
    simple = open_clip.tokenizer.SimpleTokenizer(os.path.join(HERE, 'bpe.txt.gz'))
    folders = [CLIPTokenizer.from_pretrained(HERE), CLIPTokenizer.from_pretrained(os.path.join(HERE, 'lines'))]
    lines = []
    for raw in TEXTS + MORE_TEXTS:
        text = raw.decode('utf-8', errors='replace')
        ids = [simple.sot_token_id] + simple.encode(text) + [simple.eot_token_id]
        if len(ids) > CAPACITY:
            ids = ids[:CAPACITY - 1] + [simple.eot_token_id]
        columns = ['-' if repaired(text) else ' '.join(map(str, ids))]
        columns += [' '.join(map(str, t(text, truncation=True, max_length=CAPACITY)['input_ids'])) for t in folders]
        lines.append('\t'.join([raw.hex()] + columns))
    write('ids.tsv', '\n'.join(lines) + '\n')
    print('%d texts, %d of them for one manner only' % (len(lines), sum('\t-\t' in line for line in lines)))


if __name__ == '__main__':
    main()
