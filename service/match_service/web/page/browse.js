// Browsing: everything there is, by path, a page at a time.

import { call, count } from "./api.js";
import { compareRows } from "./compare.js";
import { announce, byId, counted, el, showError } from "./dom.js";
import { filterValue, onFilter } from "./filter.js";
import { grid } from "./grid.js";
import { similar } from "./search.js";

const PAGE = 48;
let starts = [""]; // what each page so far comes after; the last is the page shown
let next = "";
let turn = 0;

async function load() {
  const mine = ++turn;
  const results = byId("browse-results");
  showError("browse-error", null);
  results.setAttribute("aria-busy", "true");
  try {
    const query = { limit: PAGE + 1, after: starts.at(-1), filter: filterValue("browse"), details: "true" };
    const [total, rows] = await Promise.all([count(), call("GET", "list", { query })]);
    if (mine === turn) present(total, rows);
  } catch (error) {
    if (mine !== turn) return;
    results.replaceChildren();
    byId("pager").hidden = true;
    showError("browse-error", error);
  } finally {
    if (mine === turn) results.removeAttribute("aria-busy");
  }
}

function present(total, found) {
  if (!found.length && starts.length > 1) {
    starts.pop();
    load();
    return;
  }
  const rows = found.slice(0, PAGE);
  next = found.length > PAGE ? rows.at(-1).filepath : "";
  byId("browse-count").textContent = total ? `${counted(total)} in the collection` : "";
  byId("pager").hidden = starts.length === 1 && !next;
  byId("page-back").disabled = starts.length === 1;
  byId("page-on").disabled = !next;
  byId("page-where").textContent = `Page ${starts.length.toLocaleString()}`;
  if (!rows.length) {
    byId("browse-results").replaceChildren(empty(total));
    return;
  }
  const list = grid(rows, {
    label: "Images",
    open: (index, opener) => compareRows(list.rows, index, { opener, similar }),
    changed: (left) => { if (!left.length) load(); },
  });
  byId("browse-results").replaceChildren(list);
}

function empty(total) {
  if (total) return el("div", { className: "state" }, el("p", {}, "No image’s metadata passes the filter."));
  return el("div", { className: "state" }, el("p", {}, "There are no images yet."),
    el("p", {}, el("a", { href: "#search" }, "Choose one and add it")));
}

async function show() {
  await load();
  announce(byId("page-where").textContent);
  scrollTo(0, 0);
  document.querySelector("#browse-results .card-open")?.focus();
}

export function shown() {
  load();
}

export function start() {
  byId("page-back").addEventListener("click", () => { starts.pop(); show(); });
  byId("page-on").addEventListener("click", () => { starts.push(next); show(); });
  onFilter("browse", () => { starts = [""]; load(); });
}
