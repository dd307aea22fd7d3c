// Pictures of stored images. The service keeps none unless told to, so most often there is only a name to show.

import { send, settings } from "./api.js";
import { el, visible } from "./dom.js";

const kept = new Map();
const MOST_KEPT = 400;

/** The thumbnail of a stored image as a Blob, or null where there is none. */
export async function thumbnail(filepath) {
  if (!(await settings).thumbnails) return null;
  if (!kept.has(filepath)) {
    if (kept.size >= MOST_KEPT) kept.delete(kept.keys().next().value);
    kept.set(filepath, load(filepath));
  }
  return kept.get(filepath);
}

async function load(filepath) {
  try {
    const response = await send("GET", "thumbnail", { query: { filepath } });
    return response.ok ? await response.blob() : null;
  } catch {
    kept.delete(filepath);
    return null;
  }
}

/** Forget what a deleted or replaced image looked like. */
export const forget = (filepath) => kept.delete(filepath);

/** The last part of a path, which is what people recognise. */
export function shortName(filepath) {
  const parts = filepath.split(/[/\\]/).filter(Boolean);
  return visible(parts.at(-1) || filepath);
}

const waiting = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    waiting.unobserve(entry.target);
    fill(entry.target);
  }
}, { rootMargin: "300px" });

async function fill(frame) {
  const blob = await thumbnail(frame.filepath);
  if (!blob) return;
  const image = el("img", { alt: "", decoding: "async" });
  const url = URL.createObjectURL(blob);
  image.onload = image.onerror = () => URL.revokeObjectURL(url);
  image.src = url;
  try {
    await image.decode();
  } catch {
    return;
  }
  frame.replaceChildren(image);
}

/** A frame with the picture of a stored image, once it comes into view, or with its name. */
export function picture(filepath) {
  const frame = el("div", { className: "picture", "aria-hidden": "true" },
    el("span", { className: "placeholder" }, shortName(filepath)));
  frame.filepath = filepath;
  waiting.observe(frame);
  return frame;
}

/** The address of an image that lies on another site, for a link; nothing is fetched from there by itself.
 *
 * An address on this site is no picture but an endpoint of the service, so it is never offered. */
export function webAddress(filepath) {
  if (!/^https?:\/\//i.test(filepath)) return null;
  try {
    const url = new URL(filepath);
    return url.host === location.host || url.username || url.password ? null : url.href;
  } catch {
    return null;
  }
}
