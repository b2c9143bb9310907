"""Quantizes the forecasters again with `nowcast quantize`, and scores what comes out.

Needs the folders that main.py writes, and a built `nowcast`: its path is the argument.
"""

import csv
import json
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from statistics import NormalDist

import numpy as np
import onnxruntime

MODELS = Path(__file__).resolve().parent.parent
SERIES = MODELS / "jfk-temperature" / "series.csv"
# Everything before the validation windows: no score is of data that a range was taken from.
BEFORE = "2013-10-01T00:00:00Z"
FORECASTERS = {
    "jfk-temperature": ["--mode", "static"],
    "jfk-lstm": ["--mode", "dynamic"],
    "jfk-sklearn-mlp": ["--mode", "static"],
}


def read_series() -> tuple[list[datetime], np.ndarray]:
    with SERIES.open() as file:
        rows = list(csv.reader(file))[1:]
    times = [datetime.strptime(time, "%Y-%m-%dT%H:%M:%SZ") for time, _ in rows]
    return times, np.array([np.float32(value) for _, value in rows], dtype=np.float64)


def feature(name: str, time: datetime) -> float:
    day = (time - datetime(time.year, time.month, time.day)) / timedelta(days=1)
    year = (time - datetime(time.year, 1, 1)) / timedelta(days=1) / 365.2425
    part, function = name.split("_")
    angle = 2 * np.pi * (day if part == "hour" else year)
    return float(np.sin(angle) if function == "sin" else np.cos(angle))


class Scored:
    """A folder's model, run by ONNX Runtime on the test windows of its manifest."""

    def __init__(self, folder: Path):
        self.description = json.loads((folder / "forecaster.json").read_text())
        self.covariance = np.load(folder / self.description["covariance"])
        self.session = onnxruntime.InferenceSession(
            folder / self.description["model"], providers=["CPUExecutionProvider"]
        )

    def mean(self, context: np.ndarray, first_step: datetime) -> np.ndarray:
        scale = self.description["scale"]
        center = context[-1] if scale["center"] == "last" else context.mean()
        spread = scale["spread"]
        if spread == "context_std":
            spread = max(context.std(), 1e-6)
        inputs = {}
        for described in self.description["inputs"]:
            if described["kind"] == "context":
                row = (context - center) / spread
            else:
                row = [feature(name, first_step) for name in described["features"]]
            inputs[described["name"]] = np.array([row], dtype=np.float32)
        output = self.session.run([self.description["output"]], inputs)[0]
        return output[0].astype(np.float64) * spread + center

    def scores(self, times: list[datetime], values: np.ndarray, part: dict) -> dict:
        context, horizon = self.description["context"], self.description["horizon"]
        bounds = [datetime.strptime(part[k], "%Y-%m-%dT%H:%M:%SZ") for k in ("first_target", "last_target")]
        first, last = (times.index(bound) for bound in bounds)
        origins = range(first, last - horizon + 2)
        assert len(origins) == part["windows"]
        target = np.array([values[o : o + horizon] for o in origins])
        mean = np.array([self.mean(values[o - context : o], times[o]) for o in origins])
        std = np.sqrt(np.diag(self.covariance))
        normal = NormalDist()
        losses = []
        for level in np.arange(1, 10) / 10:
            error = target - (mean + std * normal.inv_cdf(level))
            pinball = np.maximum(level * error, (level - 1) * error)
            losses.append(2 * pinball.sum() / np.abs(target).sum())
        inside = np.abs(target - mean) <= std * normal.inv_cdf(0.95)
        return {
            "mae": round(float(np.abs(target - mean).mean()), 4),
            "wql": round(float(np.mean(losses)), 5),
            "coverage_90": round(float(inside.mean()), 4),
        }


def sha256(folder: Path) -> dict[str, str]:
    from hashlib import sha256

    files = (file for file in sorted(folder.iterdir()) if file.name != "manifest.json")
    return {file.name: sha256(file.read_bytes()).hexdigest() for file in files}


def main(nowcast: str):
    times, values = read_series()
    for name, options in FORECASTERS.items():
        folder = MODELS / f"{name}-int8"
        arguments = ["quantize", f"models/{name}", "-o", f"models/{name}-int8", *options, "--before", BEFORE]
        report = subprocess.run(
            [nowcast, *arguments, "--json"], cwd=MODELS.parent, check=True, capture_output=True
        )
        manifest = json.loads((MODELS / name / "manifest.json").read_text())
        own = Scored(folder).scores(times, values, manifest["split"]["test"])
        scores = manifest["test_scores"]
        written = {
            "name": f"{name}-int8",
            "made_by": "models/train/quantized.py",
            "made_from": name,
            "command": " ".join(["nowcast", *arguments]),
            "layers": len(json.loads(report.stdout)["layers"]),
            "source": manifest["source"],
            "split": manifest["split"],
            "test_scores": {"model": own, "float": scores["model"]}
            | {peer: scores[peer] for peer in ("seasonal_naive", "auto_theta")},
            "sha256": sha256(folder),
        }
        (folder / "manifest.json").write_text(json.dumps(written, indent=2) + "\n")
        print(name, own, "float", scores["model"], flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
