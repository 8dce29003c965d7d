// Numbers drawn on canvases.

function number(value) {
  return typeof value === "number" ? value : NaN; // NaN and infinities come as objects
}

export function rangeOf(rows) {
  const values = rows.flat().map(number).filter(Number.isFinite);
  return values.length ? [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))] : [0, 0];
}

export function shown(value) {
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6)));
}

// Draws a [height, width] array in grey, or a [height, width, 3] one in colour; black is the least value.
export function drawPicture(canvas, rows, name, range = rangeOf(rows.flat(1))) {
  const [least, most] = range;
  const [height, width] = [rows.length, rows[0].length];
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const scale = most > least ? 255 / (most - least) : 0;
  rows.forEach((row, y) => row.forEach((cell, x) => {
    const parts = Array.isArray(cell) ? (cell.length === 1 ? [cell[0], cell[0], cell[0]] : cell) : [cell, cell, cell];
    const at = 4 * (y * width + x);
    for (let i = 0; i < 3; i++) image.data[at + i] = (number(parts[i]) - least) * scale;
    image.data[at + 3] = 255;
  }));
  context.putImageData(image, 0, 0);
  const label = `${name}: picture of ${width} by ${height}, from ${shown(least)} to ${shown(most)}`;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  canvas.title = label;
}

// Draws a vector as a line.
export function drawLine(canvas, values, name) {
  const [least, most] = rangeOf([values]);
  canvas.width = 360;
  canvas.height = 88;
  const context = canvas.getContext("2d");
  context.strokeStyle = getComputedStyle(document.body).getPropertyValue("--accent");
  context.lineWidth = 3;
  context.beginPath();
  values.forEach((value, i) => {
    const x = 4 + (352 * i) / Math.max(values.length - 1, 1);
    const y = most > least ? 84 - (80 * (number(value) - least)) / (most - least) : 44;
    if (Number.isFinite(y)) context.lineTo(x, y);
  });
  context.stroke();
  const label = `${name}: ${values.length} numbers, from ${shown(least)} to ${shown(most)}`;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  canvas.title = label;
}
