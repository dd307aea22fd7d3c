// Searching: an image or its address in, a grid of matches out.

import { call, count } from "./api.js";
import { openAdd } from "./add.js";
import { compareRows } from "./compare.js";
import { announce, byId, counted, el, showError, visible } from "./dom.js";
import { filterValue, onFilter } from "./filter.js";
import { scoreText } from "./grid.js";
import { pages } from "./pages.js";
import { picture, shortName } from "./picture.js";
import { go } from "./views.js";

const PAGE = 60;
const MOST = 1000;
let query = null;
let running = null;
let previewUrl = "";

/** Search for `{blob}`, `{url}`, or what is stored as `{filepath}`. */
export function searchFor(given) {
  query = given;
  preview();
  return run();
}

/** The options that change what is found, as the service takes them. */
function options() {
  return {
    all_orientations: String(byId("orientations").checked),
    thorough: query.filepath === undefined ? String(byId("thorough").checked) : "",
    min_score: byId("min-score").value,
    filter: filterValue("search"),
    limit: MOST,
    details: "true",
  };
}

async function run() {
  if (!query) return;
  running?.abort();
  const mine = (running = new AbortController());
  const results = byId("search-results");
  showError("search-error", null);
  results.setAttribute("aria-busy", "true");
  results.replaceChildren(el("p", { className: "state working" }, "Searching…"));
  try {
    const form = { ...options(), image: query.blob, url: query.url, filepath: query.filepath };
    await present(await call("POST", "search", { form, signal: mine.signal }));
  } catch (error) {
    if (error.name === "AbortError") return;
    results.replaceChildren();
    showError("search-error", error);
  } finally {
    if (running === mine) results.removeAttribute("aria-busy");
  }
}

async function present(rows) {
  const results = byId("search-results");
  byId("keep").hidden = query.filepath !== undefined;
  byId("again").hidden = false;
  if (!rows.length) {
    const total = await count().catch(() => null);
    const narrowed = filterValue("search") ? " that passes the filter" : "";
    const sentence = total === 0 ? "The collection is empty: there is nothing to find yet." : `No image here looks like it${narrowed}.`;
    results.replaceChildren(el("div", { className: "state" }, el("p", {}, sentence),
      el("p", { className: "note" }, total ? "Options can make the search wider." : "Add this image to begin.")));
    announce(sentence);
    return;
  }
  const title = el("h2", { id: "found", tabIndex: -1 });
  const most = rows.length === MOST ? "The best " : "";
  const name = (left) => { title.textContent = left.length ? most + counted(left.length, "match", "matches") : "All matches were deleted."; };
  name(rows);
  results.replaceChildren(title, pages(rows, PAGE, {
    label: "Matches",
    open: (list, index, opener) => compareRows(list, index, { query, opener, similar }),
    changed: name,
  }));
  announce(`${counted(rows.length, "match", "matches")}, the best with a score of ${scoreText(rows[0].score)}.`);
}

function preview() {
  const place = byId("preview");
  if (previewUrl) URL.revokeObjectURL(previewUrl);
  previewUrl = query.blob ? URL.createObjectURL(query.blob) : "";
  place.hidden = false;
  if (query.blob) {
    const image = el("img", { alt: "Your image", src: previewUrl });
    image.onerror = () => place.replaceChildren(el("span", { className: "placeholder" }, visible(query.blob.name || "Your image")));
    place.replaceChildren(image);
  } else {
    place.replaceChildren(query.url ? el("span", { className: "placeholder" }, visible(query.url)) : picture(query.filepath));
  }
  byId("drop").classList.add("has-image");
  byId("drop-title").textContent = query.blob ? "Your image" : query.url ? "Fetched by the service, not by your browser" : `Like ${shortName(query.filepath)}`;
  byId("choose").textContent = "Choose another";
  byId("choose").classList.remove("primary");
}

/** Show what is like a stored image. */
export function similar(filepath) {
  go("search");
  return searchFor({ filepath });
}

/** Wire the options; they search again by themselves. */
export function start() {
  const score = byId("min-score");
  score.addEventListener("input", () => { byId("min-score-value").textContent = score.value; });
  for (const id of ["orientations", "thorough", "min-score"]) byId(id).addEventListener("change", run);
  byId("again").addEventListener("click", run);
  byId("keep").addEventListener("click", () => query && openAdd(query));
  onFilter("search", run);
  document.addEventListener("match:added", run);
}

/** The empty state tells a newcomer what to do first. */
export async function shown() {
  if (query) return;
  try {
    const total = (await call("GET", "count"))[0];
    const words = total ? `${counted(total)} can be searched.` : "The collection is still empty. Choose an image, then add it.";
    if (!query) byId("search-results").replaceChildren(el("p", { className: "state" }, words));
  } catch (error) {
    showError("search-error", error);
  }
}
