// A worker: opens the model, and parses the pictures that it is sent, one after another.

import {Failure, openEngines} from "./engine.js";
import {parsed} from "./parsing.js";

let page = null;
let engine = null;
let working = Promise.resolve();

onmessage = ({data}) => {
  working = working.then(() => (data.asked ? start(data.asked) : answer(data))).catch(fail);
};

function fail(error) {
  const known = error instanceof Failure;
  const cure = known ? error.message : `${error.message ?? error}. Load the page again; if it stays, its files may be damaged.`;
  postMessage({type: "failed", title: known ? error.title : "The model cannot be run", cure});
}

async function start(asked) {
  page = await (await reply("page.json")).json();
  const loaded = new Map();
  // Whole files: bytes that are there, of all that were asked for.
  const fetched = async (name) => {
    loaded.set(name, 0);
    const content = await (await reply(name)).blob();
    const bytes = await content.arrayBuffer();
    loaded.set(name, bytes.byteLength);
    const sum = (values) => values.reduce((one, other) => one + other, 0);
    const total = sum([...loaded.keys()].map((one) => page.files[one]?.bytes ?? 0));
    postMessage({type: "loading", loaded: sum([...loaded.values()]), total});
    return bytes;
  };
  engine = await openEngines(page, asked, fetched, (words) => postMessage({type: "saying", words}));
  postMessage({type: "hello", page, device: engine.device, told: engine.told});
}

async function reply(name) {
  const found = await fetch(new URL(name, import.meta.url)).catch(() => null);
  if (!found) {
    throw new Failure("A file cannot be loaded", `${name} does not come: the server was stopped, or the network is down.`);
  }
  if (!found.ok) {
    throw new Failure("A file is missing", `${name} is not beside this page (${found.status}): copy the whole folder.`);
  }
  return found;
}

async function answer({frame, width, height, rgba}) {
  const start = performance.timeOrigin + performance.now();
  const pixels = new Uint8Array(3 * width * height);
  const from = new Uint8Array(rgba);
  for (let at = 0, to = 0; to < pixels.length; at += 4) {
    pixels[to++] = from[at];
    pixels[to++] = from[at + 1];
    pixels[to++] = from[at + 2];
  }
  const {labels, faces, ms} = await parsed({width, height, pixels}, engine, page.size);
  ms.total = performance.timeOrigin + performance.now() - start;
  postMessage({type: "answer", header: {frame, width, height, faces, ms}, labels}, [labels.buffer]);
}
