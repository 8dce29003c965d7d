-- The tutorial "Image Processing with Convolutions" in SQL alone: tfsql -f examples/convolutions.sql
-- Run it from the project's folder. Digits from a CSV file with one column a pixel are filtered once by JavaScript and
-- once by TensorFlow, and the two are compared.

CREATE TABLE digits AS
  SELECT row_number() OVER () AS id, "785" AS label, flatten({* EXCLUDING ("785")}) AS image
  FROM read_csv('data/digits.csv.gz', header = true);

-- The tutorial's own loop: the window's top left corner is on the pixel, and the last row and column are repeated.
CREATE FUNCTION by_javascript(image, kernel) AS jseval('
    var size = Math.sqrt(image.length), radius = Math.sqrt(kernel.length);
    var pixels = image.map(cell => cell[1]), weights = kernel.map(cell => cell[1]), result = [];
    for (var i = 0; i < size; i++)
      for (var j = 0; j < size; j++) {
        var sum = 0, k = 0;
        for (var y = i; y < i + radius; y++)
          for (var x = j; x < j + radius; x++)
            sum += pixels[Math.min(size - 1, y) * size + Math.min(size - 1, x)] * weights[k++];
        result.push(sum);
      }
    return result;
  ', 'image, kernel', image, kernel)::DOUBLE[784];

-- TensorFlow centres the window and pads with zeros.
CREATE FUNCTION by_tensorflow(image, kernel) AS
  tf_Conv2D(reshape(image, [1, 28, 28, 1]), reshape(kernel, [3, 3, 1, 1]), {padding: 'SAME', strides: [1, 1, 1, 1]});

CREATE TABLE kernels AS SELECT * FROM (VALUES
  (1, 'Right Sobel', [-1, 0, 1, -2, 0, 2, -1, 0, 1]::FLOAT[9]),
  (2, 'Detect Edges', [1, 1, 1, 1, -8, 1, 1, 1, 1]::FLOAT[9]),
  (3, 'Sharpen', [0, -1, 0, -1, 5, -1, 0, -1, 0]::FLOAT[9]),
  (4, 'Box Blur', [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]::FLOAT[9]),
  (5, 'Approximated Gaussian Blur', [0.0625, 0.125, 0.0625, 0.125, 0.25, 0.125, 0.0625, 0.125, 0.0625]::FLOAT[9])
) AS k(number, kernel, weights);

CREATE TABLE filtered AS
  SELECT id, label, number, kernel,
    reshape(by_javascript(image, weights), [28, 28])::FLOAT[28][28] AS javascript,
    reshape(by_tensorflow(image, weights), [28, 28]) AS tensorflow
  FROM kernels, (SELECT * FROM sample((SELECT * FROM digits WHERE rowHash() % 5 = 0), {rows: 20, seed: 1}));

-- One picture of JavaScript's is TensorFlow's, moved by one pixel up and left: compared where neither meets an edge.
SELECT kernel, count(*) AS digits,
  max(tf_Max(tf_Abs(tf_Slice(tensorflow, [1, 1], [26, 26]) - tf_Slice(javascript, [0, 0], [26, 26])), [0, 1]))::DECIMAL(9, 4)
    AS greatest_difference
FROM filtered GROUP BY number, kernel ORDER BY number;

-- And the same pixel of both, where they differ as they should.
SELECT kernel, count(*) AS digits,
  max(tf_Max(tf_Abs(tensorflow - javascript), [0, 1]))::DECIMAL(9, 4) AS difference_in_place
FROM filtered GROUP BY number, kernel ORDER BY number;
