// The catalogue of operators, searched as one types.

import { operators } from "./api.js";
import { element } from "./results.js";

const MOST = 60;
const $ = (id) => document.getElementById(id);

function parts(items) {
  return items.map((item) => `${item.name}: ${item.type}`).join(", ") || "none";
}

function attribute(item) {
  const allowed = item.allowed ? ` of ${item.allowed.join(", ")}` : "";
  return `${item.name}: ${item.type}${allowed}${item.default === null ? "" : ` = ${item.default}`}`;
}

function entry(row) {
  const list = element("dl");
  const facts = { Inputs: parts(row.inputs), Outputs: parts(row.outputs), Attributes: row.attributes.map(attribute).join("; ") || "none" };
  for (const [name, value] of Object.entries(facts)) list.append(element("dt", {}, name), element("dd", {}, value));
  if (row.status !== "exposed") list.append(element("dt", {}, "Refused"), element("dd", {}, row.reason || row.status));
  return element("li", {}, element("details", {}, element("summary", {}, element("code", {}, row.name), " ", element("span", {}, row.summary)), list));
}

function rank(row, word) {
  const name = row.name.toLowerCase();
  if (name === word || name === `tf_${word}`) return 0;
  if (name.startsWith(`tf_${word}`) || name.startsWith(word)) return 1;
  return name.includes(word) ? 2 : 3;
}

async function search() {
  const word = $("search").value.trim().toLowerCase();
  let all;
  try {
    all = await operators();
  } catch (error) {
    $("count").textContent = error.message;
    return;
  }
  if ($("search").value.trim().toLowerCase() !== word) return;
  const found = all.filter((row) =>
    (!$("callable").checked || row.status === "exposed") && `${row.name} ${row.summary}`.toLowerCase().includes(word));
  found.sort((a, b) => rank(a, word) - rank(b, word) || a.name.localeCompare(b.name));
  $("count").textContent = found.length > MOST ? `${found.length} operators, the first ${MOST} are shown` : `${found.length} operators`;
  $("catalogue").replaceChildren(...found.slice(0, MOST).map(entry));
}

export function start() {
  $("search").addEventListener("input", search);
  $("callable").addEventListener("change", search);
  return { open: search };
}
