// Wiring: every part starts itself, then the section in the address is shown.

import * as add from "./add.js";
import * as browse from "./browse.js";
import * as compare from "./compare.js";
import { byId } from "./dom.js";
import * as duplicates from "./duplicates.js";
import * as intake from "./intake.js";
import * as search from "./search.js";
import * as views from "./views.js";

for (const part of [add, browse, compare, duplicates, intake, search]) part.start();
for (const [name, part] of Object.entries({ search, browse, duplicates })) views.register(name, part.shown);

byId("help-open").addEventListener("click", () => byId("help").showModal());
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("main").focus();
});
for (const button of document.querySelectorAll("[data-close]")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.target.matches?.("input:not([type=checkbox], [type=radio], [type=range]), textarea, select")) return;
  const does = {
    "?": () => byId("help").showModal(),
    "/": () => { views.go("search"); requestAnimationFrame(() => byId("link").focus()); },
    o: () => { views.go("search"); byId("choose").click(); },
  }[event.key];
  if (!does) return;
  event.preventDefault();
  does();
});
views.start();
