// What runs at a click.

export const EXAMPLES = [
  {
    title: "Edges of digits",
    about: "A function of the library, and the operators that it is made of",
    sql: "SELECT label, image, edge_magnitude(image) AS edges, gaussian_blur(image) AS blurred\nFROM sample((SELECT * FROM demo.digits), {rows: 5})",
  },
  {
    title: "One operator",
    about: "tf_Conv2D with its attributes, on every row",
    sql: "SELECT label,\n  tf_Conv2D(reshape(image, [1, 28, 28, 1]),\n    reshape([[1, 1, 1], [1, -8, 1], [1, 1, 1]], [3, 3, 1, 1]),\n    {strides: [1, 1, 1, 1], padding: 'SAME'}) AS edges\nFROM demo.digits\nLIMIT 5",
  },
  {
    title: "Ink by digit",
    about: "Tensors reduced to numbers, numbers aggregated by SQL",
    sql: "SELECT label, count(*) AS digits, avg(tf_Mean(image, [0, 1]))::DECIMAL(6, 2) AS ink\nFROM demo.digits\nGROUP BY label\nORDER BY ink DESC",
  },
  {
    title: "Turned and mirrored",
    about: "Pictures turned, mirrored and made smaller",
    sql: "SELECT label, image, rot90(image) AS turned, flip_left_right(image) AS mirrored,\n  resize(image, 14, 14) AS small\nFROM demo.digits\nWHERE label = 7\nLIMIT 4",
  },
  {
    title: "The nearest digits",
    about: "A classifier in one query: cosine similarity",
    sql: "WITH one AS (SELECT image AS wanted FROM demo.digits WHERE label = 5 LIMIT 1)\nSELECT label, image,\n  cosine_similarity(flatten(image), flatten(wanted)) AS similarity\nFROM demo.digits, one\nORDER BY similarity DESC\nLIMIT 8",
  },
  {
    title: "Softmax and the best two",
    about: "Vectors, and an operator with two outputs",
    sql: "SELECT scores, softmax(scores) AS p, tf_TopKV2(scores, 2) AS best\nFROM (VALUES ([1.0, 2.0, 3.0]::FLOAT[3]), ([0.5, 0.1, 0.2]::FLOAT[3])) AS t(scores)",
  },
  {
    title: "A spectrogram",
    about: "A rising tone, cut into frames and transformed",
    sql: "SELECT signal, tf_Transpose(log_spectrogram(signal, 128, 32), [1, 0]) AS spectrogram\nFROM (SELECT list(sin(i * i * 0.0004)::FLOAT ORDER BY i)::FLOAT[2048] AS signal\n  FROM range(2048) r(i))",
  },
  {
    title: "JavaScript",
    about: "A function of your own, in a sandbox",
    sql: "SELECT i, jseval('return n < 2 ? n : \"fizz buzz\".slice(0, n % 9 + 1);', 'n', i) AS y\nFROM range(10) r(i)",
  },
  {
    title: "What the engine does",
    about: "The plan, and the kernel that the calls are fused into",
    sql: "EXPLAIN SELECT label, edge_magnitude(image) FROM demo.digits WHERE label < 3",
  },
  {
    title: "An error",
    about: "Found before a row is read, and shown where it is",
    sql: "SELECT label,\n  tf_MatMul(image, [[1.0, 2.0, 3.0]]) AS product\nFROM demo.digits",
  },
  {
    title: "A long query",
    about: "Cancel it",
    sql: "SELECT sum(a.i * b.i % 7) AS total\nFROM range(1000000) a(i), range(1000000) b(i)",
  },
];
