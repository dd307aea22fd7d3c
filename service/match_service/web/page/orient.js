// A picture as the service saw it when it matched: turned, mirrored or inverted, drawn on a canvas.

const LONGEST = 1600;

/** The parts of a name such as "mirrored, rotated 90, inverted"; turns are anticlockwise. */
export function parse(name) {
  const turn = /rotated (\d+)/.exec(name || "");
  return {
    mirrored: /mirrored/.test(name || ""),
    inverted: /inverted/.test(name || ""),
    degrees: turn ? Number(turn[1]) % 360 : 0,
  };
}

/** The name in words for a reader; empty for the image as it is. */
export function words(name) {
  if (name === "guessed") return "cropped, turned or framed";
  const { mirrored, inverted, degrees } = parse(name);
  const said = [];
  if (mirrored) said.push("mirrored");
  if (degrees) said.push(degrees === 180 ? "turned upside down" : `turned ${degrees === 90 ? "left" : "right"}`);
  if (inverted) said.push("inverted");
  return said.join(", ");
}

/** A canvas with the image in a Blob, seen in an orientation. Rejects where the browser cannot decode it. */
export async function drawn(blob, orientation = "") {
  // The signature is of the pixels as they are stored, whatever EXIF says about them.
  const bitmap = await createImageBitmap(blob, { imageOrientation: "none" });
  const { mirrored, inverted, degrees } = parse(orientation);
  const scale = Math.min(1, LONGEST / Math.max(bitmap.width, bitmap.height));
  const width = Math.max(1, Math.round(bitmap.width * scale));
  const height = Math.max(1, Math.round(bitmap.height * scale));
  const lying = degrees % 180 !== 0;
  const canvas = document.createElement("canvas");
  canvas.width = lying ? height : width;
  canvas.height = lying ? width : height;
  const context = canvas.getContext("2d");
  context.translate(canvas.width / 2, canvas.height / 2);
  context.rotate((-degrees * Math.PI) / 180);
  if (mirrored) context.scale(-1, 1);
  context.drawImage(bitmap, -width / 2, -height / 2, width, height);
  bitmap.close();
  if (inverted) invert(context, canvas);
  return canvas;
}

function invert(context, canvas) {
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.globalCompositeOperation = "difference";
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
}
