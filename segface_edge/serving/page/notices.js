// What the page says: the panel over the picture, and the line of the connection.

const LINKS = {
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

/** Shows what is wrong with the connection, else with the source, else how to start. */
export class Notices {
  #part;
  #start;
  #link = LINKS.connecting;
  #trouble = null;
  #waiting = 0;

  /** `start`: {title, cure, actions: [[words, what they do], ...]}, where nothing is wrong and there is no source. */
  constructor(part, start) {
    this.#part = part;
    this.#start = start;
  }

  /** The connection: a name of `LINKS`, seconds until it is tried again, and what tries it now. */
  link(name, seconds, now) {
    clearInterval(this.#waiting);
    const wait = this.#part("wait");
    wait.textContent = seconds ? wait.textContent : "";
    // While it is tried again, what is wrong stays.
    if (name !== "connecting" || !this.#link.title) {
      this.#part("link").dataset.state = name;
      this.#link = {...LINKS[name], actions: seconds ? [["Try now", now]] : []};
    }
    if (!seconds) return;
    const until = performance.now() + 1000 * seconds;
    const count = () => {
      wait.textContent = `Next try in ${Math.max(0, Math.ceil((until - performance.now()) / 1000))} s`;
    };
    this.#waiting = setInterval(count, 250);
    count();
  }

  /** The source: {title, cure, actions}, or null where all is well. */
  set trouble(found) {
    this.#trouble = found;
  }

  show(hasSource) {
    const shown = this.#link.title ? this.#link : (this.#trouble ?? (hasSource ? null : this.#start));
    const status = this.#part("status");
    const connection = this.#link.title ?? this.#link.said;
    this.#part("connection").textContent = connection;
    // Said aloud where it changes.
    const said = this.#link.title ? connection : (this.#trouble?.title ?? connection);
    if (status.textContent !== said) status.textContent = said;
    const panel = this.#part("notice");
    panel.hidden = !shown;
    panel.classList.toggle("bare", !hasSource);
    panel.classList.toggle("start", shown === this.#start);
    const [title] = panel.getElementsByTagName("h2");
    const cure = title.nextElementSibling;
    // What stays as it was keeps its buttons, and so the focus.
    if (!shown || (title.textContent === shown.title && cure.textContent === shown.cure)) return;
    title.textContent = shown.title;
    cure.textContent = shown.cure;
    this.#part("key").hidden = !shown.form;
    panel.querySelector(".actions").replaceChildren(...(shown.actions ?? []).map(button));
  }
}

function button([words, act], index) {
  const made = document.createElement("button");
  made.textContent = words;
  made.className = index ? "" : "main";
  made.addEventListener("click", act);
  return made;
}
