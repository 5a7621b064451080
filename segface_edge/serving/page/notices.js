// What the page says: the panel over the picture, and the line of the connection.

/** Shows what is wrong with the connection, else with the source, else how to start. */
export class Notices {
  #part;
  #links;
  #start;
  #link;
  #trouble = null;
  #waiting = 0;

  /**
   * `links`: of each state of the connection {said}, or where something is wrong {title, cure, form: for a token, again:
   * it can be tried again}. `start`: {title, cure, actions: [[words, what they do], ...]}, where nothing is wrong and
   * there is no source.
   */
  constructor(part, links, start) {
    [this.#part, this.#links, this.#start] = [part, links, start];
    this.#link = links.connecting;
  }

  /** The connection: its state, seconds until it is tried again, what tries it now, and what else is known: {shown: on
   * its line, in place of what is said}, or as of `links`. */
  link(name, seconds, now, more) {
    clearInterval(this.#waiting);
    const wait = this.#part("wait");
    wait.textContent = seconds ? wait.textContent : "";
    // While it is tried again, what is wrong stays.
    if (name !== "connecting" || !this.#link.title) {
      this.#part("link").dataset.state = name;
      const known = {...this.#links[name], ...more};
      const again = seconds ? "Try now" : known.again && "Try again";
      this.#link = {...known, actions: again ? [[again, now]] : []};
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
    this.#part("connection").textContent = this.#link.shown ?? connection;
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
