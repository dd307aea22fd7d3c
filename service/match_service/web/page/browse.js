// Browsing: everything there is, by path, a page at a time.

import { call, count } from "./api.js";
import { compareRows } from "./compare.js";
import { announce, byId, counted, el, showError } from "./dom.js";
import { filterValue, onFilter } from "./filter.js";
import { grid } from "./grid.js";

const PAGE = 48;
let offset = 0;
let turn = 0;

async function load() {
  const mine = ++turn;
  const results = byId("browse-results");
  showError("browse-error", null);
  results.setAttribute("aria-busy", "true");
  try {
    const query = { offset, limit: PAGE + 1, ...filterValue("browse") };
    const [total, names] = await Promise.all([count(), call("GET", "list", { query })]);
    if (mine === turn) present(total, names);
  } catch (error) {
    if (mine !== turn) return;
    results.replaceChildren();
    byId("pager").hidden = true;
    showError("browse-error", error);
  } finally {
    if (mine === turn) results.removeAttribute("aria-busy");
  }
}

function present(total, names) {
  if (!names.length && offset) {
    offset = Math.max(0, offset - PAGE);
    load();
    return;
  }
  const rows = names.slice(0, PAGE).map((filepath) => ({ filepath }));
  byId("browse-count").textContent = total ? `${counted(total)} in the collection` : "";
  byId("pager").hidden = !offset && names.length <= PAGE;
  byId("page-back").disabled = !offset;
  byId("page-on").disabled = names.length <= PAGE;
  if (!rows.length) {
    byId("browse-results").replaceChildren(el("div", { className: "state" }, el("p", {}, "There are no images yet."),
      el("p", {}, el("a", { href: "#search" }, "Choose one and add it"))));
    return;
  }
  const first = (offset + 1).toLocaleString();
  const last = (offset + rows.length).toLocaleString();
  byId("page-where").textContent = `${first}–${last}`;
  const list = grid(rows, {
    label: `Images ${first} to ${last}`,
    open: (index, opener) => compareRows(list.rows, index, { opener }),
    changed: (left) => { if (!left.length) load(); },
  });
  byId("browse-results").replaceChildren(list);
}

function turnPage(by) {
  offset = Math.max(0, offset + by * PAGE);
  load().then(() => {
    announce(byId("page-where").textContent);
    scrollTo(0, 0);
    document.querySelector("#browse-results .card-open")?.focus();
  });
}

export function shown() {
  load();
}

export function start() {
  byId("page-back").addEventListener("click", () => turnPage(-1));
  byId("page-on").addEventListener("click", () => turnPage(1));
  onFilter("browse", () => { offset = 0; load(); });
}
