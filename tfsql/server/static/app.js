// The page: its tabs, and the query that is typed.

import { cancel, progress, query } from "./api.js";
import * as catalogue from "./catalogue.js";
import * as draw from "./draw.js";
import * as editor from "./editor.js";
import { EXAMPLES } from "./examples.js";
import * as kernels from "./kernels.js";
import { element, showError, showResult } from "./results.js";

const $ = (id) => document.getElementById(id);
const tabs = [...document.querySelectorAll('[role="tab"]')];

// -- the query -------------------------------------------------------------------------------------------------------

let running = null;

async function run() {
  if (running) return;
  running = `page-${crypto.getRandomValues(new Uint32Array(3)).join("-")}`;
  const started = performance.now();
  const id = running;
  const poll = setInterval(() => progress(id).then(showProgress).catch(() => {}), 400);
  const clock = setInterval(() => tell(`${((performance.now() - started) / 1000).toFixed(1)} s`), 100);
  setRunning(true);
  editor.mark(null);
  showError($("error"), null);
  try {
    const result = await query(editor.text(), null, { id: running });
    showResult($("result"), result);
    tell(result === null ? "Done" : `${result.rowCount} ${result.rowCount === 1 ? "row" : "rows"} in ${Math.round(result.elapsedS * 1000)} ms`);
  } catch (error) {
    showResult($("result"), null);
    showError($("error"), error);
    if (error.details && "start" in error.details) editor.mark([error.details.start, error.details.end]);
    tell("");
  } finally {
    clearInterval(clock);
    clearInterval(poll);
    running = null;
    setRunning(false);
  }
}

function stop() {
  if (running) cancel(running).catch(() => {}); // it may have ended by itself
}

function setRunning(is) {
  $("run").disabled = is;
  $("cancel").disabled = !is;
  $("progress").hidden = !is;
  showProgress(null);
  $("result").setAttribute("aria-busy", String(is));
}

function showProgress(percentage) {
  if (percentage === null) $("progress").removeAttribute("value");
  else $("progress").value = percentage;
}

function tell(text) {
  $("status").textContent = text;
}

function edit(sql) {
  go("query");
  editor.setText(sql);
  $("sql").focus();
}

// -- tabs ------------------------------------------------------------------------------------------------------------

const parts = {};

function show(name) {
  const tab = $(`tab-${name}`) ?? $("tab-query");
  for (const other of tabs) {
    const is = other === tab;
    other.setAttribute("aria-selected", String(is));
    other.tabIndex = is ? 0 : -1;
    $(other.getAttribute("aria-controls")).hidden = !is;
  }
  const part = parts[tab.getAttribute("aria-controls")];
  if (part && !part.isOpen) {
    part.isOpen = true;
    part.open();
  }
}

// Not by location.hash, which takes the focus from the tab.
function go(name) {
  if (location.hash !== `#${name}`) history.pushState(null, "", `#${name}`);
  show(name);
}

tabs.forEach((tab, i) => {
  tab.addEventListener("click", () => go(tab.getAttribute("aria-controls")));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = tabs[(i + step + tabs.length) % tabs.length];
    next.focus();
    next.click();
  });
});

// -- begin -----------------------------------------------------------------------------------------------------------

$("examples").append(...EXAMPLES.map((example) => {
  const button = element("button", { type: "button" }, element("strong", {}, example.title), element("span", {}, example.about));
  button.addEventListener("click", () => {
    editor.setText(example.sql);
    run();
  });
  return element("li", {}, button);
}));
$("query-form").addEventListener("submit", (event) => {
  event.preventDefault();
  run();
});
$("cancel").addEventListener("click", stop);
editor.start({ run, cancel: stop });
editor.setText(EXAMPLES[0].sql);
parts.kernels = kernels.start({ edit });
parts.draw = draw.start();
parts.operators = catalogue.start();
for (const name of ["hashchange", "popstate"]) window.addEventListener(name, () => show(location.hash.slice(1)));
show(location.hash.slice(1));
document.documentElement.dataset.ready = "yes";
