// A worker: pictures as JPEG. A page's own thread encodes when it is idle, which may be a second later.

let canvas = null;

onmessage = async ({data: {bitmap, quality}}) => {
  try {
    canvas ??= new OffscreenCanvas(1, 1);
    if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
      Object.assign(canvas, {width: bitmap.width, height: bitmap.height});
    }
    canvas.getContext("2d", {alpha: false, willReadFrequently: true}).drawImage(bitmap, 0, 0);
    bitmap.close();
    const jpeg = await (await canvas.convertToBlob({type: "image/jpeg", quality})).arrayBuffer();
    postMessage(jpeg, [jpeg]);
  } catch {
    postMessage(null);
  }
};
