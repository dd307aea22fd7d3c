// Reviewing groups of images that look alike.

export function shown() {}
export function start() {}
