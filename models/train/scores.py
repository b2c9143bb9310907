"""Scores of probabilistic forecasts in degF, over windows and horizon steps."""

import numpy as np
from scipy.stats import norm

LEVELS = np.arange(1, 10) / 10
INTERVAL = (0.05, 0.95)


def gaussian_quantiles(mean: np.ndarray, variance: np.ndarray, levels) -> np.ndarray:
    """[windows, horizon] and [horizon] to [levels, windows, horizon]."""
    return mean + np.sqrt(variance) * norm.ppf(levels)[:, None, None]


def weighted_quantile_loss(target: np.ndarray, quantiles: np.ndarray) -> float:
    """2 * sum(pinball) / sum(|target|), averaged over LEVELS."""
    error = target - quantiles
    levels = LEVELS[:, None, None]
    pinball = np.maximum(levels * error, (levels - 1) * error)
    return float(np.mean(2 * pinball.sum(axis=(1, 2)) / np.abs(target).sum()))


def coverage(target: np.ndarray, interval: np.ndarray) -> float:
    """Share of targets inside [lower, upper]."""
    return float(np.mean((interval[0] <= target) & (target <= interval[1])))


def score(target: np.ndarray, mean: np.ndarray, quantiles, interval) -> dict:
    return {
        "mae": round(float(np.mean(np.abs(target - mean))), 4),
        "wql": round(weighted_quantile_loss(target, quantiles), 5),
        "coverage_90": round(coverage(target, interval), 4),
    }


def score_gaussian(target: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> dict:
    variance = np.diag(covariance)
    return score(
        target,
        mean,
        gaussian_quantiles(mean, variance, LEVELS),
        gaussian_quantiles(mean, variance, np.array(INTERVAL)),
    )
