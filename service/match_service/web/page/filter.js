// Filtering by metadata: a field and a value, as many as one likes.

import { byId, el } from "./dom.js";

/** Call `changed` when the filter of a section was changed. */
export function onFilter(name, changed) {
}

/** The filter of a section as the service takes it. */
export function filterValue(name) {
  return {};
}
