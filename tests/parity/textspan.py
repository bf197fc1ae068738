"""TextSpan as ALGORITHMS 3 describes it, in NumPy, on the vectors themselves: nothing factored, nothing updated."""
import numpy as np

NOISE = 3e-7  # singular values of float32 data below this share of the largest are rounding
TIE = 1e-6  # of the score: two texts this close are a tie that either program may break


def picks(contributions, texts, size, rank=80):
    """contributions: [I, E] of one head; texts: [T, E], unit length. Returns the chosen indices, and for each pick the
    gap between the best score and the second, as a share of the best."""
    c, t = contributions.astype(np.float64), texts.astype(np.float64)
    _, values, axes = np.linalg.svd(c, full_matrices=False)
    k = min(rank, int((values > NOISE * values[0]).sum()))
    t = t @ axes[:k].T @ axes[:k]
    c = c - c.mean(0)
    chosen, gaps, first = [], [], None
    for _ in range(min(size, k)):
        scores = (c @ t.T).std(0)
        best = int(scores.argmax())
        first = first or scores[best]
        if scores[best] < 1e-5 * first:
            break
        others = np.delete(scores, best)
        chosen.append(best)
        gaps.append((scores[best] - others.max()) / scores[best])
        n = t[best] / np.linalg.norm(t[best])
        c = c - np.outer(c @ n, n)
        t = t - np.outer(t @ n, n)
    return chosen, gaps, k


def compare(attn, pool, heads, size):
    """attn: [I, L, H, E]; heads: of `clipspan textspan --json`. Returns heads, picks, picks that differ, ties, and the
    heads whose rank differs."""
    result = {"heads": 0, "picks": 0, "different": [], "ties": 0, "ranks": 0}
    for head in heads:
        l, h = head["layer"], head["head"]
        chosen, gaps, k = picks(attn[:, l, h], pool, size)
        found = [text["index"] for text in head["texts"]]
        result["heads"] += 1
        result["ranks"] += k != head["rank"]
        for i in range(max(len(found), len(chosen))):
            mine = found[i] if i < len(found) else None
            theirs = chosen[i] if i < len(chosen) else None
            if mine != theirs:
                if theirs is not None and gaps[i] < TIE:
                    result["ties"] += 1
                else:
                    result["different"].append(f"L{l}.H{h} pick {i}: {mine}, direct {theirs} (ranks {head['rank']}, {k})")
                break  # what follows another pick cannot be compared
            result["picks"] += 1
    return result
