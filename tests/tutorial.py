"""What the tutorial works with: its five kernels and the shipped digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
CSV = ROOT / "data" / "digits.csv.gz"
PARQUET = ROOT / "data" / "digits.parquet"

KERNELS = {
    "Right Sobel": [-1, 0, 1, -2, 0, 2, -1, 0, 1],
    "Detect Edges": [1, 1, 1, 1, -8, 1, 1, 1, 1],
    "Sharpen": [0, -1, 0, -1, 5, -1, 0, -1, 0],
    "Box Blur": [0.1] * 9,
    "Approximated Gaussian Blur": [weight / 16 for weight in (1, 2, 1, 2, 4, 2, 1, 2, 1)],
}


def filter_of(name: str) -> np.ndarray:
    """A kernel as TensorFlow takes it: [height, width, in_channels, out_channels]."""
    return np.array(KERNELS[name], np.float32).reshape(3, 3, 1, 1)


def literal(array: np.ndarray) -> str:
    """A nested SQL literal of an array."""
    return str(np.asarray(array).tolist())


def tolerance(images: np.ndarray) -> float:
    """1e-5 of the pictures' scale."""
    return 1e-5 * float(np.abs(images).max())
