// The exported file in onnxruntime-web: WASM, or WebGPU where that computes the same labels in less time.

// Of the labels of the built-in picture; nothing runs whose labels are others.
export const LEAST_AGREEMENT = 0.999;
const TIMED = 3;
const MOST_THREADS = 8;
// Warnings of nodes that are better left to the CPU are none of a user's.
const SESSION = {graphOptimizationLevel: "all", logSeverityLevel: 3};

/** What a user is told: a title and the cure. */
export class Failure extends Error {
  constructor(title, cure) {
    super(cure);
    this.title = title;
  }
}

/** Threads of WASM, and why there are no more. */
function threads(wanted) {
  const cores = navigator.hardwareConcurrency || 1;
  if (!self.crossOriginIsolated) {
    return [1, "one: this page is not cross-origin isolated (its server sends no COOP and COEP headers)"];
  }
  const many = Math.min(wanted || (cores > 2 ? Math.ceil(cores / 2) : cores), MOST_THREADS, cores);
  return [many, `${many} of this machine's ${cores} cores`];
}

/** A runtime's module; its WASM is fetched with `fetched`, whose progress is told. */
async function runtime({script, wasm}, many, fetched) {
  const ort = await import(new URL(`runtime/${script}`, import.meta.url).href);
  ort.env.wasm.wasmPaths = new URL("runtime/", import.meta.url).href;
  ort.env.wasm.wasmBinary = await fetched(`runtime/${wasm}`);
  ort.env.wasm.numThreads = many;
  ort.env.logLevel = "error";
  return ort;
}

/** One model on one device. */
class Engine {
  #ort;
  #session;
  #size;

  constructor(ort, session, size) {
    [this.#ort, this.#session, this.#size] = [ort, session, size];
  }

  /** Labels (S x S, a byte each) of a square (S x S x 3 bytes, RGB). */
  async run(square) {
    const frames = new this.#ort.Tensor("uint8", square, [1, this.#size, this.#size, 3]);
    const {labels} = await this.#session.run({[this.#session.inputNames[0]]: frames}, ["labels"]);
    const found = labels.location === "cpu" ? labels.data : await labels.getData();
    return Uint8Array.from(found);
  }

  close() {
    return this.#session.release();
  }
}

/** Runs the built-in picture: {agreement: with Python's labels, ms: the least of some runs}. */
async function checked(engine, {square, labels}) {
  let found;
  let ms = Infinity;
  for (let run = 0; run <= TIMED; run++) {
    const start = performance.now();
    found = await engine.run(square);
    if (run) ms = Math.min(ms, performance.now() - start); // the first one warms up
  }
  let equal = 0;
  for (let at = 0; at < labels.length; at++) equal += found[at] === labels[at];
  return {agreement: equal / labels.length, ms};
}

function percent(share) {
  return `${(100 * share).toFixed(share > 0.999 && share < 1 ? 3 : 2)} %`;
}

/**
 * Opens what runs here. `page` is page.json's document; `asked` {engine: wasm | webgpu | undefined, threads};
 * `fetched(name)` gives a file's ArrayBuffer; `saying(words)` is told what takes a while. Returns {run: a square to its
 * labels, detect: as `findFaces` wants it, device: in words, told: what the page says of it}.
 */
export async function openEngines(page, asked, fetched, saying = () => {}) {
  const [many, why] = threads(asked.threads);
  const [model, faces, check] = await Promise.all(["model.onnx", "faces.onnx", "check.bin"].map(fetched));
  const bytes = new Uint8Array(check);
  const pixels = 3 * page.size * page.size;
  const sample = {square: bytes.subarray(0, pixels), labels: bytes.subarray(pixels)};
  let ort;
  let engine;
  let detector;
  try {
    ort = await runtime(page.runtime.wasm, many, fetched);
    const options = {...SESSION, executionProviders: ["wasm"]};
    engine = new Engine(ort, await ort.InferenceSession.create(new Uint8Array(model), options), page.size);
    detector = await ort.InferenceSession.create(new Uint8Array(faces), options);
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure("The model does not run in this browser", `onnxruntime-web says: ${error.message ?? error}`);
  }
  saying("Comparing with Python");
  const wasm = await checked(engine, sample);
  if (wasm.agreement < LEAST_AGREEMENT) {
    throw new Failure(
      "This browser computes other labels",
      `Only ${percent(wasm.agreement)} of the built-in picture's labels are those that Python has. Try another browser.`,
    );
  }
  const words = `WASM, ${many === 1 ? "1 thread" : `${many} threads`}`;
  const said = ({agreement}) => `${percent(agreement)} of the built-in picture's labels are Python's`;
  const told = {threads: why, checked: said(wasm), wasm_ms: wasm.ms};
  const chosen = {run: (square) => engine.run(square), device: words, told};
  chosen.detect = async (planes, width, height) => {
    const given = await detector.run({input: new ort.Tensor("float32", planes, [1, 3, height, width])});
    return Object.fromEntries(Object.entries(given).map(([name, tensor]) => [name, tensor.data]));
  };
  if (asked.engine === "wasm") {
    told.WebGPU = "not asked for";
    return chosen;
  }
  try {
    saying("Trying WebGPU");
    const gpu = await onGpu(page, asked, many, fetched, model);
    const found = await checked(gpu, sample);
    const times = `${found.ms.toFixed(0)} ms a face, ${words} takes ${wasm.ms.toFixed(0)}`;
    if (found.agreement < LEAST_AGREEMENT) {
      await gpu.close();
      throw new Error(`only ${percent(found.agreement)} of its labels are Python's`);
    }
    if (found.ms >= wasm.ms && asked.engine !== "webgpu") {
      await gpu.close();
      throw new Error(`it is slower here: ${times}`);
    }
    await engine.close();
    Object.assign(chosen, {run: (square) => gpu.run(square), device: "WebGPU"});
    const but = page.not_on_gpu.length ? ", but its resizings, which WASM does" : "";
    Object.assign(told, {WebGPU: `runs the model${but}: ${times}`, checked: said(found), webgpu_ms: found.ms});
  } catch (error) {
    const cause = error.message ?? error;
    if (asked.engine === "webgpu") throw new Failure("WebGPU does not run the model here", `It was asked for, but ${cause}.`);
    told.WebGPU = `not used: ${cause}`;
  }
  return chosen;
}

async function onGpu(page, asked, many, fetched, model) {
  if (!page.runtime.webgpu) throw new Error("this page was written without its runtime");
  if (!navigator.gpu) {
    throw new Error(self.isSecureContext ? "this browser has none" : "browsers have it over https and on localhost only");
  }
  const adapter = await navigator.gpu.requestAdapter({powerPreference: "high-performance"});
  if (!adapter) throw new Error("the browser finds no GPU that it may use");
  if ((adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter) && asked.engine !== "webgpu") {
    throw new Error("there is no GPU: the browser computes it on the CPU");
  }
  const ort = await runtime(page.runtime.webgpu, many, fetched);
  ort.env.webgpu.adapter = adapter;
  const options = {...SESSION, executionProviders: [{name: "webgpu", forceCpuNodeNames: page.not_on_gpu}]};
  return new Engine(ort, await ort.InferenceSession.create(new Uint8Array(model), options), page.size);
}
