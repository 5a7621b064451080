// Pictures made larger and smaller, with the bytes that the Python runtime has: Pillow's bicubic, OpenCV's area and cubic.
// A picture is {width, height, pixels}: rows of R, G, B, a byte each.

const PLANES = 3;
// Pillow's fixed point.
const BITS = 22;

export function picture(width, height) {
  return {width, height, pixels: new Uint8Array(width * height * PLANES)};
}

/** To the nearest whole number, halves to the even one: Python's and C's way. */
export function even(value) {
  const whole = Math.round(value);
  return whole - value === 0.5 && whole % 2 ? whole - 1 : whole;
}

/** A part (left, top, right, bottom, fractions allowed) as `width` x `height`: antialiased, bicubic. */
export function bicubic(image, [left, top, right, bottom], width, height) {
  const across = pillowWeights(image.width, left, right, width);
  const down = pillowWeights(image.height, top, bottom, height);
  const first = down.starts[0];
  const last = down.starts[height - 1] + down.counts[height - 1];
  const half = picture(width, last - first);
  for (let y = 0; y < half.height; y++) {
    const row = (y + first) * image.width;
    for (let x = 0, to = y * width * PLANES; x < width; x++) {
      let [red, green, blue] = [1 << (BITS - 1), 1 << (BITS - 1), 1 << (BITS - 1)];
      let from = (row + across.starts[x]) * PLANES;
      for (let at = x * across.size, end = at + across.counts[x]; at < end; at++) {
        const weight = across.weights[at];
        red += image.pixels[from++] * weight;
        green += image.pixels[from++] * weight;
        blue += image.pixels[from++] * weight;
      }
      half.pixels[to++] = byte(red >> BITS);
      half.pixels[to++] = byte(green >> BITS);
      half.pixels[to++] = byte(blue >> BITS);
    }
  }
  const made = picture(width, height);
  const stride = width * PLANES;
  for (let y = 0; y < height; y++) {
    const from = (down.starts[y] - first) * stride;
    for (let x = 0; x < stride; x++) {
      let sum = 1 << (BITS - 1);
      for (let k = 0, at = y * down.size; k < down.counts[y]; k++) {
        sum += half.pixels[from + k * stride + x] * down.weights[at + k];
      }
      made.pixels[y * stride + x] = byte(sum >> BITS);
    }
  }
  return made;
}

function byte(value) {
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

// Keys' cubic with a = -1/2, stretched where the picture gets smaller; of each target pixel the first source pixel, how
// many there are, and their weights.
function pillowWeights(length, start, stop, count) {
  const scale = (stop - start) / count;
  const stretch = Math.max(scale, 1);
  const reach = 2 * stretch;
  const size = 2 * Math.ceil(reach) + 1;
  const found = {size, starts: new Int32Array(count), counts: new Int32Array(count), weights: new Int32Array(count * size)};
  const exact = new Float64Array(size);
  for (let index = 0; index < count; index++) {
    const centre = start + (index + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5));
    const last = Math.min(length, Math.trunc(centre + reach + 0.5));
    let sum = 0;
    for (let at = first; at < last; at++) sum += exact[at - first] = keys((at - centre + 0.5) / stretch);
    found.starts[index] = first;
    found.counts[index] = last - first;
    for (let at = 0; at < last - first; at++) {
      const weight = (exact[at] / sum) * (1 << BITS);
      found.weights[index * size + at] = Math.trunc(weight < 0 ? weight - 0.5 : weight + 0.5);
    }
  }
  return found;
}

function keys(value) {
  const x = Math.abs(value);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

/** Smaller: each pixel the mean of what it covers. Halved first while that can be. */
export function shrunk(image, width, height) {
  while (Math.min(image.width / width, image.height / height) >= 2) image = halved(image);
  return image.width === width && image.height === height ? image : averaged(image, width, height);
}

function halved({width: whole, height: high, pixels}) {
  const made = picture(whole >> 1, high >> 1);
  const stride = whole * PLANES;
  for (let y = 0, to = 0; y < made.height; y++) {
    for (let x = 0; x < made.width; x++) {
      for (let plane = 0, at = 2 * y * stride + 2 * x * PLANES; plane < PLANES; plane++, at++) {
        const sum = pixels[at] + pixels[at + PLANES] + pixels[at + stride] + pixels[at + stride + PLANES];
        made.pixels[to++] = (sum + 2) >> 2;
      }
    }
  }
  return made;
}

function averaged(image, width, height) {
  const [across, down] = [covered(image.width, width), covered(image.height, height)];
  const made = picture(width, height);
  const stride = width * PLANES;
  const row = new Float32Array(stride);
  const sum = new Float32Array(stride);
  for (let y = 0; y < height; y++) {
    sum.fill(0);
    for (const [source, weight] of down[y]) {
      for (let x = 0, to = 0; x < width; x++, to += PLANES) {
        row[to] = row[to + 1] = row[to + 2] = 0;
        for (const [from, share] of across[x]) {
          const at = (source * image.width + from) * PLANES;
          row[to] += image.pixels[at] * share;
          row[to + 1] += image.pixels[at + 1] * share;
          row[to + 2] += image.pixels[at + 2] * share;
        }
      }
      for (let x = 0; x < stride; x++) sum[x] += row[x] * weight;
    }
    for (let x = 0; x < stride; x++) made.pixels[y * stride + x] = byte(even(sum[x]));
  }
  return made;
}

// Of each of `count` pixels: the pixels of `length` that it covers, and their shares.
function covered(length, count) {
  const scale = length / count;
  return Array.from({length: count}, (_, index) => {
    const [start, stop] = [index * scale, Math.min((index + 1) * scale, length)];
    const parts = [];
    for (let at = Math.floor(start + 1e-3); at < Math.ceil(stop - 1e-3); at++) {
      parts.push([at, (Math.min(at + 1, stop) - Math.max(at, start)) / (stop - start)]);
    }
    return parts;
  });
}

/** Larger: bicubic, as OpenCV does it on x86-64: in fractions, rounded once. */
export function enlarged(image, width, height) {
  const [across, down] = [cubicWeights(image.width, width), cubicWeights(image.height, height)];
  const stride = width * PLANES;
  const {pixels} = image;
  const rows = new Float32Array(image.height * stride);
  for (let y = 0, to = 0; y < image.height; y++) {
    const row = y * image.width * PLANES;
    for (let at = 0; at < 4 * width; at += 4) {
      const a = row + PLANES * across.places[at];
      const b = row + PLANES * across.places[at + 1];
      const c = row + PLANES * across.places[at + 2];
      const d = row + PLANES * across.places[at + 3];
      for (let plane = 0; plane < PLANES; plane++) {
        rows[to++] = pixels[a + plane] * across.weights[at] + pixels[b + plane] * across.weights[at + 1] +
          pixels[c + plane] * across.weights[at + 2] + pixels[d + plane] * across.weights[at + 3];
      }
    }
  }
  const made = new Uint8ClampedArray(stride * height); // which rounds halves to the even number
  for (let y = 0, to = 0; y < height; y++) {
    const [a, b, c, d] = down.places.subarray(4 * y, 4 * y + 4).map((place) => place * stride);
    const [p, q, r, s] = down.weights.subarray(4 * y, 4 * y + 4);
    for (let x = 0; x < stride; x++) made[to++] = rows[a + x] * p + rows[b + x] * q + rows[c + x] * r + rows[d + x] * s;
  }
  return {width, height, pixels: made};
}

// The cubic with a = -3/4; the edge goes on. Of each target pixel four places and their weights.
function cubicWeights(length, count) {
  const found = {places: new Int32Array(4 * count), weights: new Float64Array(4 * count)};
  const a = -0.75;
  for (let index = 0; index < count; index++) {
    const at = (index + 0.5) * (length / count) - 0.5;
    const first = Math.floor(at);
    const x = at - first;
    const near = ((a + 2) * x - (a + 3)) * x * x + 1;
    const far = ((a * (x + 1) - 5 * a) * (x + 1) + 8 * a) * (x + 1) - 4 * a;
    const next = ((a + 2) * (1 - x) - (a + 3)) * (1 - x) * (1 - x) + 1;
    [far, near, next, 1 - far - near - next].forEach((weight, k) => {
      found.places[4 * index + k] = Math.min(Math.max(first - 1 + k, 0), length - 1);
      found.weights[4 * index + k] = weight;
    });
  }
  return found;
}

/** A part of a picture, in whole pixels. */
export function part(image, left, top, right, bottom) {
  const made = picture(right - left, bottom - top);
  const stride = made.width * PLANES;
  for (let y = 0; y < made.height; y++) {
    const from = ((top + y) * image.width + left) * PLANES;
    made.pixels.set(image.pixels.subarray(from, from + stride), y * stride);
  }
  return made;
}
