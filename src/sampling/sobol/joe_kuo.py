"""Makes joe_kuo.bin, the table of Sobol parameters that joe_kuo.rs reads, from SciPy's copy of
new-joe-kuo-6 (scipy/stats/_sobol_direction_numbers.npz), and prints the numbers that the tests
of joe_kuo.rs and sobol.rs quote.

    python src/sampling/sobol/joe_kuo.py

One record of 12 bytes, little-endian, for each dimension after the first, as far as polynomials
of degree 13 go. From the lowest bit: the polynomial in 14 bits, then of each initial number
m_1, m_2, ... m_13 (odd, below 2^i) the i - 1 bits above its lowest; zeros where the degree is
smaller.
"""

from pathlib import Path

import numpy as np
import scipy.stats
from scipy.stats import qmc

DEGREE = 13
BITS = 32


def record(polynomial: int, initial: list[int]) -> bytes:
    degree = polynomial.bit_length() - 1
    packed, at = polynomial, DEGREE + 1
    for i in range(1, DEGREE + 1):
        m = initial[i - 1] if i <= degree else 1
        assert m % 2 == 1 and m < 2**i
        packed |= (m >> 1) << at
        at += i - 1
    return packed.to_bytes(12, "little")


def fnv(words) -> int:
    """FNV-1a of 32-bit words, little-endian."""
    hash = 0xCBF29CE484222325
    for word in words:
        for byte in int(word).to_bytes(4, "little"):
            hash = (hash ^ byte) * 0x100000001B3 % 2**64
    return hash


def points(dims: list[int], numbers: list[int]) -> None:
    """SciPy walks in Gray code: its point i is number i ^ (i >> 1)."""
    for number in numbers:
        i = number
        for shift in (1, 2, 4, 8, 16):
            i ^= i >> shift
        engine = qmc.Sobol(max(dims) + 1, scramble=False, bits=BITS)
        if i > 0:
            engine.fast_forward(i)
        point = engine.random(1)[0]
        words = ", ".join(f"{int(point[j] * 2**BITS):#010x}" for j in dims)
        print(f"({number}, [{words}]),")


def main() -> None:
    source = Path(scipy.stats.__file__).with_name("_sobol_direction_numbers.npz")
    with np.load(source) as numbers:
        polynomials, initials = numbers["poly"].tolist(), numbers["vinit"].tolist()
    dims = sum(1 for p in polynomials if p.bit_length() <= DEGREE + 1)
    assert all(p.bit_length() <= DEGREE + 1 for p in polynomials[:dims])
    table = b"".join(record(p, m) for p, m in zip(polynomials[1:dims], initials[1:dims]))
    Path(__file__).with_suffix(".bin").write_bytes(table)
    print(f"{dims} dimensions, {len(table)} bytes")

    engine = qmc.Sobol(dims, scramble=False, bits=BITS)
    print(f"direction numbers of all dimensions: {fnv(engine._sv.flatten()):#018x}")
    points([0, 1, 2, 6, 100, 1110], [0, 1, 2, 3, 4, 5, 6, 7, 1000, 65535, 1 << 20, (1 << 24) - 3])


if __name__ == "__main__":
    main()
