"""The tutorial "Image Processing with Convolutions": the same filters by JavaScript and by TensorFlow, in SQL.

Run it with ``python examples/convolutions.py [t10k-images-idx3-ubyte.gz]``; without a file of MNIST it takes the
shipped digits. It imports them, samples one, filters it five ways by both, checks how the two results are related,
writes convolutions.png, and times both over 10,000 pictures.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import numpy as np

import tfsql
import tfsql.mldb
from tfsql.render import save_png

DATA = Path(__file__).resolve().parents[1] / "data"
PNG = "convolutions.png"
ROWS, RUNS = 10_000, 3

KERNELS: dict[str, list[float]] = {
    "Right Sobel": [-1, 0, 1, -2, 0, 2, -1, 0, 1],
    "Detect Edges": [1, 1, 1, 1, -8, 1, 1, 1, 1],
    "Sharpen": [0, -1, 0, -1, 5, -1, 0, -1, 0],
    "Box Blur": [0.1] * 9,
    "Approximated Gaussian Blur": [weight / 16 for weight in (1, 2, 1, 2, 4, 2, 1, 2, 1)],
}

# The window's top left corner is on the pixel; the last row and column are repeated at the edge. A picture arrives as
# cells of path, value and timestamp; plain loops over arrays are what V8 runs fastest here.
JAVASCRIPT = """
  const size = Math.sqrt(image.length), radius = Math.sqrt(kernel.length);
  const pixels = [], weights = [], result = [];
  for (let n = 0; n < image.length; n++) pixels.push(image[n][1]);
  for (let n = 0; n < kernel.length; n++) weights.push(kernel[n][1]);
  for (let i = 0; i < size; i++)
    for (let j = 0; j < size; j++) {
      let sum = 0, k = 0;
      for (let y = i; y < i + radius; y++) {
        const row = (y < size ? y : size - 1) * size;
        for (let x = j; x < j + radius; x++) sum += pixels[row + (x < size ? x : size - 1)] * weights[k++];
      }
      result.push(sum);
    }
  return result;
"""

FUNCTIONS = f"""
CREATE FUNCTION by_javascript(image, kernel) AS jseval('{JAVASCRIPT}', 'image, kernel', image, kernel)::DOUBLE[784];
CREATE FUNCTION by_tensorflow(image, kernel) AS
  tf_Conv2D(reshape(image, [1, 28, 28, 1]), reshape(kernel, [3, 3, 1, 1]), {{padding: 'SAME', strides: [1, 1, 1, 1]}});
"""


def rows(con: tfsql.Connection, sql: str) -> dict[str, np.ndarray]:
    """The columns of a query as arrays."""
    relation = con.sql(sql)
    assert relation is not None
    return relation.numpy()


def import_digits(con: tfsql.Connection, path: str | None) -> None:
    """The table ``digits``: label, and image as float32[28, 28]."""
    if path is None:
        pixels = 'reshape({* EXCLUDING("785")}, [28, 28])'
        params = {"dataFileUrl": str(DATA / "digits.csv.gz"), "outputDataset": "digits",
                  "select": f'"785" AS label, tf_Cast({pixels}, {{DstT: \'float32\'}}) AS image'}  # fmt: skip
        mldb = tfsql.mldb.Connection(con)
        print("import.text:", mldb.put("/v1/procedures/import_digits", {"type": "import.text", "params": params}))
    else:
        con.sql(f"CREATE TABLE digits AS SELECT NULL::BIGINT AS label, tf_Cast(value, {{DstT: 'float32'}}) AS image "
                f"FROM read_idx('{path}')")  # fmt: skip


def filtered(con: tfsql.Connection) -> tuple[list[np.ndarray], list[str]]:
    """One digit at random and its pictures by both, with titles; what relates the two is checked."""
    con.sql("CREATE TABLE one AS SELECT image FROM sample(digits, {rows: 1})")
    pictures, titles = [rows(con, "SELECT image FROM one")["image"][0]], ["A digit"]
    for name, kernel in KERNELS.items():
        made = rows(con, f"SELECT by_javascript(image, {kernel}) AS js, by_tensorflow(image, {kernel}) AS tf FROM one")
        javascript, tensorflow = made["js"].reshape(28, 28), made["tf"].reshape(28, 28)
        # TensorFlow centres the window: inside, its pixel is JavaScript's of one row above and one column before.
        difference = np.abs(tensorflow[1:27, 1:27] - javascript[0:26, 0:26]).max()
        print(f"{name:>27}: tf[i, j] - js[i-1, j-1] is at most {difference:.2g}, "
              f"tf[i, j] - js[i, j] up to {np.abs(tensorflow - javascript).max():.4g}")  # fmt: skip
        assert difference <= (0 if all(float(weight).is_integer() for weight in kernel) else 1e-4)
        pictures += [javascript, tensorflow]
        titles += [f"{name}, JavaScript", f"{name}, TensorFlow"]
    return pictures, titles


def seconds(con: tfsql.Connection, function: str) -> float:
    """How long a filter takes over ``ROWS`` pictures: the median of some runs."""
    con.sql("CREATE TABLE IF NOT EXISTS many AS SELECT digits.image FROM range(7), digits LIMIT ?", [ROWS])
    query = f"SELECT {function}(image, {KERNELS['Right Sobel']}) AS y FROM many"
    times = []
    for _ in range(RUNS + 1):
        started = time.perf_counter()
        assert len(rows(con, query)["y"]) == ROWS
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def main() -> int:
    con = tfsql.connect()
    import_digits(con, sys.argv[1] if len(sys.argv) > 1 else None)
    con.sql(FUNCTIONS)
    pictures, titles = filtered(con)
    save_png(PNG, pictures, titles)
    print(f"The pictures are in {PNG}.")
    by_javascript, by_tensorflow = seconds(con, "by_javascript"), seconds(con, "by_tensorflow")
    print(f"\n{ROWS:,} pictures: JavaScript {by_javascript:.2f} s, TensorFlow {by_tensorflow:.3f} s, "
          f"{by_javascript / by_tensorflow:.0f} times as long.")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
