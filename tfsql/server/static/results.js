// A result as a table, its picture-like cells drawn.

import { drawLine, drawPicture, shown } from "./pictures.js";

const MAX_ROWS = 200;
const MAX_TEXT = 600;
const SMALL = 5; // shorter axes are read better as numbers

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") made.className = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

export function showResult(container, result) {
  container.replaceChildren();
  if (result === null || !result.columns.length) return;
  const caption = result.rows.length > MAX_ROWS ? `The first ${MAX_ROWS} of ${result.rowCount} rows` : "";
  const table = element("table");
  if (caption) table.append(element("caption", {}, caption));
  const heads = result.columns.map((column, i) => {
    const isNumber = typeof result.rows[0]?.[i] === "number";
    return element("th", { scope: "col", class: isNumber ? "value" : "" }, column.name, element("small", { title: column.type }, column.type));
  });
  table.append(element("thead", {}, element("tr", {}, ...heads)));
  const body = element("tbody");
  for (const row of result.rows.slice(0, MAX_ROWS)) {
    body.append(element("tr", {}, ...row.map((value, i) => cell(value, result.columns[i].name))));
  }
  table.append(body);
  container.append(table);
}

function cell(value, name) {
  if (value === null) return element("td", { class: "null" }, "NULL");
  if (typeof value === "number") return element("td", { class: "value" }, shown(value));
  if (typeof value === "string") return element("td", {}, value.includes("\n") ? element("pre", {}, value) : cut(value));
  const picture = pictureOf(value);
  if (picture) {
    const canvas = element("canvas", { class: "picture" });
    drawPicture(canvas, picture, name);
    return element("td", {}, canvas);
  }
  if (Array.isArray(value) && value.length > SMALL * 2 && value.every((item) => typeof item === "number")) {
    const canvas = element("canvas", { class: "line" });
    drawLine(canvas, value, name);
    return element("td", {}, canvas);
  }
  return element("td", {}, element("code", {}, cut(text(value))));
}

function text(value) {
  if (Array.isArray(value)) return `[${value.map(text).join(", ")}]`;
  if (value && typeof value === "object") {
    const keys = Object.keys(value);
    if (keys.length === 1 && ["num", "ts", "interval"].includes(keys[0])) return value[keys[0]];
    return `{${keys.map((key) => `${key}: ${text(value[key])}`).join(", ")}}`;
  }
  return typeof value === "number" ? shown(value) : JSON.stringify(value);
}

function cut(long) {
  return long.length > MAX_TEXT ? `${long.slice(0, MAX_TEXT)} …` : long;
}

// The [height, width] or [height, width, channels] rows of a value that is a picture, axes of one in front left out.
function pictureOf(value) {
  let rows = value;
  while (Array.isArray(rows) && rows.length === 1 && Array.isArray(rows[0]) && Array.isArray(rows[0][0])) rows = rows[0];
  if (!Array.isArray(rows) || rows.length < SMALL || !Array.isArray(rows[0]) || rows[0].length < SMALL) return null;
  const width = rows[0].length;
  if (!rows.every((row) => Array.isArray(row) && row.length === width)) return null;
  const first = rows[0][0];
  if (Array.isArray(first)) return [1, 3].includes(first.length) && typeof first[0] === "number" ? rows : null;
  return typeof first === "number" || first?.num ? rows : null;
}

// An error with the line at fault and its caret, as the server tells it.
export function showError(container, error) {
  container.hidden = error === null;
  container.replaceChildren();
  if (error === null) return;
  const [first, ...rest] = error.message.split("\n");
  container.append(element("strong", {}, first));
  if (rest.length) container.append(element("pre", {}, rest.join("\n")));
}
