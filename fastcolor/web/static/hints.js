// Hints: colours that somebody knows, set by a click or a stroke; taken back, done again, and changed by swatches.

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const MOST_POINTS = 60; // of a stroke

export class Hints {
  /**
   * changed: gets the new list, and what else belongs to its history. refuse: gets both before; why they cannot be so,
   * or "". place: the network's likeliest colours at x, y and a time. say: shows words.
   */
  constructor({ changed, refuse, place, say }) {
    Object.assign(this, { changed, refuse, place, say });
    this.on = false;
    this.list = [];
    this.rest = {};
    this.past = [];
    this.future = [];
    this.histories = new Map();
    this.at = [0.5, 0.5];
    this.keyboard = false; // who points needs no cross
    $("hint-mode").addEventListener("click", (event) => {
      this.keyboard = event.detail === 0; // by Enter or the space bar
      this.turn(!this.on);
    });
    $("undo").addEventListener("click", () => this.undo());
    $("redo").addEventListener("click", () => this.redo());
    $("clear").addEventListener("click", () => this.become([]));
    addEventListener("keydown", (event) => {
      if (!(event.ctrlKey || event.metaKey) || $("viewer").hidden) return;
      const key = event.key.toLowerCase();
      if (key === "z") event.shiftKey ? this.redo() : this.undo();
      else if (key === "y") this.redo();
      else return;
      event.preventDefault();
    });
  }

  /**
   * key: of what is opened, whose history goes on; what else was said meanwhile, as by a project, is a step of it, which
   * can be taken back. list, rest: as `changed` gets them. able: whether the network follows hints. aspect: width by
   * height. on: the ids of the elements that are clicked on, drawn on, and of the cross. time: which second of a film is
   * shown, null where that is not known.
   */
  open({ key, list, rest = {}, able, aspect, on = ["stage", "marks", "cross"], time = null }) {
    const said = JSON.stringify([list, rest]);
    if (this.key) this.histories.set(this.key, { past: this.past, future: this.future, said: JSON.stringify([this.list, this.rest]) });
    const before = this.histories.get(key);
    const { past = [], future = [] } = before ?? {};
    [this.past, this.future] = (before?.said ?? said) === said ? [past, future] : [[...past, JSON.parse(before.said)], []];
    this.key = key;
    this.list = structuredClone(list);
    this.rest = structuredClone(rest);
    this.stroke = null;
    this.aspect = aspect;
    this.time = time;
    this.at = [0.5, 0.5];
    if (this.places && this.places.join() !== on.join()) this.turn(false);
    this.places = on;
    $("swatches").replaceChildren();
    this.allow(able);
    this.show();
  }

  allow(able) {
    $("hints").hidden = !able;
    if (!able) this.turn(false);
  }

  turn(on) {
    this.on = on;
    $("hint-mode").setAttribute("aria-pressed", String(on));
    for (const id of ["stage", "frame"]) $(id).classList.toggle("hinting", on);
    this.cross();
  }

  begin(x, y) {
    const time = this.time?.() ?? undefined;
    if (this.time && time === undefined) return this.say("The preview of this shot is being painted; a moment more.");
    this.say("");
    this.stroke = { color: $("color").value, radius: Number($("radius").value), points: [[x, y]], time };
    this.show();
  }

  extend(x, y) {
    if (!this.stroke) return;
    const [lastX, lastY] = this.stroke.points.at(-1);
    if (Math.hypot((x - lastX) * this.aspect, y - lastY) < this.stroke.radius / 2) return;
    this.stroke.points.push([x, y]);
    this.show();
  }

  drop() {
    this.stroke = null;
    this.show();
  }

  end() {
    const stroke = this.stroke;
    this.stroke = null;
    if (!stroke) return;
    let points = stroke.points.filter(([x, y]) => x >= 0 && x <= 1 && y >= 0 && y <= 1);
    if (!points.length) return this.show();
    const every = Math.ceil(points.length / MOST_POINTS);
    points = points.filter((_, index) => index % every === 0);
    const { color, radius, time } = stroke;
    const [x, y] = points[0];
    const more = time === undefined ? { color, radius } : { color, radius, time };
    const said = this.become([...this.list, points.length === 1 ? { x, y, ...more } : { points, ...more }]);
    if (said) this.suggest(x, y, time);
  }

  // With the keyboard

  nudge(x, y) {
    const within = (value) => Math.min(Math.max(value, 0), 1);
    this.keyboard = true;
    this.at = [within(this.at[0] + x), within(this.at[1] + y)];
    this.cross();
  }

  atCross() {
    this.begin(...this.at);
    this.end();
  }

  cross() {
    for (const id of ["cross", "film-cross"]) $(id).hidden = !(this.on && this.keyboard && this.places?.includes(id));
    const cross = $(this.places?.[2] ?? "cross");
    cross.style.left = `${100 * this.at[0]}%`;
    cross.style.top = `${100 * this.at[1]}%`;
  }

  // What was said, and its history

  /** Have this said from now on; whether it can be. */
  become(list, rest = this.rest) {
    const words = this.refuse(list, rest);
    if (words) {
      this.say(words);
      this.show();
      return false;
    }
    this.past.push([this.list, this.rest]);
    this.future = [];
    this.set([list, rest]);
    return true;
  }

  set([list, rest]) {
    this.list = list;
    this.rest = rest;
    this.show();
    this.changed(list, rest);
  }

  undo() {
    if (!this.past.length) return;
    this.future.push([this.list, this.rest]);
    this.set(this.past.pop());
    $("swatches").replaceChildren();
  }

  redo() {
    if (!this.future.length) return;
    this.past.push([this.list, this.rest]);
    this.set(this.future.pop());
  }

  /** Show the likeliest colours of a place; each changes the hint that was set last. */
  async suggest(x, y, time) {
    const index = this.list.length - 1, { key } = this;
    let found = [];
    try {
      found = await this.place(x, y, time);
    } catch (error) {
      if (this.key === key) this.say(error.message);
    }
    if (this.key !== key) return; // another picture is open by now, whose hints these are not
    $("swatches").replaceChildren(...found.map(({ color, probability }) => {
      const button = document.createElement("button");
      button.style.background = color;
      button.title = `${color}, ${Math.round(100 * probability)} %`;
      button.setAttribute("aria-label", `${color}, likely to ${Math.round(100 * probability)} percent`);
      button.addEventListener("click", () => {
        $("color").value = color;
        if (this.list[index]) this.become(this.list.map((one, at) => (at === index ? { ...one, color } : one)));
      });
      return button;
    }));
  }

  show() {
    const now = this.time?.();
    const drawn = [...this.list, ...(this.stroke ? [this.stroke] : [])].flatMap((hint) => {
      const points = hint.points ?? [[hint.x, hint.y]];
      const away = hint.time !== undefined && Math.abs(hint.time - (now ?? hint.time)) > 0.25;
      return points.map(([x, y]) => {
        const dot = document.createElementNS(SVG, "ellipse");
        const radius = hint.radius ?? 0.02; // of the shorter side
        dot.setAttribute("cx", x);
        dot.setAttribute("cy", y);
        dot.setAttribute("rx", this.aspect > 1 ? radius / this.aspect : radius);
        dot.setAttribute("ry", this.aspect > 1 ? radius : radius * this.aspect);
        dot.setAttribute("fill", hint.color);
        dot.setAttribute("opacity", away ? "0.35" : "1"); // set in another frame
        dot.setAttribute("stroke", "#fff");
        dot.setAttribute("stroke-width", "1.5");
        dot.setAttribute("vector-effect", "non-scaling-stroke");
        return dot;
      });
    });
    $(this.places?.[1] ?? "marks").replaceChildren(...drawn);
    $("undo").disabled = !this.past.length;
    $("redo").disabled = !this.future.length;
    $("clear").disabled = !this.list.length;
  }
}
