// Which square of a picture the network is shown, and that square: what pictures/framing.py and fitting.py do.

import {bicubic, enlarged, even, part, picture} from "./resampling.js";

const PADDING = [124, 116, 104];
const [BELOW_EYES, EYES, MOUTH] = [0.1, 4.0, 3.6];
const LEAST_TURN = 1.0;
const [PORTRAIT_OVERLAP, PORTRAIT_ANGLE] = [0.6, 12.0];

/** {x, y, side, angle} that CelebA-HQ would have cut out for a face, by its landmarks; degrees, clockwise. */
export function squareOf({points: [rightEye, leftEye, , rightMouth, leftMouth]}) {
  const middle = (one, other) => [(one[0] + other[0]) / 2, (one[1] + other[1]) / 2];
  const [eyes, mouth] = [middle(rightEye, leftEye), middle(rightMouth, leftMouth)];
  const across = [leftEye[0] - rightEye[0], leftEye[1] - rightEye[1]];
  const down = [mouth[0] - eyes[0], mouth[1] - eyes[1]];
  return {
    x: eyes[0] + BELOW_EYES * down[0],
    y: eyes[1] + BELOW_EYES * down[1],
    side: Math.max(EYES * Math.hypot(...across), MOUTH * Math.hypot(...down)),
    angle: (180 / Math.PI) * Math.atan2(across[1] - down[0], across[0] + down[1]),
  };
}

function boxOf({x, y, side}) {
  return [x - side / 2, y - side / 2, x + side / 2, y + side / 2];
}

function area([left, top, right, bottom]) {
  return Math.max(0, right - left) * Math.max(0, bottom - top);
}

/** Whether a picture is one face's portrait, framed as the network knows it. */
export function isPortrait(squares, width, height) {
  if (squares.length !== 1 || Math.abs(squares[0].angle) > PORTRAIT_ANGLE) return false;
  const [own, whole] = [boxOf(squares[0]), boxOf({x: width / 2, y: height / 2, side: Math.max(width, height)})];
  const common = area([0, 1, 2, 3].map((edge) => (edge < 2 ? Math.max : Math.min)(own[edge], whole[edge])));
  return common / (area(own) + area(whole) - common) >= PORTRAIT_OVERLAP;
}

/**
 * A square of a picture, or (null) all of it, in the network's square of `size`: {pixels, geometry}. The way:
 * square x = scaleX * x + turnX * y + offsetX, square y = turnY * x + scaleY * y + offsetY; left, top, right, bottom is
 * the part of the square that shows the picture.
 */
export function fitted(image, size, square) {
  if (!square) return lying(image, size, [0, 0, image.width, image.height]);
  if (Math.abs(square.angle) < LEAST_TURN) return lying(image, size, boxOf(square));
  const scale = size / square.side;
  const [cos, sin] = [Math.cos, Math.sin].map((of) => scale * of((square.angle * Math.PI) / 180));
  const geometry = {
    scaleX: cos, turnX: sin, offsetX: size / 2 - cos * square.x - sin * square.y,
    turnY: -sin, scaleY: cos, offsetY: size / 2 + sin * square.x - cos * square.y,
    left: 0, top: 0, right: size, bottom: size,
  };
  // Two pixels more, for the neighbours of those at the edge.
  const corners = [[0, 0], [size, 0], [size, size], [0, size]].map((corner) => toPhoto(geometry, ...corner));
  const [xs, ys] = [corners.map(([x]) => x), corners.map(([, y]) => y)];
  const left = Math.max(Math.floor(Math.min(...xs)) - 2, 0);
  const top = Math.max(Math.floor(Math.min(...ys)) - 2, 0);
  const right = Math.min(Math.ceil(Math.max(...xs)) + 2, image.width);
  const bottom = Math.min(Math.ceil(Math.max(...ys)) + 2, image.height);
  let shown = part(image, left, top, right, bottom);
  if (scale < 1) {
    // Antialiased, which turning is not: made smaller first.
    const [width, height] = [shown.width, shown.height].map((side) => Math.max(1, even(side * scale)));
    shown = bicubic(shown, [0, 0, shown.width, shown.height], width, height);
  }
  const [width, height] = [right - left, bottom - top].map((side) => Math.max(1, even(2 * scale * side)));
  shown = enlarged(shown, width, height);
  return {pixels: turned(shown, size, geometry, left, top, width / (right - left), height / (bottom - top)), geometry};
}

/** A point of the square in the picture. */
export function toPhoto({scaleX, turnX, offsetX, turnY, scaleY, offsetY}, x, y) {
  const determinant = scaleX * scaleY - turnX * turnY;
  [x, y] = [x - offsetX, y - offsetY];
  return [(scaleY * x - turnX * y) / determinant, (scaleX * y - turnY * x) / determinant];
}

function lying(image, size, [left, top, right, bottom]) {
  const seen = [Math.max(left, 0), Math.max(top, 0), Math.min(right, image.width), Math.min(bottom, image.height)];
  const scale = size / Math.max(right - left, bottom - top);
  const [originX, originY] = [(size - (right - left) * scale) / 2, (size - (bottom - top) * scale) / 2];
  const [x, endX] = drawn(originX + (seen[0] - left) * scale, originX + (seen[2] - left) * scale, size);
  const [y, endY] = drawn(originY + (seen[1] - top) * scale, originY + (seen[3] - top) * scale, size);
  const made = bicubic(image, seen, endX - x, endY - y);
  const [scaleX, scaleY] = [(endX - x) / (seen[2] - seen[0]), (endY - y) / (seen[3] - seen[1])];
  const geometry = {
    scaleX, turnX: 0, offsetX: x - seen[0] * scaleX, turnY: 0, scaleY, offsetY: y - seen[1] * scaleY,
    left: x, top: y, right: endX, bottom: endY,
  };
  if (made.width === size && made.height === size) return {pixels: made.pixels, geometry};
  const whole = picture(size, size);
  for (let at = 0; at < whole.pixels.length; at++) whole.pixels[at] = PADDING[at % 3];
  for (let row = 0; row < made.height; row++) {
    whole.pixels.set(made.pixels.subarray(3 * row * made.width, 3 * (row + 1) * made.width), 3 * ((y + row) * size + x));
  }
  return {pixels: whole.pixels, geometry};
}

function drawn(start, stop, size) {
  const first = Math.min(Math.max(even(start), 0), size - 1);
  return [first, Math.min(Math.max(even(stop), first + 1), size)];
}

// The square, sampled between the pixels of an enlarged part: bilinear, places rounded to 1/32.
function turned(shown, size, geometry, left, top, scaleX, scaleY) {
  const made = new Uint8Array(3 * size * size);
  const {width, height, pixels} = shown;
  const [x0, y0] = toPhoto(geometry, 0.5, 0.5);
  const [x1, y1] = toPhoto(geometry, 1.5, 0.5);
  const [x2, y2] = toPhoto(geometry, 0.5, 1.5);
  const [acrossX, acrossY, downX, downY] = [(x1 - x0) * scaleX, (y1 - y0) * scaleY, (x2 - x0) * scaleX, (y2 - y0) * scaleY];
  const [startX, startY] = [(x0 - left) * scaleX - 0.5, (y0 - top) * scaleY - 0.5];
  for (let row = 0, to = 0; row < size; row++) {
    const [rowX, rowY] = [Math.fround(downX * row + startX), Math.fround(downY * row + startY)];
    for (let column = 0; column < size; column++) {
      const x = even(32 * Math.fround(Math.fround(acrossX * column) + rowX));
      const y = even(32 * Math.fround(Math.fround(acrossY * column) + rowY));
      const [px, py, fx, fy] = [x >> 5, y >> 5, x & 31, y & 31];
      const weights = [(32 - fx) * (32 - fy), fx * (32 - fy), (32 - fx) * fy, fx * fy];
      const inside = px >= 0 && py >= 0 && px + 1 < width && py + 1 < height;
      const at = 3 * (py * width + px);
      for (let plane = 0; plane < 3; plane++) {
        let sum = 512;
        if (inside) {
          sum += pixels[at + plane] * weights[0] + pixels[at + 3 + plane] * weights[1] +
            pixels[at + 3 * width + plane] * weights[2] + pixels[at + 3 * width + 3 + plane] * weights[3];
        } else {
          for (let k = 0; k < 4; k++) {
            const [qx, qy] = [px + (k & 1), py + (k >> 1)];
            const there = qx >= 0 && qy >= 0 && qx < width && qy < height;
            sum += (there ? pixels[3 * (qy * width + qx) + plane] : PADDING[plane]) * weights[k];
          }
        }
        made[to++] = sum >> 10;
      }
    }
  }
  return made;
}
