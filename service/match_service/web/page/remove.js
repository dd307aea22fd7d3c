// Deleting: always after a question that names what would go, one request an image.

import { remove } from "./api.js";
import { byId, counted, el, visible } from "./dom.js";
import { forget } from "./picture.js";

const MOST_NAMED = 8;

/** Ask, delete, and resolve with the filepaths that are gone; failures are told and end it. */
export async function confirmAndDelete(filepaths) {
  if (!filepaths.length || !(await confirmed(filepaths))) return [];
  const gone = [];
  try {
    for (const filepath of filepaths) {
      await remove(filepath);
      forget(filepath);
      gone.push(filepath);
    }
  } catch (error) {
    await tell(error, filepaths.length - gone.length);
  }
  if (gone.length) document.dispatchEvent(new CustomEvent("match:deleted", { detail: gone }));
  return gone;
}

function ask({ title, paths, text, yes }) {
  byId("confirm-title").textContent = title;
  byId("confirm-text").textContent = text;
  byId("confirm-paths").replaceChildren(...paths.map((path) => el("li", {}, el("bdi", {}, path))));
  byId("confirm-yes").hidden = !yes;
  byId("confirm-yes").textContent = yes || "";
  const dialog = byId("confirm");
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

function confirmed(filepaths) {
  const paths = filepaths.slice(0, MOST_NAMED).map(visible);
  const more = filepaths.length - paths.length;
  if (more) paths.push(`and ${counted(more, "other")}`);
  return ask({
    title: `Delete ${filepaths.length === 1 ? "this image" : counted(filepaths.length)}?`,
    paths,
    text: "Searches will not find it any more. The picture’s file itself, wherever it lies, is not touched.",
    yes: "Delete",
  });
}

function tell(error, left) {
  return ask({ title: `${counted(left)} could not be deleted`, paths: [], text: error.message, yes: "" });
}
