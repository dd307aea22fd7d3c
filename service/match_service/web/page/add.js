// Adding the image that was searched for.

import { call } from "./api.js";
import { announce, byId, showError } from "./dom.js";
import { forget } from "./picture.js";

let query = null;

export function openAdd(given) {
  query = given;
  showError("add-error", null);
  byId("add-path").value = given.blob ? given.blob.name || "" : given.url;
  byId("add").showModal();
  byId("add-path").select();
}

async function submit(event) {
  event.preventDefault();
  const filepath = byId("add-path").value;
  const metadata = byId("add-metadata").value.trim();
  const form = { filepath, metadata, ...(query.blob ? { image: query.blob } : { url: query.url }) };
  const button = byId("add-form").querySelector("[type=submit]");
  button.disabled = true;
  try {
    await call("POST", "add", { form });
    forget(filepath);
    byId("add").close();
    byId("add-metadata").value = "";
    announce("Added.");
    document.dispatchEvent(new CustomEvent("match:added"));
  } catch (error) {
    showError("add-error", error);
  } finally {
    button.disabled = false;
  }
}

export function start() {
  byId("add-form").addEventListener("submit", submit);
}
