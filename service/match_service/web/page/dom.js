// Elements, made so that nothing is ever parsed as HTML: children are elements or text.

export const byId = (id) => document.getElementById(id);

/** A new element; `properties` are set as properties, `aria-*`, `data-*` and `role` as attributes. */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Say something to those who do not see the screen. */
export function announce(sentence) {
  const live = byId("live");
  live.textContent = "";
  requestAnimationFrame(() => { live.textContent = sentence; });
}

/** Show a failure as the sentence it came with, or take it away. */
export function showError(id, error) {
  const place = byId(id);
  place.hidden = !error;
  place.textContent = error ? error.message : "";
}

// Marks that reorder text, or that nobody can see: a path could otherwise be made to look like another.
const INVISIBLE = /[\u00ad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0]/g;

/** A stranger's text with such marks written out. */
export function visible(text) {
  return text.replace(INVISIBLE, (mark) => `⟨U+${mark.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

/** `n images`, in the reader's digits. */
export function counted(n, one = "image", many = `${one}s`) {
  return `${n.toLocaleString()} ${n === 1 ? one : many}`;
}

export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
