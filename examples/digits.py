"""From filters to a classifier, in SQL: features by convolution, the nearest mean digit, accuracy on held-out rows.

Run it with ``python examples/digits.py``. Each digit becomes the vector of what five filters find in it, pooled over
4 x 4 squares; a label's mean vector is its prototype; a digit is taken for the label of the nearest prototype.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import tfsql

DIGITS = Path(__file__).resolve().parents[1] / "data" / "digits.parquet"
# Every fifth digit is held out. A classifier of this kind is right nine times out of ten.
HELD_OUT = 5
LEAST_ACCURACY = 0.9

SETUP = f"""
CREATE TABLE digits AS SELECT row_number() OVER () AS id, label, image FROM '{DIGITS}';

-- The five filters as one bank: [height, width, channels in, channels out].
CREATE FUNCTION bank() AS tf_Transpose(reshape([
    [-1, 0, 1, -2, 0, 2, -1, 0, 1],
    [-1, -2, -1, 0, 0, 0, 1, 2, 1],
    [1, 1, 1, 1, -8, 1, 1, 1, 1],
    [0, -1, 0, -1, 5, -1, 0, -1, 0],
    [0.0625, 0.125, 0.0625, 0.125, 0.25, 0.125, 0.0625, 0.125, 0.0625]
  ], [5, 3, 3, 1]), [1, 2, 3, 0]);

CREATE FUNCTION filtered(image) AS
  tf_Relu(tf_Conv2D(reshape(image / 255, [1, 28, 28, 1]), bank(), {{padding: 'SAME', strides: [1, 1, 1, 1]}}));

CREATE FUNCTION features(image) AS
  flatten(tf_AvgPool(filtered(image), {{ksize: [1, 4, 4, 1], strides: [1, 4, 4, 1], padding: 'VALID'}}));

CREATE FUNCTION direction(x) AS x / norm(x, 2);
"""

FEATURES = """
CREATE TABLE known AS SELECT label, features(image) AS x FROM digits WHERE id % $held <> 0;
CREATE TABLE held_out AS SELECT id, label, features(image) AS x FROM digits WHERE id % $held = 0;
CREATE TABLE prototypes AS SELECT label, direction(tf_Mean(list(x), 0)) AS p FROM known GROUP BY label;
"""

GUESSES = """
CREATE TABLE guesses AS
  SELECT id, h.label AS label, arg_max(p.label, tf_Sum(direction(h.x) * p.p, 0)) AS guess
  FROM held_out h CROSS JOIN prototypes p GROUP BY ALL
"""

ACCURACY = """
SELECT label, count(*) AS digits, avg((guess = label)::INTEGER)::DECIMAL(4, 3) AS accuracy,
  mode(guess) FILTER (guess <> label) AS taken_for
FROM guesses GROUP BY label ORDER BY label
"""


def main() -> int:
    con = tfsql.connect()
    con.sql(SETUP)
    started = time.perf_counter()
    for statement in FEATURES.strip().split(";\n"):
        con.sql(statement, {"held": HELD_OUT} if "$held" in statement else None)
    con.sql(GUESSES)
    seconds = time.perf_counter() - started
    relation = con.sql(ACCURACY)
    assert relation is not None
    relation.show()
    row = con.sql("SELECT count(*), avg((guess = label)::INTEGER) FROM guesses")
    assert row is not None
    ((count, accuracy),) = row.fetchall()
    print(f"\n{accuracy:.1%} of the {count} digits that were held out are recognised.")
    print(f"All of it took {seconds:.1f} s, most of which is TensorFlow's start.")
    return 0 if accuracy >= LEAST_ACCURACY else 1


if __name__ == "__main__":
    sys.exit(main())
