// The tutorial's menu: one digit, one kernel, the convolution in JavaScript and in TensorFlow.

import { latest, query } from "./api.js";
import { drawPicture, rangeOf, shown } from "./pictures.js";
import { element, showError } from "./results.js";

const KERNELS = {
  "Right Sobel": [-1, 0, 1, -2, 0, 2, -1, 0, 1],
  "Detect Edges": [1, 1, 1, 1, -8, 1, 1, 1, 1],
  Sharpen: [0, -1, 0, -1, 5, -1, 0, -1, 0],
  "Box Blur": Array(9).fill(0.1),
  "Approximated Gaussian Blur": [1, 2, 1, 2, 4, 2, 1, 2, 1].map((weight) => weight / 16),
};
const OWN = "My own";

const $ = (id) => document.getElementById(id);
const weights = [];

function sqlOf(label, number, kernel) {
  const rows = [0, 3, 6].map((i) => `[${kernel.slice(i, i + 3).map((weight) => weight.toString()).join(", ")}]`);
  return `WITH given AS (
  SELECT image, [${rows.join(", ")}]::FLOAT[3][3] AS kernel
  FROM demo.digits WHERE label = ${label} LIMIT 1 OFFSET ${number - 1}
), filtered AS (
  SELECT image, convolve(image, kernel) AS tensorflow, reshape(jseval('
    var size = Math.sqrt(image.length), radius = Math.sqrt(kernel.length), result = [];
    for (var i = 0; i < size; i++)
      for (var j = 0; j < size; j++) {
        var sum = 0;
        for (var k = 0; k < kernel.length; k++) {
          var y = Math.min(size - 1, i + Math.floor(k / radius));
          var x = Math.min(size - 1, j + k % radius);
          sum += image[y * size + x][1] * kernel[k][1];
        }
        result.push(sum);
      }
    return result;', 'image, kernel', image, kernel)::FLOAT[784], [28, 28]) AS javascript
  FROM given
)
SELECT image AS original, javascript, tensorflow,
  tf_Max(tf_Abs(tf_Slice(tensorflow, [1, 1], [26, 26]) - tf_Slice(javascript, [0, 0], [26, 26])), [0, 1]) AS inside,
  tf_Max(tf_Abs(tensorflow - javascript), [0, 1]) AS in_place
FROM filtered`;
}

const run = latest(async () => {
  const kernel = weights.map((input) => Number(input.value));
  if (weights.some((input) => input.value.trim() === "" || !input.checkValidity()) || !$("sample").checkValidity()) {
    $("kernel-status").textContent = "Nine numbers and a sample are wanted.";
    return;
  }
  const sql = sqlOf($("digit").value, $("sample").value, kernel);
  $("kernel-sql").textContent = sql;
  $("kernel-status").textContent = "…";
  try {
    const { rows, elapsedS } = await query(sql);
    showError($("kernel-error"), null);
    if (!rows.length) {
      $("kernel-status").textContent = `There is no sample ${$("sample").value} of ${$("digit").value}.`;
      return;
    }
    show(rows[0]);
    $("kernel-status").textContent = `${Math.round(elapsedS * 1000)} ms on the server`;
  } catch (error) {
    $("kernel-status").textContent = "";
    showError($("kernel-error"), error);
  }
});

function show([original, javascript, tensorflow, inside, inPlace]) {
  const range = rangeOf([...javascript, ...tensorflow]); // one scale, so that the two can be compared
  drawPicture($("original"), original, "Original");
  drawPicture($("javascript"), javascript, "JavaScript", range);
  drawPicture($("tensorflow"), tensorflow, "TensorFlow", range);
  const differs = inside === 0 ? "exactly equal" : `at most ${shown(inside)} apart`;
  $("difference").textContent = `moved by one, ${differs}; in place, up to ${shown(inPlace)} apart`;
}

function choose(name) {
  if (name === OWN) return weights[0].select();
  KERNELS[name].forEach((weight, i) => { weights[i].value = weight; });
  run();
}

export function start({ edit }) {
  $("digit").append(...[...Array(10).keys()].map((digit) => element("option", { value: digit }, String(digit))));
  $("digit").value = "5";
  $("kernel").append(...[...Object.keys(KERNELS), OWN].map((name) => element("option", { value: name }, name)));
  for (let i = 0; i < 9; i++) {
    const label = `Weight in row ${Math.floor(i / 3) + 1}, column ${(i % 3) + 1}`;
    const input = element("input", { type: "number", step: "any", "aria-label": label });
    input.addEventListener("input", () => {
      $("kernel").value = OWN;
      run();
    });
    weights.push(input);
  }
  $("weights").append(...weights);
  $("kernel").addEventListener("change", () => choose($("kernel").value));
  $("digit").addEventListener("change", () => run());
  $("sample").addEventListener("input", () => run());
  $("another").addEventListener("click", () => {
    $("sample").value = 1 + Math.floor(Math.random() * 170);
    run();
  });
  $("kernel-form").addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  $("kernel-edit").addEventListener("click", () => edit($("kernel-sql").textContent));
  return { open: () => choose(Object.keys(KERNELS)[0]) };
}
