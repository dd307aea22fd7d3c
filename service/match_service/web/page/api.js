// The service's endpoints as promises: the result of an answer, or an error whose message is a sentence.

import { askForKey, key } from "./key.js";

// Relative to the page, so that it also works behind a proxy that puts it below a path.
const BASE = new URL(".", document.baseURI);

export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

function address(path, query = {}) {
  const url = new URL(path, BASE);
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== "") url.searchParams.set(name, value);
  }
  return url;
}

function body(form) {
  const data = new FormData();
  for (const [name, value] of Object.entries(form)) {
    if (value === undefined || value === "") continue;
    if (value instanceof Blob) data.append(name, value, value.name || "image");
    else data.append(name, value);
  }
  return data;
}

/** The raw response of a request that was let in; asks for a key where one is needed. */
export async function send(method, path, { query, form, signal } = {}) {
  for (;;) {
    const used = key();
    let response;
    try {
      response = await fetch(address(path, query), {
        method,
        body: form && body(form),
        signal,
        headers: used ? { Authorization: `Bearer ${used}` } : {},
        credentials: "same-origin",
        redirect: "error",
      });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ApiError("The service does not answer. Is it running, and are you connected?", 0);
    }
    if (response.status !== 401 || !(await askForKey(used))) return response;
  }
}

/** The whole envelope of an answer that is ok. */
export async function envelope(method, path, options) {
  const response = await send(method, path, options);
  let answer;
  try {
    answer = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(`The service gave an answer that cannot be read (status ${response.status}).`, response.status);
  }
  if (answer.status !== "ok") {
    throw new ApiError(answer.error?.[0] || `The service refused (status ${response.status}).`, response.status);
  }
  return answer;
}

/** The result of an answer that is ok. */
export async function call(method, path, options) {
  return (await envelope(method, path, options)).result;
}

export const count = async () => (await call("GET", "count"))[0];
export const remove = (filepath) => call("DELETE", "delete", { query: { filepath } });
export const settings = fetch(address("web/settings.json")).then((answer) => answer.json()).catch(() => ({}));
