// The live page: what its controls do, and which frame goes when.

import {Classes} from "./classes.js";
import {Connection, lacking, LINKS, OTHERS, ROWS, STAGES, WORDS} from "./connection.js";
import {areas, bounded, Drawing, readsExactly} from "./drawing.js";
import {Notices} from "./notices.js";
import {cameras, openCamera, openFile, Problem} from "./source.js";
import {Speed} from "./speed.js";

const FIGURES_EVERY_MS = 500;
const STRENGTHS = {colour: "Opacity", blur: "Blur", dye: "Strength"};
const part = (name) => document.getElementById(name);
const picture = part("picture");

let source = null;
let answer = null; // {number, sent, labels, boxes} of the latest one; `sent` is the canvas whose picture was sent
let paused = false;
let fresh = false; // there is a picture that was not sent yet
let taking = false;
let asked = false; // drawing was asked for
let spare = []; // canvases to send from

const look = {effect: "colour", strength: 0.55, mirrored: false, boxes: [], dye: part("dye").value};
const strengths = {colour: 55, blur: 60, dye: 80};
const drawing = new Drawing(picture);
const classes = new Classes(part("classes"), redraw);
const speed = new Speed(part, STAGES, OTHERS);
const connection = new Connection({hello, answer: answered, refused, state: connected});
const useCamera = (id) => take(() => openCamera(id), "Allow the camera where the browser asks for it.");
const useSample = () => take(openSample);
const choose = () => part("chosen").click();
const notices = new Notices(part, LINKS, {
  title: "See a face, part by part",
  cure: "Choose where the picture comes from, or drop a photo or a video here.",
  actions: [["Start the camera", () => useCamera()], ["Photo or video", choose], ["Try a sample", useSample]],
});

// Frames. The newest counts: one is sent when there is room, and none waits in a queue.

function seen() {
  speed.frame();
  fresh = true;
  if (!answer || !part("step").checked) redraw();
  send();
}

async function send() {
  if (!source || paused || !fresh || taking || !connection.ready) return;
  fresh = false;
  taking = true;
  const from = source;
  const sent = spare.pop() ?? document.createElement("canvas");
  [sent.width, sent.height] = bounded(source.width, source.height, Number(part("side").value));
  sent.getContext("2d", {alpha: false, willReadFrequently: true}).drawImage(source.picture, 0, 0, sent.width, sent.height);
  const taken = await connection.take(sent).catch(() => null);
  taking = false;
  if (taken && from === source && !paused && connection.ready) connection.send(taken, {from, sent});
  else fresh = true;
  if (taken) send();
}

async function answered(header, found, {from, sent}, trip) {
  send();
  const labels = await found;
  if (from !== source || paused || header.frame <= answer?.number) return;
  if (answer && spare.length < 4) spare.push(answer.sent);
  answer = {number: header.frame, sent, labels, boxes: header.faces.map((face) => face.box)};
  speed.answer(header, trip);
  redraw();
}

function refused(message) {
  trouble(new Problem("The server cannot read this picture", message));
}

// Drawing: once per picture that the screen shows at most, and only where something changed.

function redraw() {
  if (!asked) requestAnimationFrame(draw);
  asked = true;
}

function draw() {
  asked = false;
  if (!source) return;
  const inStep = answer && source.live && (paused || part("step").checked);
  const shown = inStep ? answer.sent : source.picture;
  const {width, height} = inStep ? answer.sent : source;
  look.boxes = answer && part("boxes").checked ? answer.boxes : [];
  look.chosen = classes.chosen;
  look.colours = classes.colours;
  drawing.draw(shown, width, height, answer?.labels ?? null, look);
  part("stage").style.aspectRatio = Math.min(Math.max(width / height, 3 / 4), 16 / 9);
}

// Sources.

async function take(open, wait = "") {
  notices.trouble = wait ? {title: "Waiting", cure: wait} : null;
  say();
  // Some machines give one camera at a time.
  if (source?.kind === "camera") leave();
  let found;
  try {
    found = await open();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    trouble(error);
    return;
  }
  leave();
  source = found;
  source.lost = () => {
    if (source !== found) return;
    leave();
    trouble(new Problem("The camera is gone", "Connect it again, or choose another source."));
  };
  part("mirror").checked = look.mirrored = source.kind === "camera" && !source.back;
  part("pause").disabled = !source.live;
  part("save").disabled = false;
  notices.trouble = null;
  source.watch(() => source === found && !paused && seen());
  pause(false);
  say();
  if (source.kind === "camera") listCameras();
}

function leave() {
  source?.end();
  source = answer = null;
  spare = [];
  part("pause").disabled = part("save").disabled = true;
}

async function openSample() {
  const reply = await fetch("sample.jpg").catch(() => null);
  if (!reply?.ok) throw new Problem("The sample is not to be had", "The server does not answer: try again.");
  return openFile(new File([await reply.blob()], "sample.jpg", {type: "image/jpeg"}));
}

async function listCameras() {
  const options = (await cameras()).map(
    ({label, deviceId}, index) => new Option(label || `Camera ${index + 1}`, deviceId, false, deviceId === source?.id),
  );
  part("which").hidden = options.length === 0;
  part("cameras").replaceChildren(...options);
}

// What the page says.

function say() {
  notices.show(source !== null);
}

function trouble(problem) {
  const actions = [["Try the camera again", () => useCamera()], ["Use a photo or video", choose]];
  if (source) actions.push(["Close", () => trouble(null)]);
  notices.trouble = problem && {title: problem.title, cure: problem.message, actions};
  say();
}

function connected(state, seconds, more = {}) {
  notices.link(state, seconds, () => connection.connect(), more);
  if (state === "open") {
    speed.clear();
    remember(connection.token);
  }
  say();
}

function remember(token) {
  try {
    sessionStorage.setItem("token", token);
  } catch {
    // Storage may be forbidden: then it is asked for again.
  }
}

function remembered() {
  try {
    return sessionStorage.getItem("token") ?? "";
  } catch {
    return "";
  }
}

function hello(server) {
  classes.fill(server.classes);
  const rows = ROWS.filter((name) => server[name]).map((name) => {
    const row = document.createElement("div");
    row.append(document.createElement("dt"), document.createElement("dd"));
    row.firstChild.textContent = name;
    row.lastChild.textContent = server[name];
    return row;
  });
  part("model").replaceChildren(...rows);
  part("served").textContent = [server.backbone, server.device, server.engine].filter(Boolean).join(" · ");
  fresh = true;
  redraw();
  send();
}

function figures() {
  const rate = speed.show(Boolean(source?.live) && !paused);
  part("badge").hidden = !rate;
  part("badge").firstElementChild.textContent = rate.toFixed(rate < 10 ? 1 : 0);
  const parts = classes.shares(answer ? areas(answer.labels, classes.names.length) : []);
  const there = parts.join(", ") || (answer ? "no face" : "not parsed yet");
  picture.setAttribute("aria-label", source ? `${source.kind}: ${there}` : "No picture yet");
}

// Controls.

function pause(wanted) {
  paused = wanted;
  part("pause").setAttribute("aria-pressed", String(paused));
  source?.hold(paused);
  speed.clear();
  if (!paused) fresh = true;
  redraw();
  send();
}

function setEffect(effect) {
  look.effect = effect;
  look.strength = strengths[effect] / 100;
  part("strength").labels[0].textContent = STRENGTHS[effect];
  part("strength").value = strengths[effect];
  part("dyes").hidden = effect !== "dye";
  classes.show(effect);
  redraw();
}

function setStrength(percent) {
  strengths[look.effect] = percent;
  look.strength = percent / 100;
  redraw();
}

function save() {
  picture.toBlob((png) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(png);
    link.download = `segface-${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}

function point({clientX, clientY}) {
  // The canvas lies in the middle of its box, as large as fits.
  const box = picture.getBoundingClientRect();
  const scale = Math.min(box.width / picture.width, box.height / picture.height);
  const across = (clientX - box.x - box.width / 2) / (scale * picture.width) + 0.5;
  const down = (clientY - box.y - box.height / 2) / (scale * picture.height) + 0.5;
  const id = source && drawing.idAt(across, down, look.mirrored);
  part("under").hidden = id === null;
  if (id !== null) part("under").textContent = classes.word(id);
}

const on = (name, event, act) => part(name).addEventListener(event, act);
on("camera", "click", () => useCamera());
on("file", "click", choose);
on("sample", "click", useSample);
on("chosen", "change", ({target}) => {
  const [file] = target.files;
  if (file) take(() => openFile(file));
  target.value = ""; // so that the same one can be chosen again
});
on("cameras", "change", ({target}) => useCamera(target.value));
on("side", "change", () => {
  fresh = true;
  send();
});
on("pause", "click", () => pause(!paused));
on("save", "click", save);
on("mirror", "change", ({target}) => {
  look.mirrored = target.checked;
  redraw();
});
on("step", "change", redraw);
on("boxes", "change", redraw);
on("strength", "input", ({target}) => setStrength(Number(target.value)));
on("dye", "input", ({target}) => {
  look.dye = target.value;
  redraw();
});
for (const name of ["all", "none", "turn"]) on(name, "click", () => classes.choose(name));
for (const one of document.getElementsByName("effect")) one.addEventListener("change", () => setEffect(one.value));
on("key", "submit", (event) => {
  event.preventDefault();
  connection.token = part("token").value.trim();
  connection.connect();
});
picture.addEventListener("pointermove", point);
picture.addEventListener("pointerleave", () => (part("under").hidden = true));
window.addEventListener("online", () => connection.hurry());

// Space pauses, but where the focus is on something that Space works by itself.
document.addEventListener("keydown", (event) => {
  if (event.key !== " " || event.repeat || part("pause").disabled) return;
  if (event.target.closest("button, select, input:not([type=range])")) return;
  event.preventDefault();
  pause(!paused);
});

for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    part("stage").classList.toggle("dropping", name === "dragover");
    const file = name === "drop" && event.dataTransfer.files[0];
    if (file) take(() => openFile(file));
  });
}

// A token may come in the address behind #, which browsers send to nobody; it is taken out of sight, and kept for as
// long as this tab is open. A plus sign in it is no space.
connection.token = new URLSearchParams(location.hash.slice(1).replaceAll("+", "%2B")).get("token") ?? remembered();
if (location.hash) history.replaceState(null, "", location.pathname + location.search);
for (const [id, words] of Object.entries(WORDS)) part(id).textContent = words;
setEffect("colour");
if (lacking()) {
  trouble(new Problem(...lacking()));
} else if (!readsExactly()) {
  const cure = "Its guard against fingerprinting adds noise to pictures, and to label maps with them. Allow this page to read its canvas, and load it again.";
  trouble(new Problem("This browser changes what is drawn", cure));
} else {
  connection.connect();
  setInterval(figures, FIGURES_EVERY_MS);
}
