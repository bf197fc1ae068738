#!/usr/bin/env python3
"""TextSpan done directly in NumPy (float64), against what `clipspan textspan --json` says.

    clipspan export STORE --format npy --name NAME -o DIR        writes DIR/NAME_attn_MODEL.npy  [I, L, H, E]
    clipspan embed MODEL --texts POOL -o pool.npy                                                [T, E], unit length
    clipspan textspan STORE --texts POOL --json -o textspan.json
    python tests/parity/check_textspan.py --attn DIR/NAME_attn_MODEL.npy --pool pool.npy --json textspan.json

This is algorithm 1 of Gandelsman, Efros, Steinhardt (ICLR 2024) with every vector in full: an SVD of each head's
contributions, the texts projected on its right singular vectors, and after each pick the chosen direction taken out of
every contribution and every text. It shares nothing with the factored way, which never sees an image.

Options: --rank (80) and the number of texts are read from the JSON where it has them; --explained TOLERANCE (2e-5) for
the shares of variance; --ties SHARE (2e-6): the arrays are float32, so two texts whose scores agree to this share are
one and the same to them: either may be picked, and such ties are counted and shown. Exit code 1 where anything else
differs. POOL must hold no empty and no repeated lines (the command drops them, `embed` does not).
"""
import argparse
import json
import sys

import numpy as np

ROUND_OFF = 4.76837158203125e-7  # four units of float32 round-off: what the library counts as rank


def project_texts(texts, c, rank):
    """The texts on the span of c's right singular vectors (not centred), at most `rank` of them."""
    _, s, vt = np.linalg.svd(c, full_matrices=False)
    k = min(rank, int((s > ROUND_OFF * s[0]).sum()))
    return (texts @ vt[:k].T) @ vt[:k], k


def check_head(c, texts, head, rank, size, ties):
    """Walks the picks; returns (number of ties, largest difference in explained, problems)."""
    projected, k = project_texts(texts, c, rank)
    c = c - c.mean(axis=0)
    total = (c * c).sum() / len(c)
    picks, tied, worst, first = head["texts"], 0, 0.0, None
    for number in range(size + 1):
        scores = (c @ projected.T).std(axis=0)
        best = int(scores.argmax())
        first = scores[best] if first is None else first
        if number == size or scores[best] <= ROUND_OFF * first or number == len(picks):
            break
        mine = picks[number]["index"]
        if mine != best:
            gap = 1 - scores[mine] / scores[best]
            if gap > ties:
                return tied, worst, [f"pick {number}: text {mine}, directly {best} (scores differ by {gap:.1e})"]
            tied += 1
        n = projected[mine] / np.linalg.norm(projected[mine])
        along = c @ n
        worst = max(worst, abs(along.var() / total - picks[number]["explained"]))
        c = c - np.outer(along, n)
        projected = projected - np.outer(projected @ n, n)
    problems = []
    ended = number == size or scores[best] <= ROUND_OFF * first
    if number != len(picks) or not ended:
        problems.append(f"{len(picks)} texts, directly {number if ended else 'more'}")
    if "rank" in head and head["rank"] != k:
        problems.append(f"rank {head['rank']}, directly {k}")
    if abs(head.get("variance", total) / total - 1) > 1e-5:
        problems.append(f"variance {head['variance']:.9g}, directly {total:.9g}")
    return tied, worst, problems


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attn", required=True)
    parser.add_argument("--pool", required=True)
    parser.add_argument("--json", required=True)
    parser.add_argument("--rank", type=int)
    parser.add_argument("--explained", type=float, default=2e-5)
    parser.add_argument("--ties", type=float, default=2e-6)
    args = parser.parse_args()
    attn = np.load(args.attn, mmap_mode="r")
    texts = np.load(args.pool).astype(np.float64)
    with open(args.json, encoding="utf-8") as file:
        said = json.load(file)
    if said.get("pool", {}).get("texts", len(texts)) != len(texts):
        sys.exit(f"{args.pool}: {len(texts)} texts, the JSON's pool has {said['pool']['texts']}")
    rank = args.rank or said.get("rank", 80)
    size = said.get("size") or max(len(head["texts"]) for head in said["heads"])
    picks = ties = bad = 0
    worst = 0.0
    for head in said["heads"]:
        c = np.asarray(attn[:, head["layer"], head["head"]], dtype=np.float64)
        tied, difference, problems = check_head(c, texts, head, rank, size, args.ties)
        picks, ties, worst = picks + len(head["texts"]), ties + tied, max(worst, difference)
        for problem in problems:
            bad += 1
            print(f"L{head['layer']}.H{head['head']}: {problem}")
    print(f"textspan: {len(said['heads'])} heads, {picks} picks, {ties} of them ties within {args.ties:g}; "
          f"explained differs by at most {worst:.1e}; {bad} problems")
    if worst > args.explained:
        print(f"explained differs by more than {args.explained:g}")
    return 1 if bad or worst > args.explained or not picks else 0


if __name__ == "__main__":
    sys.exit(main())
