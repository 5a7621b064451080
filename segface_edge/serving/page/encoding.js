// A canvas as JPEG, by a worker where the browser's workers can draw.

const QUALITY = 0.85;
let worker = "OffscreenCanvas" in window ? new Worker(new URL("encoder.js", import.meta.url)) : null;

/** The JPEG of a canvas, an ArrayBuffer; null where there is none. One at a time. */
export async function jpegOf(canvas) {
  if (worker) {
    const bitmap = await createImageBitmap(canvas);
    const found = await new Promise((done) => {
      worker.onmessage = ({data}) => done(data);
      worker.onerror = () => done(null);
      worker.postMessage({bitmap, quality: QUALITY}, [bitmap]);
    });
    if (found) return found;
    worker.terminate();
    worker = null;
  }
  const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", QUALITY));
  return blob && blob.arrayBuffer();
}
