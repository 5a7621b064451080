// Label maps, brought back from the network's square to the picture: what pictures/restoring.py and parsing/merge.py do.

import {toPhoto} from "./framing.js";
import {even} from "./resampling.js";

// A Gauss of 0.6 square pixels, in 1/256.
const [SIDE, MIDDLE] = [43, 170];

/** The label map (width x height) of a picture's faces: [labels of its square, geometry] each. */
export function restored(faces, size, width, height) {
  const whole = new Uint8Array(width * height);
  const claims = faces.length > 1 ? new Float32Array(width * height) : null;
  for (const [labels, geometry] of faces) {
    const one = new Square(labels, size, geometry);
    const [rows, columns] = one.reached(width, height);
    for (let y = rows[0]; y < rows[1]; y++) {
      one.row(y, columns);
      for (let x = columns[0]; x < columns[1]; x++) {
        const label = one.at(x, y);
        const at = y * width + x;
        if (!claims) {
          whole[at] = label;
        } else if (label) {
          // Where two faces claim a pixel, the one whose square has it nearer to its middle has it.
          const claim = 1 + one.nearness(x + 0.5, y + 0.5);
          if (claim > claims[at]) {
            whole[at] = label;
            claims[at] = claim;
          }
        }
      }
    }
  }
  return whole;
}

class Square {
  #size;
  #geometry;
  #shown; // the part of the label map that shows the picture
  #width;
  #height;
  #open; // 1 where a pixel between this one and its neighbours to the right and below may be of several classes
  #masks = new Map();
  #lies; // not turned
  #enlarges;
  #columnX = null;
  #rowX = 0;
  #rowY = 0;
  // Of the pixel that is asked for: its four neighbours, their weights, and the classes around it.
  #places = new Int32Array(4);
  #weights = new Int32Array(4);
  #seen = new Uint8Array(16);

  constructor(labels, size, geometry) {
    const {left, top, right, bottom} = geometry;
    [this.#size, this.#geometry, this.#width, this.#height] = [size, geometry, right - left, bottom - top];
    this.#shown = new Uint8Array(this.#width * this.#height);
    for (let y = 0; y < this.#height; y++) {
      const from = (top + y) * size + left;
      this.#shown.set(labels.subarray(from, from + this.#width), y * this.#width);
    }
    this.#lies = geometry.turnX === 0 && geometry.turnY === 0;
    const scales = [Math.hypot(geometry.scaleX, geometry.turnY), Math.hypot(geometry.scaleY, geometry.turnX)];
    this.#enlarges = Math.min(...scales) < 1;
    this.#findOpen();
  }

  /** Rows and columns [first, past the last] of the picture that the square shows, or, turned, may show. */
  reached(width, height) {
    const {left, top, right, bottom, scaleX, offsetX, scaleY, offsetY} = this.#geometry;
    if (this.#lies) {
      const covered = (length, start, stop, scale, offset) => [
        Math.max(Math.ceil((start - offset) / scale - 0.5 - 1e-6), 0),
        Math.min(Math.floor((stop - offset) / scale - 0.5 + 1e-6) + 1, length),
      ];
      return [covered(height, top, bottom, scaleY, offsetY), covered(width, left, right, scaleX, offsetX)];
    }
    const square = [[left, top], [right, top], [left, bottom], [right, bottom]];
    const corners = square.map(([x, y]) => toPhoto(this.#geometry, x, y));
    return [[1, height], [0, width]].map(([axis, length]) => {
      const values = corners.map((corner) => corner[axis]);
      const [first, last] = [Math.ceil(Math.min(...values) - 0.5), Math.floor(Math.max(...values) - 0.5)];
      return [Math.max(first, 0), Math.min(last + 1, length)];
    });
  }

  nearness(x, y) {
    const {scaleX, turnX, offsetX, turnY, scaleY, offsetY} = this.#geometry;
    const half = this.#size / 2;
    const away = Math.hypot(scaleX * x + turnX * y + offsetX - half, turnY * x + scaleY * y + offsetY - half);
    return Math.max(0, 1 - away / half);
  }

  /** What `at` needs of a row. */
  row(y, [first, end]) {
    const {scaleX, turnX, offsetX, turnY, scaleY, offsetY, left, top} = this.#geometry;
    const startX = offsetX - left + 0.5 * (scaleX + turnX) - 0.5;
    const startY = offsetY - top + 0.5 * (scaleY + turnY) - 0.5;
    if (this.#lies) {
      this.#rowY = even(32 * Math.fround(scaleY * y + startY));
      if (this.#columnX) return;
      this.#columnX = new Int32Array(end);
      for (let x = first; x < end; x++) this.#columnX[x] = even(32 * Math.fround(scaleX * x + startX));
    } else {
      this.#rowX = Math.fround(turnX * y + startX);
      this.#rowY = Math.fround(scaleY * y + startY);
    }
  }

  /** The label of a pixel of the row. */
  at(column) {
    const [width, height] = [this.#width, this.#height];
    let x;
    let y;
    if (this.#lies) {
      [x, y] = [this.#columnX[column], this.#rowY];
    } else {
      x = even(32 * Math.fround(Math.fround(this.#geometry.scaleX * column) + this.#rowX));
      y = even(32 * Math.fround(Math.fround(this.#geometry.turnY * column) + this.#rowY));
    }
    const [px, py] = [x >> 5, y >> 5];
    if (this.#lies || (px >= 0 && py >= 0 && px + 1 < width && py + 1 < height)) {
      const place = Math.min(Math.max(py, 0), height - 1) * width + Math.min(Math.max(px, 0), width - 1);
      if (!this.#open[place]) return this.#shown[place];
    }
    return this.#largest(px, py, x & 31, y & 31);
  }

  // The label whose mask is largest between four pixels, the first of equals; 0 where none is seen.
  #largest(px, py, fx, fy) {
    const [width, height] = [this.#width, this.#height];
    const [places, weights, seen] = [this.#places, this.#weights, this.#seen];
    for (let k = 0; k < 4; k++) {
      const [qx, qy] = [px + (k & 1), py + (k >> 1)];
      const there = qx >= 0 && qy >= 0 && qx < width && qy < height;
      // Beyond the edge there is nothing where the square is turned; else its edge goes on.
      const edge = Math.min(Math.max(qy, 0), height - 1) * width + Math.min(Math.max(qx, 0), width - 1);
      places[k] = there || this.#lies ? edge : -1;
      weights[k] = (k & 1 ? fx : 32 - fx) * (k >> 1 ? fy : 32 - fy);
    }
    let count = 0;
    const reach = this.#enlarges ? 1 : 0;
    for (let qy = Math.max(py - reach, 0); qy <= Math.min(Math.max(py + 1 + reach, 0), height - 1); qy++) {
      for (let qx = Math.max(px - reach, 0); qx <= Math.min(Math.max(px + 1 + reach, 0), width - 1); qx++) {
        const label = this.#shown[qy * width + qx];
        let known = 0;
        while (known < count && seen[known] !== label) known++;
        if (known === count) seen[count++] = label;
      }
    }
    let [best, most] = [0, 0];
    for (let one = 0; one < count; one++) {
      const label = seen[one];
      const mask = this.#mask(label);
      let sum = 512;
      for (let k = 0; k < 4; k++) if (places[k] >= 0) sum += mask[places[k]] * weights[k];
      const value = sum >> 10;
      if (value > most || (value === most && value && label < best)) [best, most] = [label, value];
    }
    return best;
  }

  #mask(label) {
    const known = this.#masks.get(label);
    if (known) return known;
    const [width, height] = [this.#width, this.#height];
    const hard = this.#shown.map((one) => (one === label ? 255 : 0));
    let made = hard;
    if (this.#enlarges) {
      const across = new Int32Array(hard.length);
      for (let y = 0, at = 0; y < height; y++) {
        for (let x = 0; x < width; x++, at++) {
          across[at] = MIDDLE * hard[at] + SIDE * (hard[x ? at - 1 : at] + hard[x < width - 1 ? at + 1 : at]);
        }
      }
      made = new Uint8Array(hard.length);
      for (let y = 0, at = 0; y < height; y++) {
        const [up, down] = [y ? -width : 0, y < height - 1 ? width : 0];
        for (let x = 0; x < width; x++, at++) {
          made[at] = (MIDDLE * across[at] + SIDE * (across[at + up] + across[at + down]) + 32768) >> 16;
        }
      }
    }
    this.#masks.set(label, made);
    return made;
  }

  // Open is a pixel unless it, its neighbours to the right and below, and those around these four are of one class.
  #findOpen() {
    const [width, height, shown] = [this.#width, this.#height, this.#shown];
    this.#open = new Uint8Array(shown.length);
    const mark = (x, y) => {
      for (let qy = Math.max(y - 2, 0); qy <= Math.min(y + 1, height - 1); qy++) {
        for (let qx = Math.max(x - 2, 0); qx <= Math.min(x + 1, width - 1); qx++) this.#open[qy * width + qx] = 1;
      }
    };
    for (let y = 0, at = 0; y < height; y++) {
      for (let x = 0; x < width; x++, at++) {
        const here = shown[at];
        if ((x < width - 1 && shown[at + 1] !== here) || (y < height - 1 && shown[at + width] !== here) ||
            (x && shown[at - 1] !== here) || (y && shown[at - width] !== here)) mark(x, y);
      }
    }
  }
}
