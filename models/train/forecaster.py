"""A forecaster's folder: how the runtime feeds the model, and what it ships."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import numpy as np
import onnx
import onnxruntime

import data

SPREAD_FLOOR = 1e-6
PARITY = 1e-5


@dataclass(frozen=True)
class Spec:
    """What `forecaster.json` says; `calendar` is the empty tuple or the hour."""

    name: str
    series: str
    context: int
    center: str
    spread: float | str
    calendar: tuple[str, ...]
    output: str

    def scale(self, contexts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Center and spread of each context, [windows, 1] each."""
        if self.center == "last":
            center = contexts[:, -1:]
        else:
            center = contexts.mean(axis=1, keepdims=True)
        if self.spread == "context_std":
            spread = contexts.std(axis=1, keepdims=True)
            return center, np.maximum(spread, SPREAD_FLOOR)
        return center, np.full_like(center, self.spread)

    def inputs(self, series: data.Series, origins: np.ndarray) -> dict[str, np.ndarray]:
        """The model's inputs in f32, one row a window."""
        contexts = series.contexts(origins, self.context)
        center, spread = self.scale(contexts)
        inputs = {"context": ((contexts - center) / spread).astype(np.float32)}
        if self.calendar:
            inputs["calendar"] = series.hour_features(origins).astype(np.float32)
        return inputs

    def scaled_targets(self, series: data.Series, origins: np.ndarray) -> np.ndarray:
        center, spread = self.scale(series.contexts(origins, self.context))
        return ((series.targets(origins) - center) / spread).astype(np.float32)

    def training_set(self) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Inputs and scaled targets of every training window of every airport."""
        inputs, targets = [], []
        for airport in data.AIRPORTS:
            series = data.load(airport)
            origins = series.origins("train", self.context)
            inputs.append(self.inputs(series, origins))
            targets.append(self.scaled_targets(series, origins))
        joined = {k: np.concatenate([i[k] for i in inputs]) for k in inputs[0]}
        return joined, np.concatenate(targets)

    def to_json(self) -> dict:
        inputs = [{"name": "context", "kind": "context"}]
        if self.calendar:
            inputs.append(
                {"name": "calendar", "kind": "calendar", "features": list(self.calendar)}
            )
        return {
            "format": 1,
            "name": self.name,
            "model": "model.onnx",
            "covariance": "covariance.npy",
            "series": self.series,
            "context": self.context,
            "horizon": data.HORIZON,
            "step_seconds": 3600,
            "unit": "degF",
            "scale": {"center": self.center, "spread": self.spread},
            "inputs": inputs,
            "output": self.output,
        }


@dataclass(frozen=True)
class Trained:
    """A trained model, its ONNX form, and the framework's own prediction."""

    spec: Spec
    training: dict
    model: onnx.ModelProto
    predict: Callable[[dict[str, np.ndarray]], np.ndarray]


class Exported:
    """The ONNX model as the runtime sees it, run by ONNX Runtime."""

    def __init__(self, trained: Trained):
        onnx.checker.check_model(trained.model, full_check=True)
        self.spec = trained.spec
        self.session = onnxruntime.InferenceSession(
            trained.model.SerializeToString(), providers=["CPUExecutionProvider"]
        )

    def run(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """One window a call, as the runtime does."""
        rows = [
            {name: value[i : i + 1] for name, value in inputs.items()}
            for i in range(len(inputs["context"]))
        ]
        output = self.spec.output
        return np.concatenate([self.session.run([output], row)[0] for row in rows])

    def means(self, series: data.Series, origins: np.ndarray) -> np.ndarray:
        """Forecast means in degF, [windows, horizon]."""
        center, spread = self.spec.scale(series.contexts(origins, self.spec.context))
        return self.run(self.spec.inputs(series, origins)) * spread + center

    def check_parity(self, trained: Trained, series: data.Series, origins: np.ndarray):
        """The exported model answers as the framework does, to PARITY of the largest."""
        inputs = self.spec.inputs(series, origins)
        expected = trained.predict(inputs)
        difference = np.abs(self.run(inputs) - expected).max() / np.abs(expected).max()
        if difference > PARITY:
            raise SystemExit(f"{self.spec.name}: ONNX differs by {difference:.2e}")


def residual_covariance(residuals: np.ndarray) -> np.ndarray:
    """Second moment about zero, so that a bias of the mean widens the Gaussian."""
    covariance = residuals.T @ residuals / len(residuals)
    np.linalg.cholesky(covariance)
    return covariance


def write_json(path: Path, value: dict):
    path.write_text(json.dumps(value, indent=2) + "\n")


def write_series(path: Path, series: data.Series):
    rows = (
        f"{t:%Y-%m-%dT%H:%M:%SZ},{v:.2f}" for t, v in zip(series.time, series.value)
    )
    path.write_text("time,value\n" + "\n".join(rows) + "\n")


def sha256(folder: Path) -> dict[str, str]:
    """Of every file in the folder but the manifest, which holds them."""
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.iterdir())
        if file.name != "manifest.json"
    }
