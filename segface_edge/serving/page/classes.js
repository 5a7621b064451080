// The list of classes: switched on and off, with colours and shares of the picture; a choice for each effect.

// What people call them; others are shown as the model names them.
const WORDS = {
  l_ear: "left ear", r_ear: "right ear", l_brow: "left brow", r_brow: "right brow", l_eye: "left eye",
  r_eye: "right eye", u_lip: "upper lip", l_lip: "lower lip", eye_g: "glasses", ear_r: "earrings",
  neck_l: "necklace", cloth: "clothes",
};
// What an effect is for until the user chooses.
const FIRST = {
  colour: (name) => name !== "background",
  blur: (name) => name === "background",
  dye: (name) => name === "hair",
};

export class Classes {
  #list;
  #changed;
  #rows = [];
  #choices = {};
  #effect = "colour";
  names = [];
  colours = [];

  constructor(list, changed) {
    this.#list = list;
    this.#changed = changed;
  }

  /** Takes the server's classes; choices stay where they are the same as before. */
  fill(classes) {
    const names = classes.map((one) => one.name);
    const same = names.join() === this.names.join();
    this.names = names;
    this.colours = classes.map((one) => one.color);
    if (same) return;
    this.#choices = {};
    this.#list.replaceChildren();
    this.#rows = names.map((name, id) => {
      const row = document.createElement("li");
      const label = document.createElement("label");
      const box = Object.assign(document.createElement("input"), {type: "checkbox", name: "class", value: id});
      const swatch = document.createElement("i");
      swatch.style.backgroundColor = this.colours[id];
      const share = document.createElement("small");
      label.append(box, swatch, this.word(id), share);
      row.append(label);
      this.#list.append(row);
      box.addEventListener("change", () => this.#set((chosen) => (box.checked ? chosen.add(id) : chosen.delete(id))));
      return {box, share, row};
    });
    this.show(this.#effect);
  }

  word(id) {
    const name = this.names[id] ?? `class ${id}`;
    return WORDS[name] ?? name.replaceAll("_", " ");
  }

  /** Ids that the effect is for. */
  get chosen() {
    this.#choices[this.#effect] ??= new Set([...this.names.keys()].filter((id) => FIRST[this.#effect](this.names[id])));
    return this.#choices[this.#effect];
  }

  show(effect) {
    this.#effect = effect;
    for (const [id, {box}] of this.#rows.entries()) box.checked = this.chosen.has(id);
  }

  choose(wanted) {
    this.#set((chosen) => {
      for (const id of this.names.keys()) {
        if (wanted === "all" || (wanted === "turn" && !chosen.has(id))) chosen.add(id);
        else chosen.delete(id);
      }
    });
    this.show(this.#effect);
  }

  /** Pixels by id -> the list's shares, and the words for those that are there. */
  shares(areas) {
    const whole = areas.reduce((sum, area) => sum + area, 0);
    const said = [];
    for (const [id, {share, row}] of this.#rows.entries()) {
      const part = whole && areas[id] / whole;
      const text = part === 0 ? "" : part < 0.01 ? "<1 %" : `${Math.round(100 * part)} %`;
      share.textContent = text;
      row.classList.toggle("absent", whole > 0 && part === 0);
      if (part && id) said.push(`${this.word(id)} ${text}`);
    }
    return said;
  }

  #set(change) {
    change(this.chosen);
    this.#changed();
  }
}
