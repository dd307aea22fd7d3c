// Stored images as a grid of cards: one Tab stop, arrows to move, Enter to compare, Delete to delete.

import { announce, counted, el, visible } from "./dom.js";
import { picture } from "./picture.js";
import { confirmAndDelete } from "./remove.js";

/**
 * A list of cards for `rows` ({filepath, score?, metadata?}).
 * `open(index)` is called with the row to look at; `changed(rows)` after rows were deleted.
 */
export function grid(rows, { label, open, changed = () => {} }) {
  const list = el("ul", { className: "grid", "aria-label": label });
  list.append(...rows.map((row) => card(row)));
  list.rows = rows;
  const buttons = () => [...list.querySelectorAll(".card-open")];
  const first = buttons()[0];
  if (first) first.tabIndex = 0;

  list.addEventListener("click", (event) => {
    const button = event.target.closest(".card-open");
    if (button) open(buttons().indexOf(button), button);
  });
  list.addEventListener("focusin", (event) => {
    const button = event.target.closest(".card-open");
    if (button) buttons().forEach((each) => { each.tabIndex = each === button ? 0 : -1; });
  });
  list.addEventListener("keydown", (event) => {
    const all = buttons();
    const at = all.indexOf(document.activeElement);
    if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const to = moved(all, at, event.key);
    if (to !== null) {
      event.preventDefault();
      all[to].focus();
    } else if (event.key === "Delete") {
      event.preventDefault();
      confirmAndDelete([list.rows[at].filepath]).then((gone) => list.drop(gone));
    }
  });

  /** Take deleted images out and put the focus on what comes after them. */
  list.drop = (filepaths) => {
    if (!filepaths.length) return;
    const at = Math.min(...filepaths.map((path) => list.rows.findIndex((row) => row.filepath === path)));
    const gone = new Set(filepaths);
    [...list.children].forEach((item, index) => { if (gone.has(list.rows[index].filepath)) item.remove(); });
    list.rows = list.rows.filter((row) => !gone.has(row.filepath));
    const left = buttons();
    const next = left[Math.min(Math.max(at, 0), left.length - 1)];
    if (next) {
      next.tabIndex = 0;
      next.focus();
    }
    announce(`Deleted ${counted(filepaths.length)}.`);
    changed(list.rows);
  };
  return list;
}

function moved(all, at, name) {
  const columns = all.findIndex((each) => each.offsetTop > all[0].offsetTop + 4);
  const width = columns > 0 ? columns : all.length;
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -width, ArrowDown: width };
  if (name === "Home") return 0;
  if (name === "End") return all.length - 1;
  if (!(name in steps)) return null;
  const to = at + steps[name];
  return to >= 0 && to < all.length ? to : at;
}

export const scoreText = (score) => (score >= 99.95 ? "100" : score.toFixed(1));

/** A path with what people recognise it by, its last part, set apart. */
function named(path) {
  const cut = path.replace(/[/\\]+$/, "").search(/[^/\\]*$/);
  return el("bdi", {}, el("span", { className: "folder" }, path.slice(0, cut)), el("span", { className: "name" }, path.slice(cut)));
}

function card(row) {
  const path = visible(row.filepath);
  const button = el("button", { type: "button", className: "card-open", tabIndex: -1, title: path },
    picture(row.filepath),
    el("span", { className: "card-path" }, named(path)));
  if (row.score !== undefined) {
    const bar = el("span", { className: "score-bar", "aria-hidden": "true" });
    bar.style.setProperty("--score", `${Math.max(0, Math.min(1, (row.score - 50) / 50)) * 100}%`);
    button.append(el("span", { className: "score" },
      el("span", { className: "hidden-visually" }, "score "), scoreText(row.score)), bar);
  }
  return el("li", { className: "card" }, button);
}
