"""What the tutorial works with: its five kernels, the shipped digits, and what it puts into MLDB."""

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


# What the tutorial puts: the import of its digits, and its convolution in JavaScript.
IMPORT = {
    "type": "import.text",
    "params": {
        "dataFileUrl": CSV.as_uri(),
        "outputDataset": "digits_mnist",
        "select": '{* EXCLUDING("785")} AS *, "785" AS label',
        "runOnCreation": True,
    },
}
CONVOLVE = """
    jseval('
var row_val = val;
var dim = Math.sqrt(row_val.length);

function arrangeMatrix(pixels) {
    // matrix of pixels
    matrix = [];
    for (i = 0; i < Math.sqrt(pixels.length); i++) {
        matrix.push([]);
        for (j = 0; j < Math.sqrt(pixels.length); j++) {
            matrix[i].push(pixels[i * Math.sqrt(pixels.length) + j][1]);
        }
    }
    return matrix;
}

function clamp(at) {
    return at < dim ? at : dim - 1;
}

function applyKernel(image, weights) {
    new_image = [];
    for (i = 0; i < dim; i++) {
        for (j = 0; j < dim; j++) {
            new_value = 0;
            for (k = 0; k < weights.length; k++) {
                for (l = 0; l < weights.length; l++) {
                    new_value += weights[k][l] * image[clamp(i + k)][clamp(j + l)];
                }
            }
            new_image.push(new_value);
        }
    }
    return new_image;
}

return applyKernel(arrangeMatrix(row_val), arrangeMatrix(kernel));
', 'val, kernel', valueExpr, kernel) AS *
"""


def filter_of(name: str) -> np.ndarray:
    """A kernel as TensorFlow takes it: [height, width, in_channels, out_channels]."""
    return np.array(KERNELS[name], np.float32).reshape(3, 3, 1, 1)


def literal(array: np.ndarray) -> str:
    """A nested SQL literal of an array."""
    return str(np.asarray(array).tolist())


def tolerance(images: np.ndarray) -> float:
    """1e-5 of the pictures' scale."""
    return 1e-5 * float(np.abs(images).max())
