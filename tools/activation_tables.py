#!/usr/bin/env python3
"""Writes src/compute/gemm_tables.h: the tails of the activations in pieces, for vector registers that look up 32 numbers.

    tools/activation_tables.py > src/compute/gemm_tables.h

An activation is x g(x) with g(-x) = 1 - g(x): max(x, 0) - t T(t) with t = |x| and the tail T(t) = 1 - g(t). With
t = (n + u) limit / 31 and n the nearest integer, T is for each n from 0 to 30 the polynomial of degree 5 in u through T's
values at Chebyshev's points of [-1/2, 1/2]; for n = 31 it is zero. Standard library only.
"""
import math

LAST, DEGREE = 31, 5
ACTIVATIONS = [
    ("gelu", 5.9, lambda t: 0.5 * math.erfc(t / math.sqrt(2))),
    ("quick_gelu", 11.5, lambda t: 1 / (1 + math.exp(1.702 * t))),
    ("gelu_tanh", 5.5, lambda t: 1 / (1 + math.exp(2 * math.sqrt(2 / math.pi) * (t + 0.044715 * t**3)))),
]


def polynomial(function):
    """Coefficients of 1, u, u^2 ... of the polynomial through function at Chebyshev's points of [-1/2, 1/2]."""
    points = [-0.5 * math.cos(math.pi * (i + 0.5) / (DEGREE + 1)) for i in range(DEGREE + 1)]
    slopes = [function(u) for u in points]  # Newton's divided differences
    for k in range(1, DEGREE + 1):
        for i in range(DEGREE, k - 1, -1):
            slopes[i] = (slopes[i] - slopes[i - 1]) / (points[i] - points[i - k])
    powers = [0.0] * (DEGREE + 1)
    for i in range(DEGREE, -1, -1):  # powers = powers (u - points[i]) + slopes[i]
        powers = [(powers[j - 1] if j else 0.0) - points[i] * powers[j] for j in range(DEGREE + 1)]
        powers[0] += slopes[i]
    return powers


def main():
    print("/* compute/gemm_tables.h - tails of the activations in pieces. Written by tools/activation_tables.py, which says")
    print(" * what they are. */")
    print("typedef struct tail_table {")
    print(f"    _Alignas(64) float powers[{DEGREE + 1}][{LAST + 1}]; /* of u, piece after piece */")
    print("    float pieces_per_unit, limit;")
    print("} tail_table;")
    for name, limit, tail in ACTIVATIONS:
        pieces = [polynomial(lambda u, p=p: tail((p + u) * limit / LAST)) for p in range(LAST)] + [[0.0] * (DEGREE + 1)]
        print(f"\nstatic const tail_table tail_{name} = {{.pieces_per_unit = {LAST / limit:.9g}f, .limit = {limit}f, .powers = {{")
        for power in range(DEGREE + 1):
            row = [f"{piece[power]:.9g}" for piece in pieces]
            row = [number + ("f" if "." in number or "e" in number else ".0f") for number in row]
            lines = [", ".join(row[i:i + 6]) for i in range(0, LAST + 1, 6)]
            print("    {" + ",\n     ".join(lines) + "},")
        print("}};")


if __name__ == "__main__":
    main()
