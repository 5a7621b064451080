// Label maps, and pictures drawn with them.

const LARGEST = 1280;

function canvas(width, height, often = false) {
  const made = document.createElement("canvas");
  Object.assign(made, {width, height});
  return [made, made.getContext("2d", {willReadFrequently: often})];
}

function resize(one, width, height) {
  if (one.width !== width || one.height !== height) Object.assign(one, {width, height});
}

/** The size of a picture whose longest side is at most `longest`. */
export function bounded(width, height, longest) {
  const scale = Math.min(1, longest / Math.max(width, height));
  return [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
}

const [reader, readerContext] = canvas(1, 1, true);

/** The ids of a label map's PNG: {width, height, pixels}, whose pixels hold an id in their lowest byte each. */
export async function decoded(png) {
  const bitmap = await createImageBitmap(png, {colorSpaceConversion: "none", premultiplyAlpha: "none"});
  const {width, height} = bitmap;
  resize(reader, width, height);
  readerContext.globalCompositeOperation = "copy";
  readerContext.drawImage(bitmap, 0, 0);
  bitmap.close();
  return {width, height, pixels: new Uint32Array(readerContext.getImageData(0, 0, width, height).data.buffer)};
}

/** Whether pixels come back as they were written: a browser that hides who you are may add noise to them. */
export function readsExactly() {
  const written = new ImageData(16, 16);
  written.data.forEach((_, index) => (written.data[index] = index % 4 === 3 ? 255 : (7 * index) % 256));
  const [, context] = canvas(16, 16, true);
  context.putImageData(written, 0, 0);
  const read = context.getImageData(0, 0, 16, 16).data;
  return read.every((value, index) => value === written.data[index]);
}

/** How many pixels each of `count` ids has. */
export function areas({pixels}, count) {
  const found = new Uint32Array(256);
  for (const pixel of pixels) found[pixel & 255]++;
  return found.subarray(0, count);
}

/** "#rrggbb" as a pixel. */
function pixelOf(colour) {
  const value = parseInt(colour.slice(1), 16);
  return (0xff000000 | ((value & 0xff) << 16) | (value & 0xff00) | (value >> 16)) >>> 0;
}

/** Draws a picture with its label map on a canvas. */
export class Drawing {
  #canvas;
  #context;
  #layer = canvas(1, 1);
  #soft = canvas(1, 1);
  #levels = Array.from({length: 6}, () => canvas(1, 1));
  #image = new ImageData(1, 1);
  #labels = null;
  #key = "";

  constructor(target) {
    this.#canvas = target;
    this.#context = target.getContext("2d", {alpha: false});
  }

  /** The class id at a point of the canvas, in shares of its sides; null where there is no label map. */
  idAt(across, down, mirrored) {
    const labels = this.#labels;
    if (!labels || across < 0 || down < 0 || across >= 1 || down >= 1) return null;
    const x = Math.floor((mirrored ? 1 - across : across) * labels.width);
    return labels.pixels[Math.floor(down * labels.height) * labels.width + Math.min(x, labels.width - 1)] & 255;
  }

  /**
   * `picture`: what can be drawn, of `width` x `height`. `labels`: as `decoded` gives them, or null.
   * `look`: {effect: colour | blur | dye, chosen: Set of ids, colours: "#rrggbb" by id, dye: "#rrggbb",
   * strength: 0 to 1, mirrored, boxes: [left, top, right, bottom] of faces in the label map's pixels}.
   */
  draw(picture, width, height, labels, look) {
    const context = this.#context;
    const [across, down] = bounded(width, height, LARGEST);
    resize(this.#canvas, across, down);
    context.setTransform(look.mirrored ? -1 : 1, 0, 0, 1, look.mirrored ? across : 0, 0);
    context.drawImage(picture, 0, 0, across, down);
    this.#labels = labels;
    if (labels) {
      this.#paint(labels, look);
      if (look.effect === "colour") this.#tint(look.strength, across, down);
      if (look.effect === "dye") this.#dye(look.strength, across, down);
      if (look.effect === "blur") this.#blur(picture, look.strength, across, down);
      this.#frame(labels, look.boxes, across, down);
    }
    context.setTransform(1, 0, 0, 1, 0, 0);
  }

  // The chosen classes' pixels in their colours, the others transparent; made anew only where something changed.
  #paint(labels, {effect, chosen, colours, dye}) {
    const key = [effect, [...chosen], effect === "dye" ? dye : colours].join();
    const [layer, context] = this.#layer;
    if (key === this.#key && labels === layer.labels) return;
    this.#key = key;
    layer.labels = labels;
    resize(layer, labels.width, labels.height);
    const table = new Uint32Array(256);
    for (const id of chosen) table[id] = pixelOf(effect === "dye" ? dye : colours[id]);
    const {width, height, pixels} = labels;
    if (this.#image.width !== width || this.#image.height !== height) this.#image = new ImageData(width, height);
    const painted = new Uint32Array(this.#image.data.buffer);
    for (let index = 0; index < pixels.length; index++) painted[index] = table[pixels[index] & 255];
    context.putImageData(this.#image, 0, 0);
    // At half the size and back, edges are a little softer.
    const [soft, softContext] = this.#soft;
    resize(soft, Math.ceil(labels.width / 2), Math.ceil(labels.height / 2));
    softContext.globalCompositeOperation = "copy";
    softContext.drawImage(layer, 0, 0, soft.width, soft.height);
  }

  #tint(strength, across, down) {
    this.#context.globalAlpha = strength;
    this.#context.drawImage(this.#layer[0], 0, 0, across, down);
    this.#context.globalAlpha = 1;
  }

  // The colour's hue on the picture's own light and shade.
  #dye(strength, across, down) {
    const context = this.#context;
    for (const [way, share] of [["color", 1], ["soft-light", 0.6]]) {
      context.globalCompositeOperation = way;
      context.globalAlpha = strength * share;
      context.drawImage(this.#soft[0], 0, 0, across, down);
    }
    context.globalCompositeOperation = "source-over";
    context.globalAlpha = 1;
  }

  // Halved and halved again, and back: `filter` would do it, but not in every browser.
  #blur(picture, strength, across, down) {
    if (!strength) return;
    const deep = 1 + Math.ceil(strength * (this.#levels.length - 1));
    let from = picture;
    for (const [level, [one, context]] of this.#levels.slice(0, deep).entries()) {
      resize(one, Math.max(1, across >> (level + 1)), Math.max(1, down >> (level + 1)));
      context.globalCompositeOperation = "copy";
      context.drawImage(from, 0, 0, one.width, one.height);
      from = one;
    }
    for (const [one, context] of this.#levels.slice(0, deep - 1).reverse()) {
      context.drawImage(from, 0, 0, one.width, one.height);
      from = one;
    }
    const [top, context] = this.#levels[0];
    context.globalCompositeOperation = "destination-in";
    context.drawImage(this.#soft[0], 0, 0, top.width, top.height);
    this.#context.drawImage(top, 0, 0, across, down);
  }

  #frame({width, height}, boxes, across, down) {
    const context = this.#context;
    context.lineWidth = Math.max(2, across / 320);
    context.strokeStyle = "#ffffff";
    context.shadowColor = "#000000";
    context.shadowBlur = 4;
    for (const [left, top, right, bottom] of boxes) {
      const [x, y] = [(left * across) / width, (top * down) / height];
      context.strokeRect(x, y, ((right - left) * across) / width, ((bottom - top) * down) / height);
    }
    context.shadowBlur = 0;
  }
}
