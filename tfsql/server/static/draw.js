// A digit that is drawn, filtered and recognised by SQL.

import { latest, query } from "./api.js";
import { drawPicture } from "./pictures.js";
import { element, showError } from "./results.js";

const SIZE = 28;
const RADIUS = 1.6; // of the pen, in pixels
const SQL = `WITH nearest AS (
  SELECT label, image, cosine_similarity(flatten(image), flatten($drawn)) AS similarity
  FROM demo.digits ORDER BY similarity DESC LIMIT 9
)
SELECT label, image, similarity, sum(similarity) OVER (PARTITION BY label) AS vote
FROM nearest ORDER BY vote DESC, similarity DESC`;
const FILTERS = "SELECT edge_magnitude($drawn) AS edges, gaussian_blur($drawn) AS blurred, sharpen($drawn) AS sharp";

const $ = (id) => document.getElementById(id);
const pad = $("pad");
let ink = [];
let last = null;
let pen = { x: SIZE / 2, y: SIZE / 2, isDown: false };

function blank() {
  ink = Array.from({ length: SIZE }, () => Array(SIZE).fill(0));
}

function paint() {
  drawPicture(pad, ink, "Your drawing", [0, 255]);
  pad.setAttribute("role", "application");
  pad.setAttribute("aria-label", "Drawing of 28 by 28 pixels");
  if (document.activeElement === pad && pad.matches(":focus-visible")) {
    const context = pad.getContext("2d");
    context.fillStyle = pen.isDown ? "#ff8a3d" : "#6aa9ff";
    context.fillRect(Math.floor(pen.x), Math.floor(pen.y), 1, 1);
  }
}

function dot(x, y) {
  for (let row = 0; row < SIZE; row++) {
    for (let column = 0; column < SIZE; column++) {
      const distance = Math.hypot(column + 0.5 - x, row + 0.5 - y);
      ink[row][column] = Math.max(ink[row][column], Math.min(Math.max(255 * (RADIUS + 0.5 - distance), 0), 255));
    }
  }
}

function line(from, to) {
  const steps = Math.max(Math.ceil(2 * Math.hypot(to.x - from.x, to.y - from.y)), 1);
  for (let i = 0; i <= steps; i++) dot(from.x + ((to.x - from.x) * i) / steps, from.y + ((to.y - from.y) * i) / steps);
}

// The drawing as the digits are: its centre of mass in the middle, by whole pixels.
function centred() {
  let [mass, sumX, sumY] = [0, 0, 0];
  ink.forEach((row, y) => row.forEach((value, x) => {
    mass += value;
    sumX += value * x;
    sumY += value * y;
  }));
  if (!mass) return null;
  const [moveX, moveY] = [Math.round(sumX / mass - 13.5), Math.round(sumY / mass - 13.5)];
  return ink.map((_, y) => ink.map((__, x) => Math.round(ink[y + moveY]?.[x + moveX] ?? 0)));
}

const recognise = latest(async () => {
  const values = centred();
  if (!values) {
    $("guess").textContent = "…";
    $("draw-status").textContent = "";
    $("nearest").replaceChildren();
    return;
  }
  const drawn = { tensor: "float32", values };
  try {
    const [nearest, filtered] = await Promise.all([query(SQL, { drawn }), query(FILTERS, { drawn })]);
    showError($("draw-error"), null);
    $("guess").textContent = nearest.rows[0][0];
    $("draw-status").textContent = `${Math.round(nearest.elapsedS * 1000)} ms on the server`;
    $("nearest").replaceChildren(...nearest.rows.map(thumb));
    ["edges", "blurred", "sharp"].forEach((name, i) => drawPicture($(name), filtered.rows[0][i], name));
  } catch (error) {
    showError($("draw-error"), error);
  }
});

function thumb([label, image, similarity]) {
  const canvas = element("canvas");
  drawPicture(canvas, image, `A ${label}`);
  return element("li", {}, canvas, element("span", {}, `${label} · ${similarity.toFixed(2)}`));
}

function changed() {
  paint();
  recognise();
}

function placeOf(event) {
  const box = pad.getBoundingClientRect();
  return { x: ((event.clientX - box.left) * SIZE) / box.width, y: ((event.clientY - box.top) * SIZE) / box.height };
}

const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function key(event) {
  const move = MOVES[event.key];
  if (event.key === " ") pen.isDown = !pen.isDown;
  else if (!move) return;
  event.preventDefault();
  if (move) {
    pen.x = Math.min(Math.max(pen.x + move[0], 0.5), SIZE - 0.5);
    pen.y = Math.min(Math.max(pen.y + move[1], 0.5), SIZE - 0.5);
  }
  if (pen.isDown) dot(pen.x, pen.y);
  $("draw-status").textContent = `Pen ${pen.isDown ? "down" : "up"}, column ${Math.ceil(pen.x)}, row ${Math.ceil(pen.y)}`;
  if (pen.isDown) changed();
  else paint();
}

function listen() {
  pad.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    pad.setPointerCapture(event.pointerId);
    last = placeOf(event);
    dot(last.x, last.y);
    changed();
  });
  pad.addEventListener("pointermove", (event) => {
    if (!last) return;
    for (const moved of event.getCoalescedEvents?.() ?? [event]) {
      const next = placeOf(moved);
      line(last, next);
      last = next;
    }
    changed();
  });
  for (const name of ["pointerup", "pointercancel"]) pad.addEventListener(name, () => { last = null; });
  pad.addEventListener("keydown", key);
  for (const name of ["focus", "blur"]) pad.addEventListener(name, paint);
  $("clear").addEventListener("click", () => {
    blank();
    pen = { x: SIZE / 2, y: SIZE / 2, isDown: false };
    changed();
  });
  $("borrow").addEventListener("click", async () => {
    try {
      const found = await query("SELECT image FROM sample((SELECT image FROM demo.digits), {rows: 1})");
      ink = found.rows[0][0];
      changed();
    } catch (error) {
      showError($("draw-error"), error);
    }
  });
}

export function start() {
  $("draw-sql").textContent = `${SQL};\n\n${FILTERS};\n-- $drawn is the drawing, a tensor float32 [28, 28] with its centre of mass in the middle`;
  blank();
  listen();
  return { open: paint };
}
