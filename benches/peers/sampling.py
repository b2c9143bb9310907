"""MKL and NumPy for the draws: does what it reads on its standard input, a command a line, and
answers each with a line, as `serve.rs` does.

    sampling.py mkl|numpy full|standard PATHS DIM f32|f64

Each engine has several ways to draw. `load` tries them all; the fastest is what is timed.
"""

import os
import sys
import time

import numpy as np

SEED = 42
TRIALS = 41


def target(kind, dim):
    """Mean and covariance: as `draws.rs` has them."""
    if kind == "standard":
        return np.zeros(dim), np.eye(dim)
    index = np.arange(dim)
    scale = 1 + 0.1 * index
    correlation = 0.8 ** np.abs(index[:, None] - index)
    return np.ones(dim), correlation * scale[:, None] * scale


def mkl_ways(kind, paths, dim, element):
    """Every method of every generator that is fast enough to matter, in f64: it has no other."""
    import mkl_random

    mean, covariance = target(kind, dim)
    factor = np.linalg.cholesky(covariance)
    for brng in ["SFMT19937", "MCG59", "PHILOX4X32X10"]:
        state = mkl_random.MKLRandomState(SEED, brng=brng)
        for method in ["ICDF", "BoxMuller", "BoxMuller2"]:
            if kind == "full":
                def draw(state=state, method=method):
                    return state.multinormal_cholesky(mean, factor, paths, method=method)
            else:
                def draw(state=state, method=method):
                    return state.standard_normal((paths, dim), method=method)
            yield f"{brng}, {method}", draw


def numpy_ways(kind, paths, dim, element):
    """`multivariate_normal`, and normals times the factor in memory that is there already."""
    mean, covariance = target(kind, dim)
    rng = np.random.default_rng(SEED)
    if kind == "full":
        def own():
            return rng.multivariate_normal(mean, covariance, paths, method="cholesky")
        yield "multivariate_normal", own
    for dtype in [np.float64] + [np.float32] * (element == "f32"):
        name = np.dtype(dtype).name
        factor = np.linalg.cholesky(covariance).T.astype(dtype)
        centre = mean.astype(dtype)
        z, y = np.empty((paths, dim), dtype), np.empty((paths, dim), dtype)

        def standard(z=z, dtype=dtype):
            return rng.standard_normal(dtype=dtype, out=z)

        def product(z=z, y=y, dtype=dtype, factor=factor, centre=centre):
            rng.standard_normal(dtype=dtype, out=z)
            np.matmul(z, factor, out=y)
            np.add(y, centre, out=y)
            return y

        if kind == "full":
            yield f"standard_normal and a product, {name}", product
        else:
            yield f"standard_normal, {name}", standard


def nanoseconds(draw, calls):
    """Of each of `calls` calls, when the caches have seen the numbers again."""
    clock = time.perf_counter_ns
    for _ in range(max(calls // 10, 3)):
        draw()
    times = []
    for _ in range(calls):
        started = clock()
        draw()
        times.append(clock() - started)
    return times


def main():
    engine, kind, paths, dim, element = sys.argv[1:]
    case = kind, int(paths), int(dim), element
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    ways = {"mkl": mkl_ways, "numpy": numpy_ways}[engine]
    way, draw = None, None

    for line in sys.stdin:
        command, *number = line.split()
        number = int(number[0]) if number else 0
        if command == "load":
            # The least time of each: what disturbs the machine does not choose.
            trials = [(min(nanoseconds(candidate, TRIALS)), name, candidate)
                      for name, candidate in ways(*case)]
            _, way, draw = min(trials, key=lambda trial: trial[0])
            reply = way
        elif command == "answer":
            reply = " ".join(map(str, np.asarray(draw(), np.float32).ravel().tolist()))
        elif command == "heap":
            # Nobody counts in this process.
            reply = "-"
        elif command == "time":
            reply = " ".join(map(str, nanoseconds(draw, number)))
        elif command == "reload":
            times = []
            for _ in range(number):
                started = time.perf_counter_ns()
                next(candidate for name, candidate in ways(*case) if name == way)
                times.append(time.perf_counter_ns() - started)
            reply = " ".join(map(str, times))
        else:
            sys.exit(f"no such command: {command}")
        print(reply, flush=True)


if __name__ == "__main__":
    main()
