"""An ensemble of residual MLPs that read the context at several resolutions.

A member sees the last hours one by one and, where its view says so, the mean
day and the daily means of the last days. A linear skip carries those straight
to the output, a residual block adds what is not linear, and the members' mean
is the forecast.
"""

import itertools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax2onnx import to_onnx

import data
from fit import dense, dropout, fit
from forecaster import Spec, Trained

SEED = 1
HIDDEN = 64
DROPOUT = 0.2
MEMBERS_PER_VIEW = 2
DAY = 24
SPEC = Spec(
    name="jfk-temperature",
    series="series.csv",
    context=336,
    center="last",
    spread=10.0,
    calendar=("hour_sin", "hour_cos"),
    output="mean",
)


@dataclass(frozen=True)
class View:
    """The last `hours` one by one; mean day and daily means over `days`."""

    hours: int
    days: int

    @property
    def dim(self) -> int:
        return self.hours + (DAY + self.days if self.days else 0) + len(SPEC.calendar)

    def features(self, context, calendar):
        parts = [context[:, -self.hours :]]
        if self.days:
            days = context[:, -self.days * DAY :].reshape(-1, self.days, DAY)
            parts += [days.mean(axis=1), days.mean(axis=2)]
        return jnp.concatenate([*parts, calendar], axis=1)


VIEWS = (View(96, 0), View(48, 7), View(48, 14))


def init(key, view: View) -> dict:
    skip, into, up, down, out = jax.random.split(key, 5)
    return {
        "skip": dense(skip, view.dim, data.HORIZON, 0.1),
        "into": dense(into, view.dim, HIDDEN),
        "into_b": jnp.zeros(HIDDEN),
        "up": dense(up, HIDDEN, HIDDEN, 1.4),
        "up_b": jnp.zeros(HIDDEN),
        "down": dense(down, HIDDEN, HIDDEN, 0.3),
        "out": dense(out, HIDDEN, data.HORIZON, 0.3),
        "out_b": jnp.zeros(data.HORIZON),
    }


def predict(params, x, key):
    first, second = (None, None) if key is None else jax.random.split(key)
    hidden = jax.nn.relu(x @ params["into"] + params["into_b"])
    hidden = dropout(first, DROPOUT, hidden)
    inner = jax.nn.relu(hidden @ params["up"] + params["up_b"])
    hidden = hidden + dropout(second, DROPOUT, inner) @ params["down"]
    return x @ params["skip"] + hidden @ params["out"] + params["out_b"]


def train_member(view: View, inputs, targets, seed: int) -> dict:
    def member(params, context, calendar, key):
        return predict(params, view.features(context, calendar), key)

    start, run = jax.random.split(jax.random.key(seed))
    return fit(
        init(start, view), member, inputs, targets, run,
        steps=3000, batch=256, learning_rate=1e-3,
    )  # fmt: skip


def train() -> Trained:
    inputs, targets = SPEC.training_set()
    seeds = itertools.count(SEED)
    members = {
        view: [
            train_member(view, inputs, targets, next(seeds))
            for _ in range(MEMBERS_PER_VIEW)
        ]
        for view in VIEWS
    }

    def ensemble(context, calendar):
        means = []
        for view, group in members.items():
            x = view.features(context, calendar)
            means += [predict(params, x, None) for params in group]
        return sum(means) / len(means)

    model = to_onnx(
        ensemble,
        [(1, SPEC.context), (1, len(SPEC.calendar))],
        model_name="jfk_temperature",
        opset=18,
        input_names=["context", "calendar"],
        output_names=["mean"],
    )
    return Trained(
        spec=SPEC,
        training={
            "framework": "jax",
            "exporter": "jax2onnx",
            "seed": SEED,
            "airports": data.AIRPORTS,
            "architecture": f"{len(VIEWS) * MEMBERS_PER_VIEW} residual MLPs, "
            f"hidden {HIDDEN}, averaged",
        },
        model=model,
        predict=lambda x: np.asarray(ensemble(x["context"], x["calendar"])),
    )
