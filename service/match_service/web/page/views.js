// Which section is shown: the part of the address after "#", so that Back and bookmarks work.

import { byId } from "./dom.js";

const shown = new Map();

/** Have `show(again)` called whenever the section comes into view. */
export function register(name, show) {
  shown.set(name, show);
}

function current() {
  const name = location.hash.slice(1);
  return shown.has(name) ? name : "search";
}

function change(focus) {
  const name = current();
  for (const other of shown.keys()) byId(other).hidden = other !== name;
  for (const link of document.querySelectorAll("nav [data-view]")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = name === "search" ? "Match" : `${byId(`${name}-title`).textContent} · Match`;
  scrollTo(0, 0);
  if (focus) byId("main").focus({ preventScroll: true });
  shown.get(name)();
}

/** Go to a section. */
export function go(name) {
  if (current() === name) change(true);
  else location.hash = name;
}

export function start() {
  addEventListener("hashchange", () => change(true));
  change(false);
}
