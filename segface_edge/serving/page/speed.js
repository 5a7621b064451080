// How fast it goes: rates over the last seconds, and where an answer's time goes.

const WINDOW_MS = 3000;
// Of the newest answer, in the figures that are shown.
const SHARE_OF_NEW = 0.1;

/** How often a second something happens. */
class Rate {
  #times = [];

  add(now) {
    this.#times.push(now);
  }

  clear() {
    this.#times = [];
  }

  at(now) {
    this.#times = this.#times.filter((time) => now - time <= WINDOW_MS);
    const [first] = this.#times;
    return this.#times.length < 2 ? 0 : (1000 * (this.#times.length - 1)) / Math.max(now - first, 1);
  }
}

/** The panel of figures; `show` writes them, twice a second at most. */
export class Speed {
  #part;
  #parts;
  #seen = new Rate();
  #answered = new Rate();
  #answers = 0;
  #stages = new Map();
  #bars = new Map();

  /** `stages`: of an answer's time; `others`: {wait, way}, what is left of it, in words. */
  constructor(part, stages, others) {
    [this.#part, this.#parts] = [part, stages];
    for (const name of [...stages, ...Object.keys(others)]) {
      const bar = document.createElement("span");
      bar.className = `stage ${name}`;
      const entry = document.createElement("li");
      const value = document.createElement("b");
      const swatch = document.createElement("i");
      swatch.className = `stage ${name}`;
      value.textContent = "–";
      entry.append(swatch, `${others[name] ?? name} `, value);
      part("stages").append(bar);
      part("legend").append(entry);
      this.#bars.set(name, [bar, value]);
    }
  }

  frame() {
    this.#seen.add(performance.now());
  }

  answer(header, trip) {
    const ms = {...header.ms, trip};
    ms.wait = Math.max(0, ms.total - this.#parts.reduce((sum, name) => sum + (ms[name] ?? 0), 0));
    ms.way = Math.max(0, trip - ms.total);
    for (const [name, value] of Object.entries(ms)) {
      const old = this.#stages.get(name) ?? value;
      this.#stages.set(name, old + SHARE_OF_NEW * (value - old));
    }
    this.#answered.add(performance.now());
    this.#answers++;
    this.#part("rate").dataset.answers = this.#answers;
  }

  clear() {
    this.#seen.clear();
    this.#answered.clear();
    this.#stages.clear();
  }

  show(live) {
    const now = performance.now();
    const [seen, answered] = [this.#seen.at(now), this.#answered.at(now)];
    const text = (name, value, digits = 0) => {
      this.#part(name).textContent = value === undefined ? "–" : value.toFixed(digits);
    };
    text("rate", live && answered ? answered : undefined, 1);
    text("dropped", live && seen ? Math.max(0, seen - answered) : undefined, 1);
    text("trip", this.#stages.get("trip"));
    text("total", this.#stages.get("total"));
    for (const [name, [bar, value]] of this.#bars) {
      const ms = this.#stages.get(name);
      bar.style.flexGrow = ms ? ms.toFixed(2) : 0;
      value.textContent = ms === undefined ? "–" : `${ms.toFixed(1)} ms`;
    }
    return live ? answered : 0;
  }
}
