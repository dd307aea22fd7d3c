// Two pictures against each other: side by side, flickering in one place, or one wiped over the other.

import { byId, calm, el, visible } from "./dom.js";
import { drawn, words } from "./orient.js";
import { scoreText } from "./grid.js";
import { shortName, thumbnail, webAddress } from "./picture.js";
import { confirmAndDelete } from "./remove.js";

const FLICKER_MS = 700; // under three changes a second, which is safe for everybody
const own = new Map();  // files that people showed for stored images, while the page is open

let state = null;
let timer = 0;
let turn = 0;

/**
 * Look at `rows[index]` beside `query`, {blob}, {url} or {filepath}; alone where there is none.
 * `similar(filepath)` is called when somebody wants to see what else is like it.
 */
export function compareRows(rows, index, { query = null, opener, similar = null }) {
  state = { rows: [...rows], index, query, opener, similar };
  byId("compare").showModal();
  show();
}

function show() {
  const row = state.rows[state.index];
  byId("compare-title").replaceChildren(el("bdi", {}, visible(row.filepath)));
  byId("compare-title").title = visible(row.filepath);
  byId("compare-facts").textContent = facts(row);
  const metadata = byId("compare-metadata");
  metadata.hidden = row.metadata === undefined || row.metadata === null;
  metadata.querySelector("pre").textContent = metadata.hidden ? "" : visible(JSON.stringify(row.metadata, null, 2));
  byId("compare-back").disabled = state.index === 0;
  byId("compare-on").disabled = state.index >= state.rows.length - 1;
  const address = webAddress(row.filepath);
  byId("compare-similar").hidden = !state.similar;
  byId("compare-open").hidden = !address;
  if (address) byId("compare-open").href = address;
  else byId("compare-open").removeAttribute("href");
  draw(row);
}

function facts(row) {
  if (row.score === undefined) return "";
  const seen = words(row.orientation);
  const whose = state.query?.filepath === undefined ? "your image" : "the other";
  return `Score ${scoreText(row.score)}${seen ? ` · ${whose} ${seen}` : ""}`;
}

async function draw(row) {
  const mine = ++turn;
  const [left, right] = await Promise.all([state.query && queryPicture(row), storedPicture(row)]);
  if (mine !== turn) return;
  const stage = byId("stage");
  const whole = isPicture(left) && isPicture(right);
  const name = state.query?.filepath === undefined ? "Your image" : shortName(state.query.filepath);
  const other = state.query?.filepath === undefined ? "In the collection" : shortName(row.filepath);
  stage.replaceChildren(...(left ? [side(name, left)] : []), side(other, right));
  stage.classList.toggle("whole", whole);
  stage.classList.toggle("alone", !left);
  byId("compare-modes").hidden = !left;
  byId("compare-modes").disabled = !whole;
  state.stored = right;
  state.fitted = whole ? fitted(right, left) : right;
  mode();
}

const isPicture = (each) => each instanceof HTMLCanvasElement;

/** A picture in the shape of another: the service compares them so, whatever their proportions are. */
function fitted(picture, other) {
  const made = picture.cloneNode();
  made.width = other.width;
  made.height = other.height;
  made.getContext("2d").drawImage(picture, 0, 0, made.width, made.height);
  return made;
}

const side = (label, content) => el("figure", { className: "side" }, content, el("figcaption", {}, label));

async function canvas(blob, label, orientation) {
  try {
    const made = await drawn(blob, orientation);
    made.setAttribute("role", "img");
    made.setAttribute("aria-label", label);
    return made;
  } catch {
    return absent("Your browser cannot show this kind of image.");
  }
}

async function queryPicture(row) {
  const { query } = state;
  const blob = query.blob || (query.filepath !== undefined && (own.get(query.filepath) || (await thumbnail(query.filepath))));
  if (!blob) return absent(query.url ? "The service fetched this image; your browser did not." : shortName(query.filepath), query);
  const seen = words(row.orientation);
  return canvas(blob, `Your image${seen ? `, ${seen}` : ""}`, row.orientation);
}

async function storedPicture(row) {
  const blob = own.get(row.filepath) || (await thumbnail(row.filepath));
  return blob ? canvas(blob, `${shortName(row.filepath)}, in the collection`) : absent(shortName(row.filepath), row);
}

/** What stands where there is no picture; with `row`, a way to show the file it was made from. */
function absent(sentence, row) {
  const place = el("div", { className: "absent" }, el("p", {}, sentence));
  if (row?.filepath === undefined) return place;
  const input = el("input", { type: "file", accept: "image/*", hidden: true });
  const button = el("button", { type: "button" }, "Show it from a file…");
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    if (!input.files.length) return;
    own.set(row.filepath, input.files[0]);
    draw(state.rows[state.index]);
  });
  place.append(el("p", { className: "note" }, "The service keeps no picture of it."), button, input);
  return place;
}

function chosenMode() {
  const modes = byId("compare-modes");
  return modes.hidden || modes.disabled ? "beside" : modes.querySelector("input:checked").value;
}

function mode() {
  const chosen = chosenMode();
  const stage = byId("stage");
  stage.dataset.mode = chosen;
  byId("flicker-controls").hidden = chosen !== "flicker";
  byId("wipe-controls").hidden = chosen !== "wipe";
  stage.classList.remove("swapped");
  const shown = chosen === "beside" ? state.stored : state.fitted;
  stage.lastElementChild.firstElementChild.replaceWith(shown);
  play(chosen === "flicker" && !calm());
}

function play(on) {
  clearInterval(timer);
  timer = on ? setInterval(swap, FLICKER_MS) : 0;
  byId("play").textContent = on ? "Pause" : "Play";
  byId("play").setAttribute("aria-pressed", String(on));
}

function swap() {
  byId("stage").classList.toggle("swapped");
}

function move(by) {
  const to = state.index + by;
  if (to < 0 || to >= state.rows.length) return;
  state.index = to;
  show();
}

async function remove() {
  const row = state.rows[state.index];
  if (!(await confirmAndDelete([row.filepath])).length) return;
  const gone = state;
  gone.rows.splice(gone.index, 1);
  gone.opener?.closest(".grid")?.drop([row.filepath]);
  if (!gone.rows.length) {
    byId("compare").close();
    return;
  }
  gone.index = Math.min(gone.index, gone.rows.length - 1);
  show();
}

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("confirm").open) return;
  const typing = event.target.matches("input[type=range], input[type=radio]");
  const name = event.key.toLowerCase();
  if (name === "j") move(1);
  else if (name === "k") move(-1);
  else if (name === "delete") remove();
  else if (name === " " && chosenMode() === "flicker" && !event.target.matches("button, a, summary, input")) {
    play(false);
    swap();
  } else if (!typing && (name === "arrowleft" || name === "arrowright")) move(name === "arrowleft" ? -1 : 1);
  else return;
  event.preventDefault();
}

function closed() {
  play(false);
  turn += 1;
  const opener = state?.opener;
  byId("stage").replaceChildren();
  if (opener?.isConnected) opener.focus();
}

export function start() {
  const dialog = byId("compare");
  dialog.addEventListener("close", closed);
  dialog.addEventListener("keydown", keys);
  byId("compare-modes").addEventListener("change", mode);
  byId("swap").addEventListener("click", () => { play(false); swap(); });
  byId("play").addEventListener("click", () => play(!timer));
  byId("compare-back").addEventListener("click", () => move(-1));
  byId("compare-on").addEventListener("click", () => move(1));
  byId("compare-delete").addEventListener("click", remove);
  byId("compare-similar").addEventListener("click", () => {
    const { rows, index, similar } = state;
    state.opener = null;
    dialog.close();
    similar(rows[index].filepath);
  });
  const wipe = byId("wipe");
  wipe.addEventListener("input", () => byId("stage").style.setProperty("--wipe", `${wipe.value}%`));
}
