// The SQL editor: a text area with colours behind it, and completion from the catalogue.

import { operators, query } from "./api.js";
import { element } from "./results.js";

const KEYWORDS = new Set(("select from where group by order having limit offset as on join left right inner outer cross " +
  "union all distinct with recursive insert into values update set delete create or replace table view function drop " +
  "alter case when then else end and not null is in between like ilike exists asc desc over partition window true false " +
  "explain analyze describe show summarize copy to begin commit rollback exclude excluding named using unnest qualify " +
  "sample pivot filter interval cast lambda macro if").split(" "));
const TOKENS = /(--[^\n]*|\/\*[\s\S]*?(?:\*\/|$))|('(?:[^']|'')*'?)|("(?:[^"]|"")*"?)|(\d+(?:\.\d+)?(?:e[+-]?\d+)?)|([A-Za-z_]\w*)|([\s\S])/gi;
const MOST = 8;

const sql = document.getElementById("sql");
const highlight = document.getElementById("highlight");
const list = document.getElementById("completions");
let fault = null;
let words = null;
let chosen = 0;

function kindOf(match, text) {
  const [, comment, string, , number, word] = match;
  if (comment) return "comment";
  if (string) return "text";
  if (number) return "number";
  if (word && KEYWORDS.has(word.toLowerCase())) return "keyword";
  if (word && /^\s*\(/.test(text.slice(match.index + word.length))) return "call";
  return null;
}

function spans(text, start, kind) {
  // A token is cut where the fault begins and ends.
  const end = start + text.length;
  const cuts = [start, ...(fault ? fault.filter((at) => at > start && at < end) : []), end];
  return cuts.slice(1).map((to, i) => {
    const from = cuts[i];
    const isFault = fault && from >= fault[0] && to <= fault[1];
    const names = [kind, isFault ? "fault" : null].filter(Boolean).join(" ");
    const part = text.slice(from - start, to - start);
    return names ? element("span", { class: names }, part) : part;
  });
}

function paint() {
  const text = sql.value;
  const made = [];
  for (const match of text.matchAll(TOKENS)) made.push(...spans(match[0], match.index, kindOf(match, text)));
  highlight.replaceChildren(...made, "\n");
  highlight.scrollTop = sql.scrollTop;
}

export function text() {
  return sql.value;
}

export function setText(value) {
  sql.value = value;
  sql.rows = Math.min(Math.max(value.split("\n").length + 1, 8), 18);
  sql.scrollTop = 0;
  mark(null);
  close();
}

// Marks the characters [start, end) as wrong.
export function mark(range) {
  fault = range;
  paint();
}

// -- completion ------------------------------------------------------------------------------------------------------

function known() {
  words ??= load().catch((error) => {
    words = null;
    throw error;
  });
  return words;
}

async function load() {
  const [found, functions] = await Promise.all([operators(), query("SHOW FUNCTIONS")]);
  const made = found.filter((row) => row.status === "exposed").map((row) => ({ name: row.name, about: row.summary }));
  const [name, about] = ["name", "parameters"].map((title) => functions.columns.findIndex((c) => c.name === title));
  made.push(...functions.rows.map((row) => ({ name: row[name], about: `(${(row[about] || []).join(", ")})` })));
  made.push(...[...KEYWORDS].map((word) => ({ name: word.toUpperCase(), about: "" })));
  made.push({ name: "demo.digits", about: "1,797 handwritten digits: label, image" });
  return made;
}

function prefix() {
  return sql.value.slice(0, sql.selectionStart).match(/[\w.]*$/)[0];
}

async function complete(least) {
  const begun = prefix();
  if (begun.length < least || sql.selectionStart !== sql.selectionEnd) return close();
  const wanted = begun.toLowerCase();
  const all = await known().catch(() => []);
  if (prefix() !== begun) return; // a later call has the word
  const found = all.filter((word) => word.name.toLowerCase().startsWith(wanted) && word.name !== begun);
  found.sort((a, b) => a.name.length - b.name.length || a.name.localeCompare(b.name));
  open(found.slice(0, MOST));
}

function open(found) {
  if (!found.length) return close();
  chosen = 0;
  list.replaceChildren(...found.map((word, i) => {
    const item = element("li", { role: "option", id: `completion-${i}` }, element("code", {}, word.name), element("span", {}, word.about));
    item.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      chosen = i;
      accept();
    });
    return item;
  }));
  list.hidden = false;
  sql.setAttribute("aria-expanded", "true");
  place();
  choose(0);
}

function place() {
  // Where the caret is: measured in the coloured text, which has the same metrics.
  const range = document.createRange();
  let left = sql.selectionStart;
  const walker = document.createTreeWalker(highlight, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (left <= node.length) {
      range.setStart(node, left);
      break;
    }
    left -= node.length;
  }
  const caret = range.getBoundingClientRect();
  const box = highlight.getBoundingClientRect();
  const room = box.width - list.offsetWidth - 4;
  list.style.left = `${Math.max(Math.min(caret.left - box.left, room), 4)}px`;
  list.style.top = `${caret.bottom - box.top + 4}px`;
}

function choose(index) {
  const items = [...list.children];
  chosen = (index + items.length) % items.length;
  items.forEach((item, i) => item.setAttribute("aria-selected", String(i === chosen)));
  sql.setAttribute("aria-activedescendant", `completion-${chosen}`);
}

function accept() {
  const name = list.children[chosen].querySelector("code").textContent;
  const start = sql.selectionStart - prefix().length;
  sql.setRangeText(name, start, sql.selectionStart, "end");
  mark(null);
  close();
  sql.focus();
}

function close() {
  list.hidden = true;
  sql.setAttribute("aria-expanded", "false");
  sql.removeAttribute("aria-activedescendant");
}

const KEYS = {
  ArrowDown: () => choose(chosen + 1),
  ArrowUp: () => choose(chosen - 1),
  Enter: accept,
  Tab: accept,
  Escape: close,
};

export function start({ run, cancel }) {
  sql.addEventListener("input", () => {
    mark(null);
    complete(3);
  });
  sql.addEventListener("scroll", () => {
    highlight.scrollTop = sql.scrollTop;
  });
  sql.addEventListener("blur", close);
  sql.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      close();
      run();
    } else if (event.key === " " && event.ctrlKey) {
      event.preventDefault();
      complete(0);
    } else if (!list.hidden && KEYS[event.key]) {
      event.preventDefault();
      KEYS[event.key]();
    } else if (event.key === "Escape") {
      cancel();
    }
  });
  paint();
}
