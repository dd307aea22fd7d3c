// The API key, where the service asks for one: kept for this tab, sent to this origin only.

import { byId } from "./dom.js";

const NAME = "match.key";
let asking = null;

export const key = () => sessionStorage.getItem(NAME) || "";

/** Ask for a key because `refused` was not enough; whether there is now another to try. */
export function askForKey(refused) {
  if (key() !== refused) return Promise.resolve(true);
  asking ??= ask(refused).finally(() => { asking = null; });
  return asking;
}

function ask(refused) {
  const dialog = byId("key");
  byId("key-title").textContent = refused ? "That key is not accepted" : "This service asks for a key";
  byId("key-value").value = "";
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const given = byId("key-value").value.trim();
      byId("key-value").value = "";
      const usable = dialog.returnValue === "yes" && given !== "" && given !== refused;
      if (usable) sessionStorage.setItem(NAME, given);
      resolve(usable);
    }, { once: true });
  });
}
