"""Writes wilson.txt: Wilson's 95 % intervals of r right of n, by SciPy 1.17.1.

    python make_wilson.py > wilson.txt
"""
from scipy.stats import binomtest

for n in range(1, 21):
    for right in range(n + 1):
        interval = binomtest(right, n).proportion_ci(0.95, "wilson")
        print(right, n, repr(float(interval.low)), repr(float(interval.high)))
