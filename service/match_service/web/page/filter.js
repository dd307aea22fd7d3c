// Filtering by metadata: `owner=ann, year=2026`, or a JSON object, which the images' metadata must contain.

import { el } from "./dom.js";

const values = new Map();
const PAIR = /\s*([^=,]+?)\s*=\s*("(?:[^"\\]|\\.)*"|\[[^\]]*\]|\{[^}]*\}|[^,]*?)\s*(?:,|$)/gy;

function value(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** The object that a text means, null for none; throws an Error whose message is a sentence. */
export function parse(text) {
  const given = text.trim();
  if (!given) return null;
  const wanted = {};
  if (given.startsWith("{")) {
    const whole = value(given);
    if (typeof whole === "string") throw new Error("This is not a JSON object.");
    return whole;
  }
  let end = 0;
  for (const pair of given.matchAll(PAIR)) {
    if (pair.index !== end) break;
    end += pair[0].length;
    const names = pair[1].split(".");
    const last = names.pop();
    let place = wanted;
    for (const name of names) {
      if (!Object.hasOwn(place, name)) Object.defineProperty(place, name, { value: {}, enumerable: true });
      place = place[name];
    }
    Object.defineProperty(place, last, { value: value(pair[2]), enumerable: true, configurable: true });
  }
  if (end !== given.length) throw new Error("Write a filter as owner=ann, year=2026.");
  return wanted;
}

/** Make the filter of a section; `changed` is called when it has another value. */
export function onFilter(name, changed) {
  const place = document.querySelector(`[data-filter=${name}]`);
  const id = `filter-${name}`;
  const input = el("input", {
    id, type: "search", autocomplete: "off", spellcheck: false, maxLength: 4096,
    placeholder: "owner=ann, year=2026", "aria-describedby": `${id}-problem`,
  });
  const problem = el("p", { id: `${id}-problem`, className: "problem", role: "alert" });
  place.append(el("label", { htmlFor: id }, "Metadata"), input, problem);
  const take = () => {
    try {
      const wanted = parse(input.value);
      problem.textContent = "";
      const text = wanted ? JSON.stringify(wanted) : "";
      if (text === filterValue(name)) return;
      values.set(name, text);
      changed();
    } catch (error) {
      problem.textContent = error.message;
    }
  };
  input.addEventListener("change", take);
  input.addEventListener("search", take);
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault(); // it is no submission of the form around it
    take();
  });
}

/** The filter of a section as the service takes it, empty for none. */
export const filterValue = (name) => values.get(name) || "";
