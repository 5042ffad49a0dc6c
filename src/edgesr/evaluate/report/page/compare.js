/* The viewer: two pictures under a divider that one drags, and beneath them the same crop of all. */

const views = new Views(byId("stage"), ({ scale }) => (byId("zoom").value = `${Number(scale.toPrecision(2))}×`));
const SYSTEM = "system:"; // before the name of a system, where input and reference are choices too

/** What can stand on a side: [value, label, identity of its picture]. */
function sides() {
  const picture = shown()[state.picture];
  if (!picture) return [];
  return [
    [INPUT, "input", picture.lr],
    [REFERENCE, "reference", picture.hr],
    ...systems().map((name) => [SYSTEM + name, name, picture.outputs[name]]),
  ].filter(([value, , identity]) => identity || value.startsWith(SYSTEM));
}

function showSuitePictures() {
  const names = Object.keys(shown());
  const total = Object.keys(images()).length;
  byId("embedded").textContent =
    names.length === total ? `This page contains all ${total} pictures of the suite.`
    : `This page contains ${names.length} of the suite's ${total} pictures: ${reasons()}. The figures cover all pictures.`;
  byId("viewer").hidden = !names.length;
  options(byId("picture"), names.map((name) => [name, name]), names[0]);
  change({ picture: names[0] ?? null });
}

function reasons() {
  const { pictures, subject } = DATA.shown[state.suite] ?? { pictures: {} };
  const of = { worst: `worst for ${subject}`, different: "most different between the systems", typical: `typical for ${subject}` };
  const counts = Object.entries(of).map(([reason, text]) => [Object.values(pictures).filter((entry) => entry.reason === reason).length, text]);
  return counts.filter(([number]) => number).map(([number, text]) => `${number} ${text}`).join(", ") || "none";
}

function showPicture() {
  const picture = shown()[state.picture];
  if (!picture) return;
  byId("picture").value = state.picture;
  const values = sides().map(([value]) => value);
  const fresh = { left: values.includes(state.left) ? state.left : values[0], right: values.includes(state.right) ? state.right : preferred(values) };
  for (const side of ["left", "right"]) options(byId(side), sides().map(([value, label]) => [value, label]), fresh[side]);
  change(fresh);
  showSides();
  showCrops();
  views.picture(picture.width, picture.height);
}

function preferred(values) {
  const subject = SYSTEM + DATA.shown[state.suite].subject;
  return values.includes(subject) ? subject : values.at(-1);
}

function showSides() {
  for (const side of ["left", "right"]) {
    const [value, label, identity] = sides().find(([value]) => value === state[side]) ?? sides()[0] ?? [];
    if (value === undefined) return;
    byId(side).value = value;
    byId(`stage-${side}`).replaceChildren(drawn(value, label, identity));
    byId(`badge-${side}`).textContent = label;
  }
  for (const button of document.querySelectorAll("#crops button")) {
    button.setAttribute("aria-pressed", String(state[button.dataset.side] === button.dataset.value));
  }
  views.pan(0, 0);
}

function drawn(value, label, identity) {
  if (!identity) return element("p", { class: "hint" }, "no picture");
  return element("img", { src: source(identity), alt: `${state.picture}, ${label}`, class: value === INPUT ? "input" : "", draggable: "false" });
}

function showCrops() {
  const frames = [];
  const crops = sides().map(([value, label, identity]) => {
    const frame = element("div", { class: "frame" }, drawn(value, label, identity));
    frames.push(frame);
    const pick = (side, text) =>
      element("button", { type: "button", "data-side": side, "data-value": value, "aria-label": `${label} on the ${side}`, click: () => change({ [side]: value }) }, text);
    const caption = element("figcaption", {}, element("b", {}, label), element("span", { class: "group" }, pick("left", "◧"), pick("right", "◨")));
    return element("figure", {}, frame, caption, element("small", {}, figures(value)));
  });
  byId("crops").replaceChildren(...crops);
  views.others = frames;
  showSides();
}

function figures(value) {
  if (!value.startsWith(SYSTEM)) return "";
  const measured = images()[state.picture][value.slice(SYSTEM.length)] ?? {};
  const known = Object.keys(DATA.metrics).filter((name) => Number.isFinite(measured[name]));
  return known.map((name) => `${DATA.metrics[name].title} ${figure(measured[name])}`).join(" · ") || "failed";
}

function openPicture(name) {
  change({ picture: name });
  byId("viewer").scrollIntoView({ block: "start" });
}

function step(by) {
  const names = Object.keys(shown());
  change({ picture: names[(names.indexOf(state.picture) + by + names.length) % names.length] });
}

/** Move the divider to `part` per cent of the stage. */
function divide(part) {
  const at = Math.round(Math.min(100, Math.max(0, part)));
  byId("divider").style.left = `${at}%`;
  byId("stage-right").style.clipPath = `inset(0 0 0 ${at}%)`;
  byId("divider").setAttribute("aria-valuenow", at);
  byId("divider").setAttribute("aria-valuetext", `${at} % left, ${100 - at} % right`);
}

function divideByKey(event) {
  const now = Number(byId("divider").getAttribute("aria-valuenow"));
  const large = event.shiftKey ? 10 : 2;
  const to = {
    ArrowLeft: now - large, ArrowDown: now - large, ArrowRight: now + large, ArrowUp: now + large,
    PageDown: now - 10, PageUp: now + 10, Home: 0, End: 100,
  }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  divide(to);
}

function startViewer() {
  const divider = byId("divider");
  divider.addEventListener("keydown", divideByKey);
  divider.addEventListener("pointerdown", (event) => {
    event.stopPropagation(); // the stage under it would pan
    divider.setPointerCapture(event.pointerId);
  });
  divider.addEventListener("dblclick", (event) => event.stopPropagation());
  divider.addEventListener("pointermove", (event) => {
    if (!divider.hasPointerCapture(event.pointerId)) return;
    event.stopPropagation();
    const box = byId("stage").getBoundingClientRect();
    divide((100 * (event.clientX - box.left)) / box.width);
  });
  divide(50);
  byId("swap").addEventListener("click", () => change({ left: state.right, right: state.left }));
  byId("zoom-in").addEventListener("click", () => views.zoom(WIDER));
  byId("zoom-out").addEventListener("click", () => views.zoom(1 / WIDER));
  byId("fit").addEventListener("click", () => views.fit());
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  for (const name of ["picture", "left", "right"]) byId(name).addEventListener("change", (event) => change({ [name]: event.target.value }));
}
