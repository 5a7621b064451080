// A picture to its label map: faces found, shown to the network, brought back.

import {findFaces} from "./faces.js";
import {fitted, isPortrait, squareOf} from "./framing.js";
import {restored} from "./restoring.js";

/** {labels: width x height bytes, faces, ms: by stage} of a picture. `engine` as `openEngines` gives it; `size` is S. */
export async function parsed(image, engine, size) {
  const {width, height} = image;
  const times = [performance.now()];
  let faces = await findFaces(image, engine.detect);
  faces = faces.map((face) => ({...face, square: squareOf(face)})).filter(({square: {x, y, side}}) => {
    return x >= 0 && x <= width && y >= 0 && y <= height && side >= 2;
  });
  const portrait = isPortrait(faces.map((face) => face.square), width, height);
  const fits = faces.map((face) => fitted(image, size, portrait ? null : face.square));
  times.push(performance.now());
  const found = [];
  for (const {pixels, geometry} of fits) found.push([await engine.run(pixels), geometry]);
  times.push(performance.now());
  const labels = restored(found, size, width, height);
  times.push(performance.now());
  const [finding, inference, restoring] = times.slice(1).map((time, index) => time - times[index]);
  return {labels, faces, ms: {faces: finding, inference, restore: restoring}};
}
