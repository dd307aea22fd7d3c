// Reviewing groups of images that look alike: start a search, follow it, then keep and delete.

import { call } from "./api.js";
import { compareRows } from "./compare.js";
import { announce, byId, counted, el, showError, visible } from "./dom.js";
import { grid } from "./grid.js";
import { shortName } from "./picture.js";
import { confirmAndDelete } from "./remove.js";
import { similar } from "./search.js";

const PAGE = 20;
const POLL_MS = 700;
let timer = 0;
let turn = 0;
let offset = 0;

const visibleNow = () => !byId("duplicates").hidden;

/** Ask how far the search is, and again until it has ended. */
async function follow() {
  const mine = ++turn;
  clearTimeout(timer);
  try {
    const [job] = await call("GET", "duplicates", { query: { offset: 0, limit: PAGE } });
    if (mine !== turn) return;
    present(job);
    if (job?.state === "running" && visibleNow()) timer = setTimeout(follow, POLL_MS);
  } catch (error) {
    if (mine === turn) showError("duplicates-error", error);
  }
}

function present(job) {
  const running = job?.state === "running";
  byId("duplicates-progress").hidden = !running;
  byId("duplicates-start").textContent = running ? "Cancel" : job ? "Look again" : "Find duplicates";
  byId("duplicates-start").classList.toggle("primary", !running);
  byId("duplicates-start").dataset.running = String(running);
  showError("duplicates-error", job?.state === "failed" ? new Error(job.error) : null);
  if (running) {
    byId("duplicates-bar").value = job.progress;
    byId("duplicates-said").textContent = job.images ? `Comparing ${counted(job.images)}, each with all others` : "Reading the collection";
    byId("duplicates-results").replaceChildren();
  } else if (job?.state === "done") {
    done(job);
  } else {
    byId("duplicates-results").replaceChildren();
  }
}

function done(job) {
  const results = byId("duplicates-results");
  offset = Math.min(PAGE, job.count);
  const when = new Date(job.started * 1000).toLocaleString();
  // Groups that were dealt with since are not shown again, so on one page what is shown is what there is.
  const left = job.count > PAGE ? job.count : job.groups.length;
  const words = left ? counted(left, "group") : job.count ? "No duplicates are left" : "No duplicates";
  results.replaceChildren(
    el("h2", {}, words),
    el("p", { className: "note" }, `Among ${counted(job.images)}, with a score of at least ${job.min_score}, on ${when}.`),
    ...job.groups.map(group));
  results.append(more(job));
  announce(`${words}.`);
}

function more(job) {
  const button = el("button", { type: "button", className: "more", hidden: offset >= job.count }, "Show more");
  button.addEventListener("click", async () => {
    try {
      const [next] = await call("GET", "duplicates", { query: { offset, limit: PAGE } });
      offset += PAGE;
      button.before(...next.groups.map(group));
      button.hidden = offset >= next.count;
    } catch (error) {
      showError("duplicates-error", error);
    }
  });
  return button;
}

/** One group: its images, each with a mark for the one to keep, and a button that deletes the rest. */
function group(images) {
  const box = el("section", { className: "group", "aria-label": `${images.length} images like ${shortName(images[0].filepath)}` });
  const title = el("h2", {});
  const rest = el("button", { type: "button", className: "danger" }, "Delete the others…");
  const list = grid(images, {
    label: "Images of this group",
    open: (index, opener) => compareRows(list.rows, index, { query: { filepath: kept() }, opener, similar }),
    changed: () => renew(),
  });
  const marks = new Map();
  for (const [index, item] of [...list.children].entries()) {
    const mark = el("input", { type: "radio", name: `keep ${images[0].filepath}`, checked: index === 0 });
    marks.set(images[index].filepath, mark);
    item.append(el("label", { className: "keep" }, mark, "Keep",
      el("span", { className: "hidden-visually" }, ` ${visible(images[index].filepath)}`)));
  }
  const kept = () => [...marks].find(([, mark]) => mark.checked && mark.isConnected)?.[0];
  const renew = () => {
    if (list.rows.length < 2) {
      box.remove();
      return;
    }
    title.textContent = counted(list.rows.length);
    if (!kept()) marks.get(list.rows[0].filepath).checked = true;
  };
  rest.addEventListener("click", async () => {
    const others = list.rows.map((row) => row.filepath).filter((path) => path !== kept());
    list.drop(await confirmAndDelete(others));
  });
  renew();
  box.append(el("div", { className: "group-head" }, title, rest), list);
  return box;
}

async function submit(event) {
  event.preventDefault();
  showError("duplicates-error", null);
  try {
    if (byId("duplicates-start").dataset.running === "true") await call("DELETE", "duplicates");
    else {
      const all_orientations = String(byId("duplicates-orientations").checked);
      await call("POST", "duplicates", { form: { min_score: byId("duplicates-score").value, all_orientations } });
    }
    await follow();
  } catch (error) {
    showError("duplicates-error", error);
  }
}

export function shown() {
  follow();
}

export function start() {
  const score = byId("duplicates-score");
  score.addEventListener("input", () => { byId("duplicates-score-value").textContent = score.value; });
  byId("duplicates-form").addEventListener("submit", submit);
}
