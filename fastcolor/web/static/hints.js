// Hints: colours that somebody knows, set by a click or a stroke; taken back, done again, and changed by swatches.

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const MOST_POINTS = 60; // of a stroke

export class Hints {
  /** changed: gets the new list. place: the network's likeliest colours at x, y. say: shows words. */
  constructor({ changed, place, say }) {
    Object.assign(this, { changed, place, say });
    this.on = false;
    this.list = [];
    this.past = [];
    this.future = [];
    this.at = [0.5, 0.5];
    $("hint-mode").addEventListener("click", () => this.turn(!this.on));
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

  /** able: whether the network follows hints. aspect: width by height. */
  open(list, able, aspect) {
    this.list = structuredClone(list);
    this.past = [];
    this.future = [];
    this.stroke = null;
    this.aspect = aspect;
    this.at = [0.5, 0.5];
    $("hints").hidden = !able;
    if (!able) this.turn(false);
    $("swatches").replaceChildren();
    this.show();
  }

  turn(on) {
    this.on = on;
    $("hint-mode").setAttribute("aria-pressed", String(on));
    $("stage").classList.toggle("hinting", on);
    this.cross();
  }

  begin(x, y) {
    this.stroke = { color: $("color").value, radius: Number($("radius").value), points: [[x, y]] };
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
    const { color, radius } = stroke;
    const [x, y] = points[0];
    this.become([...this.list, points.length === 1 ? { x, y, color, radius } : { points, color, radius }]);
    this.suggest(x, y);
  }

  // With the keyboard

  nudge(x, y) {
    const within = (value) => Math.min(Math.max(value, 0), 1);
    this.at = [within(this.at[0] + x), within(this.at[1] + y)];
    this.cross();
  }

  atCross() {
    this.begin(...this.at);
    this.end();
  }

  cross() {
    $("cross").hidden = !this.on;
    $("cross").style.left = `${100 * this.at[0]}%`;
    $("cross").style.top = `${100 * this.at[1]}%`;
  }

  // The list and its history

  become(list) {
    this.past.push(this.list);
    this.future = [];
    this.set(list);
  }

  set(list) {
    this.list = list;
    this.show();
    this.changed(list);
  }

  undo() {
    if (!this.past.length) return;
    this.future.push(this.list);
    this.set(this.past.pop());
    $("swatches").replaceChildren();
  }

  redo() {
    if (!this.future.length) return;
    this.past.push(this.list);
    this.set(this.future.pop());
  }

  /** Show the likeliest colours of a place; each changes the hint that was set last. */
  async suggest(x, y) {
    const index = this.list.length - 1;
    let found = [];
    try {
      found = await this.place(x, y);
    } catch (error) {
      this.say(error.message);
    }
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
    const drawn = [...this.list, ...(this.stroke ? [this.stroke] : [])].flatMap((hint) => {
      const points = hint.points ?? [[hint.x, hint.y]];
      return points.map(([x, y]) => {
        const dot = document.createElementNS(SVG, "ellipse");
        const radius = hint.radius ?? 0.02; // of the shorter side
        dot.setAttribute("cx", x);
        dot.setAttribute("cy", y);
        dot.setAttribute("rx", this.aspect > 1 ? radius / this.aspect : radius);
        dot.setAttribute("ry", this.aspect > 1 ? radius : radius * this.aspect);
        dot.setAttribute("fill", hint.color);
        dot.setAttribute("stroke", "#fff");
        dot.setAttribute("stroke-width", "1.5");
        dot.setAttribute("vector-effect", "non-scaling-stroke");
        return dot;
      });
    });
    $("marks").replaceChildren(...drawn);
    $("undo").disabled = !this.past.length;
    $("redo").disabled = !this.future.length;
    $("clear").disabled = !this.list.length;
  }
}
