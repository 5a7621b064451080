// Where the faces of a picture are: YuNet on two sizes of it, as faces/finder.py looks at them. Upright faces alone.

import {even, shrunk} from "./resampling.js";

// The picture's longer side, and a smaller copy's: a face too large for one is of the best size in the other.
const SIDES = [1280, 320];
const STRIDES = [8, 16, 32];
const [FAINT, FACE] = [0.1, 0.6];
// Boxes are of one face where they share so much: of their union on one size, of the smaller one between sizes.
const [SAME, ONE] = [0.3, 0.5];
// A whole face is surer than its parts: one that is as large as this on the smaller copy is rather taken from there.
const [LARGE, RATHER] = [80, 0.05];
const [LEAST_SIDE, MULTIPLE] = [64, 32];

/**
 * The faces, the surest first: {box: [left, top, right, bottom], points: right eye, left eye, nose, right and left corner
 * of the mouth, score}. `detect(planes, width, height)` runs YuNet on 3 x height x width float32, BGR.
 */
export async function findFaces(image, detect) {
  const longer = Math.min(SIDES[0], Math.max(image.width, image.height));
  const found = [];
  let level = image;
  for (const side of [longer, ...SIDES.filter((one) => one < longer)]) {
    const scale = side / Math.max(image.width, image.height);
    level = shrunk(level, Math.max(1, even(image.width * scale)), Math.max(1, even(image.height * scale)));
    const [across, down] = [image.width / level.width, image.height / level.height];
    for (const face of await seen(level, detect)) {
      const large = side !== longer && face.box[3] - face.box[1] >= LARGE;
      found.push([face.score + (large ? RATHER : 0), enlargedFace(face, across, down)]);
    }
  }
  found.sort(([one], [other]) => other - one);
  const kept = [];
  for (const [, face] of found) if (!kept.some((other) => shared(face.box, other.box) >= ONE)) kept.push(face);
  return kept.filter((face) => face.score >= FACE).sort((one, other) => other.score - one.score);
}

// What may be faces of one size, the surest first.
async function seen(level, detect) {
  const padded = (side) => Math.ceil(Math.max(side, LEAST_SIDE) / MULTIPLE) * MULTIPLE;
  const [width, height] = [padded(level.width), padded(level.height)];
  const planes = new Float32Array(3 * width * height);
  for (let y = 0, from = 0; y < level.height; y++) {
    for (let x = 0, to = y * width; x < level.width; x++, to++) {
      for (let plane = 2; plane >= 0; plane--) planes[plane * width * height + to] = level.pixels[from++];
    }
  }
  const given = await detect(planes, width, height);
  const faces = [];
  for (const stride of STRIDES) {
    const [cls, obj, box, points] = ["cls", "obj", "bbox", "kps"].map((name) => given[`${name}_${stride}`]);
    const columns = width / stride;
    for (let at = 0; at < cls.length; at++) {
      const score = Math.sqrt(Math.min(Math.max(cls[at], 0), 1) * Math.min(Math.max(obj[at], 0), 1));
      if (score < FAINT) continue;
      const [column, row] = [at % columns, Math.floor(at / columns)];
      const [x, y] = [(column + box[4 * at]) * stride, (row + box[4 * at + 1]) * stride];
      const [w, h] = [Math.exp(box[4 * at + 2]) * stride, Math.exp(box[4 * at + 3]) * stride];
      const point = (k) => [(points[10 * at + k] + column) * stride, (points[10 * at + k + 1] + row) * stride];
      faces.push({box: [x - w / 2, y - h / 2, x + w / 2, y + h / 2], points: [0, 2, 4, 6, 8].map(point), score});
    }
  }
  faces.sort((one, other) => other.score - one.score);
  const kept = [];
  for (const face of faces) if (!kept.some((other) => overlap(face.box, other.box) > SAME)) kept.push(face);
  return kept;
}

function enlargedFace({box, points, score}, across, down) {
  return {
    box: [box[0] * across, box[1] * down, box[2] * across, box[3] * down],
    points: points.map(([x, y]) => [x * across, y * down]),
    score,
  };
}

function common(one, other) {
  const width = Math.min(one[2], other[2]) - Math.max(one[0], other[0]);
  const height = Math.min(one[3], other[3]) - Math.max(one[1], other[1]);
  return width > 0 && height > 0 ? width * height : 0;
}

function area(box) {
  return (box[2] - box[0]) * (box[3] - box[1]);
}

function shared(one, other) {
  return common(one, other) / Math.min(area(one), area(other));
}

// In whole pixels, as OpenCV's detector compares them.
function overlap(one, other) {
  const whole = (box) => {
    const [left, top] = [Math.trunc(box[0]), Math.trunc(box[1])];
    return [left, top, left + Math.trunc(box[2] - box[0]), top + Math.trunc(box[3] - box[1])];
  };
  const [a, b] = [whole(one), whole(other)];
  return common(a, b) / (area(a) + area(b) - common(a, b));
}
