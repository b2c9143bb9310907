"""What the models are measured against, on the same windows."""

import numpy as np
from statsforecast.models import AutoTheta

import data
from scores import INTERVAL, LEVELS, score, weighted_quantile_loss

SEASON = 24
THETA_CONTEXTS = (168, 336, 672, 1008)
THETA_SELECTION_STRIDE = 11


def seasonal_naive(series: data.Series, validation, test) -> dict:
    """The same hour yesterday, with its validation residuals' quantiles by step."""
    residuals = series.targets(validation) - series.contexts(validation, SEASON)
    mean = series.contexts(test, SEASON)
    offsets = np.quantile(residuals, LEVELS, axis=0)[:, None, :]
    interval = np.quantile(residuals, INTERVAL, axis=0)[:, None, :]
    return score(series.targets(test), mean, mean + offsets, mean + interval)


def theta_forecasts(series: data.Series, origins, context: int):
    """AutoTheta's mean, quantiles at LEVELS and 90 % interval."""
    names = [f"lo-{p}" for p in (80, 60, 40, 20)]
    names += ["mean"] + [f"hi-{p}" for p in (20, 40, 60, 80)]
    means, quantiles, intervals = [], [], []
    for window in series.contexts(origins, context):
        model = AutoTheta(season_length=SEASON)
        out = model.forecast(y=window, h=data.HORIZON, level=[20, 40, 60, 80, 90])
        means.append(out["mean"])
        quantiles.append([out[name] for name in names])
        intervals.append([out["lo-90"], out["hi-90"]])
    stacked = np.array(quantiles).swapaxes(0, 1), np.array(intervals).swapaxes(0, 1)
    return np.array(means), *stacked


def auto_theta(series: data.Series, test) -> dict:
    """AutoTheta on the context length that is best on validation windows."""

    def validation_loss(context: int) -> float:
        origins = series.origins("validation", context, THETA_SELECTION_STRIDE)
        _, quantiles, _ = theta_forecasts(series, origins, context)
        return weighted_quantile_loss(series.targets(origins), quantiles)

    context = min(THETA_CONTEXTS, key=validation_loss)
    mean, quantiles, interval = theta_forecasts(series, test, context)
    return {"context": context} | score(
        series.targets(test), mean, quantiles, interval
    )
