// A long list of rows as a grid that grows on request: the answer may hold thousands.

import { el } from "./dom.js";
import { grid } from "./grid.js";

/** A grid of the first `size` rows and a button for more; `open(rows, index, opener)`, `changed(rows left)`. */
export function pages(rows, size, { label, open, changed = () => {} }) {
  const place = el("div");
  const more = el("button", { type: "button", className: "more" });
  let all = rows;
  let shown = 0;
  const append = () => {
    const part = all.slice(shown, shown + size);
    const list = grid(part, {
      label: shown ? `${label}, continued` : label,
      open: (index, opener) => open(list.rows, index, opener),
      changed: (left) => {
        const kept = new Set(left);
        const gone = part.filter((row) => !kept.has(row));
        all = all.filter((row) => !gone.includes(row));
        shown -= gone.length;
        part.splice(0, part.length, ...left);
        changed(all);
      },
    });
    shown += part.length;
    more.before(list);
    more.hidden = shown >= all.length;
    more.textContent = `Show more (${(all.length - shown).toLocaleString()})`;
    return list;
  };
  place.append(more);
  more.addEventListener("click", () => append().querySelector(".card-open")?.focus());
  append();
  return place;
}
