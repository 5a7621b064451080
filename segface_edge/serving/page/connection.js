// The WebSocket to the server: frames out, label maps in; what went wrong, and when it is tried again.

import {decoded} from "./drawing.js";
import {jpegOf} from "./encoding.js";

// What the page says of this connection in other words than index.html, by the parts' ids.
export const WORDS = {};
export const LINKS = {
  connecting: {said: "Connecting to the server"},
  open: {said: "Connected"},
  busy: {
    title: "The server is busy",
    cure: "All its places are taken. This page tries again by itself, as soon as there may be one.",
  },
  gone: {
    title: "The server does not answer",
    cure: "It was stopped, or the network is down. This page tries again by itself, and goes on where it was.",
  },
  blocked: {
    title: "Something in between lets no WebSocket through",
    cure: "The server answers, but a proxy or a filter on the way stops the live connection: let it pass /v1/live.",
  },
  needed: {title: "This server asks for a token", cure: "It is the one that the server was started with.", form: true},
  wrong: {title: "This token is not the server's", cure: "It is the one that the server was started with.", form: true},
};
// The server's stages, in the order in which they happen. What is left of its time, a frame waited for the one before
// it; what is left of the round trip is the way there and back.
export const STAGES = ["decode", "faces", "inference", "restore", "encode"];
export const OTHERS = {wait: "waiting its turn", way: "there and back"};
// The rows of the panel "Model".
export const ROWS = ["model", "backbone", "device", "engine", "version"];
export const MOST_IN_FLIGHT = 2;
const PROTOCOL = "segface-edge.live";
const TOKEN_PROTOCOL = "segface-edge.token.";
const LONGEST_ANSWER_MS = 20000;
const LONGEST_WAIT_S = 15;
const NUMBER_BYTES = 4;

/** What this browser lacks: [title, cure], or null. */
export function lacking() {
  if ("WebSocket" in window) return null;
  return ["This browser has no WebSocket", "The page needs one: use a browser of the last ten years."];
}

/** A frame, the ArrayBuffer of a picture's file, with its number in front, as the server takes it. */
export function packed(frame, picture) {
  const message = new Uint8Array(NUMBER_BYTES + picture.byteLength);
  new DataView(message.buffer).setUint32(0, frame, true);
  message.set(new Uint8Array(picture), NUMBER_BYTES);
  return message;
}

/** The header and the label map's PNG of a server's binary message. */
export function unpacked(message) {
  const length = new DataView(message).getUint32(0, true);
  const text = new TextDecoder().decode(new Uint8Array(message, NUMBER_BYTES, length));
  return [JSON.parse(text), new Blob([new Uint8Array(message, NUMBER_BYTES + length)], {type: "image/png"})];
}

/** A token as the name of a subprotocol, since a page can set no header of a WebSocket: base64url without padding. */
function hidden(token) {
  const bytes = String.fromCharCode(...new TextEncoder().encode(token));
  return TOKEN_PROTOCOL + btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/**
 * Calls `on.hello(document)`, `on.answer(header, labels, kept, milliseconds)`, `labels` a promise of what `decoded` gives, `on.refused(message)` of a picture that
 * the server cannot read, and `on.state(name, seconds)`: connecting, open, busy, gone, blocked, needed, wrong (the
 * token). The seconds are those until the next try, 0 where there is none.
 */
export class Connection {
  #on;
  #socket = null;
  #frame = 0;
  #flying = new Map(); // frame -> {sent, kept}, in the order in which they were sent
  #failures = 0;
  #timer = 0;
  #busy = null;
  #greeted = false;
  token = "";

  constructor(on) {
    this.#on = on;
    setInterval(() => this.#notice(), 1000);
  }

  /** Whether one more frame may be sent. */
  get ready() {
    return this.#greeted && this.#socket.readyState === WebSocket.OPEN && this.#flying.size < MOST_IN_FLIGHT;
  }

  connect() {
    this.#drop();
    this.#on.state("connecting", 0);
    const address = new URL("v1/live", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    address.search = address.hash = "";
    const socket = new WebSocket(address, this.token ? [PROTOCOL, hidden(this.token)] : [PROTOCOL]);
    socket.binaryType = "arraybuffer";
    socket.onmessage = (event) => this.#read(event.data);
    socket.onclose = () => this.#closed();
    this.#socket = socket;
  }

  /** Tries again now, where it would be tried later. */
  hurry() {
    if (!this.#socket && this.#timer) this.connect();
  }

  /** What `send` takes of a canvas; null where there is none. */
  take(canvas) {
    return jpegOf(canvas);
  }

  /** Sends a picture, as `take` gave it; `kept` comes back with its answer. */
  send(picture, kept) {
    this.#frame = (this.#frame + 1) % 2 ** 32;
    this.#flying.set(this.#frame, {sent: performance.now(), kept});
    this.#socket.send(packed(this.#frame, picture));
  }

  #read(data) {
    if (typeof data !== "string") {
      const [header, png] = unpacked(data);
      const flown = this.#landed(header.frame);
      if (flown) this.#on.answer(header, decoded(png), flown.kept, performance.now() - flown.sent);
      return;
    }
    const document = JSON.parse(data);
    if (document.type === "hello") {
      this.#greeted = true;
      this.#failures = 0;
      this.#on.state("open", 0);
      this.#on.hello(document);
    } else if (document.type === "busy") {
      this.#busy = document;
    } else if (document.type === "error") {
      this.#landed(document.frame);
      this.#on.refused(document.message);
    }
  }

  // What was sent before an answered frame gets no answer any more: the server took the newer one.
  #landed(frame) {
    const flown = this.#flying.get(frame);
    if (!flown) return undefined;
    for (const earlier of this.#flying.keys()) {
      this.#flying.delete(earlier);
      if (earlier === frame) break;
    }
    return flown;
  }

  async #closed() {
    const [busy, greeted] = [this.#busy, this.#greeted];
    this.#drop();
    if (busy) {
      this.#again("busy", busy.retry_after ?? 5);
      return;
    }
    const found = greeted ? "gone" : await this.#reason();
    if (this.#socket) return; // connected meanwhile, by hand
    if (found === "needed" || found === "wrong") this.#on.state(found, 0);
    else this.#again(found, Math.min(2 ** this.#failures++, LONGEST_WAIT_S));
  }

  // A browser does not tell a page why a WebSocket was refused; an ordinary request does.
  async #reason() {
    const headers = this.token ? {Authorization: `Bearer ${this.token}`} : {};
    const reply = await fetch("v2", {headers}).catch(() => null);
    if (reply?.status === 401) return this.token ? "wrong" : "needed";
    return reply?.ok ? "blocked" : "gone";
  }

  #again(state, seconds) {
    this.#timer = setTimeout(() => this.connect(), 1000 * seconds);
    this.#on.state(state, seconds);
  }

  #drop() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    if (this.#socket) {
      this.#socket.onmessage = this.#socket.onclose = null;
      this.#socket.close();
    }
    this.#socket = this.#busy = null;
    this.#greeted = false;
    this.#flying.clear();
  }

  // A network that was cut off closes nothing.
  #notice() {
    const [oldest] = this.#flying.values();
    if (oldest && performance.now() - oldest.sent > LONGEST_ANSWER_MS) this.#closed();
  }
}
