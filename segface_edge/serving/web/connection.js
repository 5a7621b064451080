// In place of the live page's WebSocket: a worker of this page, which runs the model in the browser.

const ASKED = new URLSearchParams(location.search);

// What the page says where the server's says other things, by the parts' ids.
export const WORDS = {
  kind: "in the browser",
  "side-label": "Picture parsed at",
  "trip-label": "From picture to labels",
  "total-label": "Worker",
  privacy: "Pictures stay in this browser: nothing is sent anywhere.",
};
export const LINKS = {
  connecting: {said: "Loading the model"},
  open: {said: "Ready"},
  gone: {title: "The model does not run", again: true},
};
// In the order in which they happen; what is left of the round trip is the way to the worker and back.
export const STAGES = ["faces", "inference", "restore"];
export const OTHERS = {way: "to the worker and back"};
// The rows of the panel "Model".
export const ROWS = ["model", "backbone", "device", "threads", "WebGPU", "checked", "engine", "version", "terms"];

// A module of one function, with a vector in it.
const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];

/** What this browser lacks: [title, cure], or null. */
export function lacking() {
  if (!("WebAssembly" in window) || !WebAssembly.validate(new Uint8Array(SIMD))) {
    return ["This browser has no WebAssembly with SIMD", "The model needs it: use a browser of 2023 or later."];
  }
  return null;
}

/** As the WebSocket's class is: see there. The states are connecting, open and gone. */
export class Connection {
  #on;
  #worker = null;
  #ready = false;
  #frame = 0;
  #flying = null;
  token = "";

  constructor(on) {
    this.#on = on;
  }

  get ready() {
    return this.#ready && !this.#flying;
  }

  connect() {
    this.#worker?.terminate();
    this.#ready = false;
    this.#flying = null;
    this.#on.state("connecting", 0);
    this.#worker = new Worker(new URL("worker.js", import.meta.url), {type: "module"});
    this.#worker.onmessage = ({data}) => this.#read(data);
    this.#worker.onerror = () => this.#failed(
      "The worker does not start",
      "worker.js, or a file that it needs, is missing beside this page, or this browser runs no module workers.",
    );
    const asked = {engine: ASKED.get("engine") ?? undefined, threads: Number(ASKED.get("threads")) || 0};
    this.#worker.postMessage({asked});
  }

  hurry() {}

  /** The pixels of a canvas. */
  async take(canvas) {
    return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  }

  send({width, height, data: {buffer}}, kept) {
    this.#frame++;
    this.#flying = {sent: performance.now(), kept};
    this.#worker.postMessage({frame: this.#frame, width, height, rgba: buffer}, [buffer]);
  }

  #read(message) {
    if (message.type === "loading") {
      const mega = (bytes) => (bytes / 1e6).toFixed(0);
      this.#on.state("connecting", 0, {shown: `Loading ${mega(message.loaded)} of ${mega(message.total)} MB`});
    } else if (message.type === "saying") {
      this.#on.state("connecting", 0, {shown: message.words});
    } else if (message.type === "hello") {
      const {page, device, told} = message;
      this.#ready = true;
      this.#on.state("open", 0, {said: `Ready: ${device}`});
      this.#on.hello({...page, ...told, device, engine: `onnxruntime-web ${page.runtime.version}`});
    } else if (message.type === "answer") {
      const {header, labels} = message;
      const {sent, kept} = this.#flying;
      this.#flying = null;
      this.#on.answer(header, {width: header.width, height: header.height, pixels: labels}, kept, performance.now() - sent);
    } else {
      this.#failed(message.title, message.cure);
    }
  }

  #failed(title, cure) {
    this.#worker.terminate();
    this.#ready = false;
    this.#flying = null;
    this.#on.state("gone", 0, {title, cure});
  }
}
