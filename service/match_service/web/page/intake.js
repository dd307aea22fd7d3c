// The ways an image gets in: dropped, pasted, chosen or linked.

import { announce, byId, showError } from "./dom.js";
import { searchFor } from "./search.js";
import { go } from "./views.js";

function take(given) {
  showError("search-error", null);
  go("search");
  return searchFor(given);
}

function fromTransfer(transfer) {
  const file = [...(transfer?.files || [])].find((each) => each.type.startsWith("image/") || each.type === "");
  if (file) return { blob: file };
  const text = (transfer?.getData("text/uri-list") || transfer?.getData("text/plain") || "").trim().split(/\s/)[0];
  return /^https?:\/\/\S+$/i.test(text) ? { url: text } : null;
}

function refuse(sentence) {
  go("search");
  showError("search-error", new Error(sentence));
  announce(sentence);
}

function link(event) {
  event.preventDefault();
  const url = byId("link").value.trim();
  if (!url) return refuse("Type the address of an image, or choose a file.");
  if (!/^https?:\/\//i.test(url)) return refuse("An address begins with http:// or https://.");
  return take({ url });
}

function paste(event) {
  if (document.querySelector("dialog[open]")) return;
  const typing = event.target.closest?.("input, textarea");
  const given = fromTransfer(event.clipboardData);
  if (typing && !given?.blob) return;
  if (!given) return refuse("The clipboard holds neither an image nor the address of one.");
  event.preventDefault();
  take(given);
}

function drops() {
  const zone = byId("drop");
  let depth = 0;
  const mark = (on) => zone.classList.toggle("over", on);
  addEventListener("dragenter", (event) => { event.preventDefault(); depth += 1; mark(true); });
  addEventListener("dragleave", () => { depth -= 1; if (depth <= 0) mark(false); });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    mark(false);
    if (document.querySelector("dialog[open]")) return;
    const given = fromTransfer(event.dataTransfer);
    if (given) take(given);
    else refuse("What was dropped is neither an image nor the address of one.");
  });
}

export function start() {
  const file = byId("file");
  byId("choose").addEventListener("click", () => file.click());
  file.addEventListener("change", () => {
    if (file.files.length) take({ blob: file.files[0] });
    file.value = "";
  });
  byId("intake").addEventListener("submit", link);
  document.addEventListener("paste", paste);
  drops();
}
