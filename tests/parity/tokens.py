#!/usr/bin/env python3
"""Compares clipspan's token ids with open_clip's SimpleTokenizer and transformers' CLIPTokenizer, live.

    python tests/parity/tokens.py [--driver PROGRAM] [--count 20000] [--seed 1]
    python tests/parity/tokens.py --clipspan build/cli/clipspan --model DIR --manner huggingface|open_clip

Without --clipspan the tokenizer alone is compared, through tests/parity/tokens_driver.c (built here unless --driver
names it), in both manners, on texts of any bytes, with the full vocabulary that the installed open_clip brings. With
--clipspan the command `clipspan tokenize` runs on a model's directory (texts without line breaks), and the reference is
made from that directory's own tokenizer files, or for open_clip from the vocabulary that it brings.

Left out, and counted:
  - texts in which ftfy would repair a wrong decoding (open_clip only; clipspan leaves that step out);
  - characters that are not assigned in this Python's Unicode version: the programs follow different versions.
"""
import argparse
import glob
import gzip
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import unicodedata

import torch

library = torch.library.Library('torchvision', 'DEF')
library.define('nms(Tensor d, Tensor s, float t) -> Tensor')
library.define('qnms(Tensor d, Tensor s, float t) -> Tensor')

import ftfy  # noqa: E402
import open_clip.tokenizer  # noqa: E402
from transformers import CLIPTokenizer  # noqa: E402

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'golden', 'text'))
from texts import TEXTS  # noqa: E402


# ---- vocabularies ---------------------------------------------------------------------------------------

def open_clip_vocabulary():
    """Tokens and merges of the file that open_clip brings, the way it reads them."""
    lines = gzip.open(open_clip.tokenizer.default_bpe()).read().decode('utf-8').split('\n')
    merges = lines[1:49152 - 256 - 2 + 1]
    symbols = list(open_clip.tokenizer.bytes_to_unicode().values())
    tokens = symbols + [s + '</w>' for s in symbols] + [''.join(m.split()) for m in merges]
    return tokens + ['<|startoftext|>', '<|endoftext|>'], merges


def write_huggingface(folder):
    """vocab.json with merges.txt, and tokenizer.json with merges in both spellings and added tokens in both."""
    tokens, merges = open_clip_vocabulary()
    with open(os.path.join(folder, 'vocab.json'), 'w', encoding='utf-8') as file:
        json.dump({token: i for i, token in enumerate(tokens)}, file, ensure_ascii=False)
    with open(os.path.join(folder, 'merges.txt'), 'w', encoding='utf-8') as file:
        file.write('#version: 0.2\n' + '\n'.join(merges) + '\n')
    first = CLIPTokenizer.from_pretrained(folder)
    first.save_pretrained(os.path.join(folder, 'pairs'))
    os.makedirs(os.path.join(folder, 'lines'), exist_ok=True)
    with open(os.path.join(folder, 'pairs', 'tokenizer.json'), encoding='utf-8') as file:
        whole = json.load(file)
    whole['model']['merges'] = merges
    for token in whole['added_tokens']:
        token['normalized'] = True
    with open(os.path.join(folder, 'lines', 'tokenizer.json'), 'w', encoding='utf-8') as file:
        json.dump(whole, file, ensure_ascii=False)


# ---- texts ----------------------------------------------------------------------------------------------

def alphabet():
    """Every assigned character, by category, and the special ones."""
    groups = {}
    for code in range(0x110000):
        category = unicodedata.category(chr(code))
        if category not in ('Cs', 'Cn'):
            groups.setdefault(category, []).append(chr(code))
    groups['noncharacter'] = [chr(0xfdd0), chr(0xfffe), chr(0x10ffff), chr(0xffff)]
    return groups


WORDS = ['photo', 'The', 'straße', 'ΟΔΟΣ', 'İstanbul', 'naïve', 'cafe\u0301', '東京', '서울', 'नमस्ते', "it's", "WE'LL", 'A.Σ.',
         '&amp;', '&amp;amp;lt;', '&notit;', '&NTILDE;', '&#8217;', '&#x1F600', '&copy', '<b>', '\u200d', '👩\u200d🚀', 'ﬁne',
         'ＡＢＣ', 'ｶﾞ', '\u2018x\u2019', '1234', '½', '٣', 'x²', '\r\n', '\u2028', '\x1b[31m', '\ufeff', '\u200b', '\u00a0',
         '<|endoftext|>', '<|STARTOFTEXT|>', '<start_of_text>', '<END_OF_TEXT>', "'\u017f", '\x85', '\x1c', '...', '!!', "'", '"',
         '\u0345', 'ΑΣ', 'Σ', '\u03a3\u0301', 'ŉ', 'Ǆ', '_', '\t', '\n', '\x00', 'amp;', '#38;', 'lt;', '&#38;', '&AMP;', 'NTILDE;', ';', '\u037e', '\u0338', '&', '\uff06', '\uff1b', '\x1b[3', '#x26',
         '\u0130', '\u1e9e', '\u212a']


def fuzz(rng, count):
    groups = alphabet()
    names = sorted(groups)
    common = [chr(c) for c in range(32, 127)] + [' '] * 30
    out = []
    for _ in range(count):
        kind = rng.random()
        length = rng.randint(1, 24)
        if kind < 0.3:
            text = ''.join(rng.choice(groups[rng.choice(names)]) for _ in range(length))
        elif kind < 0.45:
            mix = [groups[n] for n in rng.sample(names, 2)] + [common]
            text = ''.join(rng.choice(rng.choice(mix)) for _ in range(length))
        elif kind < 0.6:
            marks = groups['Mn'] + groups['Lm'] + groups['Sk']
            text = ''.join(rng.choice(rng.choice([groups['Lu'], groups['Ll'], marks, ['Σ', 'Σ', "'", '.', ' ', ':']]))
                           for _ in range(length))
        elif kind < 0.9:
            text = ''.join(rng.choice(WORDS) + rng.choice(['', '', ' ', '  ', '\n']) for _ in range(length))
        elif kind < 0.95:
            parts = [w for w in WORDS if '&' in w or ';' in w or '\x1b' in w or len(w) == 1]
            text = ''.join(rng.choice(parts) for _ in range(length))
        else:
            out.append(bytes(rng.choice([rng.randrange(256), rng.randrange(0x80, 0xf8), 0x20, 0x41]) for _ in range(length)))
            continue
        out.append(text.encode('utf-8'))
    return out


def repaired(text):
    """Whether ftfy would guess at the encoding, in any of its steps."""
    plain = ftfy.TextFixerConfig(explain=False, fix_encoding=False)
    return ftfy.fix_text(text) != ftfy.fix_text(text, plain)


# ---- the comparison ---------------------------------------------------------------------------------------

def build_driver(folder):
    """Compiles the driver with the rooms that it needs, and no more."""
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
    sources = [os.path.join(root, 'tests', 'parity', 'tokens_driver.c')]
    sources += glob.glob(os.path.join(root, 'src', 'text', '*.c')) + glob.glob(os.path.join(root, 'src', 'base', '*.c'))
    sources += [os.path.join(root, 'src', 'formats', name) for name in ('json.c', 'json_write.c', 'gzip.c')]
    driver = os.path.join(folder, 'tokens_driver')
    command = [os.environ.get('CC', 'cc'), '-std=c17', '-O2', '-D_POSIX_C_SOURCE=200809L', '-D_DEFAULT_SOURCE']
    command += ['-DCLSP_ROOM_TEXT=1', '-DCLSP_ROOM_FORMATS=1', '-DCLIPSPAN_VERSION="parity"']
    command += ['-I' + os.path.join(root, 'include'), '-I' + os.path.join(root, 'src')] + sources + ['-o', driver]
    command += ['-lutf8proc', '-ljansson', '-lz', '-lxxhash', '-lpthread', '-lm']
    subprocess.run(command, check=True)
    return driver


def run_driver(driver, vocabulary, manner, texts, capacity):
    with tempfile.NamedTemporaryFile(suffix='.texts') as file:
        for text in texts:
            file.write(struct.pack('<I', len(text)) + text)
        file.flush()
        done = subprocess.run([driver, vocabulary, manner, file.name, str(capacity)], check=True, capture_output=True)
    return [[int(i) for i in line.split()] for line in done.stdout.decode().splitlines()]


def run_command(command, model, texts):
    with tempfile.NamedTemporaryFile(suffix='.txt') as file:
        file.write(b''.join(text + b'\n' for text in texts))
        file.flush()
        done = subprocess.run([command, 'tokenize', model, '--texts', file.name], check=True, capture_output=True)
    return [[int(i) for i in line.split()] for line in done.stdout.decode().splitlines()]


def reference_open_clip(tokenizer, capacity):
    def ids(text):
        row = [tokenizer.sot_token_id] + tokenizer.encode(text) + [tokenizer.eot_token_id]
        if len(row) > capacity:
            row = row[:capacity]
            row[-1] = tokenizer.eot_token_id
        return row
    return ids


def reference_huggingface(folder, capacity):
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    return lambda text: tokenizer(text, truncation=True, max_length=capacity)['input_ids']


def compare(name, texts, found, expected):
    wrong = 0
    if len(found) != len(texts):
        print('%s: %d rows for %d texts' % (name, len(found), len(texts)))
        return 1
    for text, ids in zip(texts, found):
        want = expected(text.decode('utf-8', errors='replace'))
        if ids != want:
            wrong += 1
            if wrong <= 10:
                print('%s: %r\n  found    %s\n  expected %s' % (name, text.decode('utf-8', 'replace'), ids[:40], want[:40]))
    print('%-24s %6d texts, %d different' % (name, len(texts), wrong))
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--driver')
    parser.add_argument('--clipspan')
    parser.add_argument('--model')
    parser.add_argument('--manner', default='huggingface')
    parser.add_argument('--count', type=int, default=20000)
    parser.add_argument('--capacity', type=int, default=77)
    parser.add_argument('--seed', type=int, default=1)
    options = parser.parse_args()
    texts = list(TEXTS) + fuzz(random.Random(options.seed), options.count)
    texts_open_clip = [t for t in texts if not repaired(t.decode('utf-8', 'replace'))]
    print('%d texts; in %d ftfy would repair the encoding' % (len(texts), len(texts) - len(texts_open_clip)))
    if options.clipspan:
        lines = [t for t in (texts if options.manner == 'huggingface' else texts_open_clip)
                 if b'\n' not in t and b'\r' not in t and b'\0' not in t and not t.startswith(b'\xef\xbb\xbf')]
        expected = (reference_huggingface(options.model, options.capacity) if options.manner == 'huggingface' else
                    reference_open_clip(open_clip.tokenizer.SimpleTokenizer(), options.capacity))
        return compare(options.manner, lines, run_command(options.clipspan, options.model, lines), expected)
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        write_huggingface(folder)
        driver = options.driver or build_driver(folder)
        bpe = open_clip.tokenizer.default_bpe()
        found = run_driver(driver, bpe, 'open_clip', texts_open_clip, options.capacity)
        wrong += compare('open_clip', texts_open_clip, found,
                         reference_open_clip(open_clip.tokenizer.SimpleTokenizer(), options.capacity))
        for name, file in (('.', 'vocab.json'), ('pairs', 'tokenizer.json'), ('lines', 'tokenizer.json')):
            some = texts if name == '.' else texts[:len(TEXTS) + 3000]
            found = run_driver(driver, os.path.join(folder, name, file), 'huggingface', some, options.capacity)
            wrong += compare('huggingface ' + name + '/' + file, some, found,
                             reference_huggingface(os.path.join(folder, name), options.capacity))
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
