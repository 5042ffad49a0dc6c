/* The worst and the most different pictures by the chosen metric, and a table of all. */

const CARDS = 6;

function drawGallery() {
  const subject = DATA.shown[state.suite]?.subject;
  const names = Object.keys(shown());
  const scored = names.filter((name) => valueOf(name, subject) !== null);
  scored.sort((a, b) => (isBetter(valueOf(a, subject), valueOf(b, subject)) ? 1 : -1));
  const spread = names.filter((name) => difference(name) !== null).sort((a, b) => difference(b) - difference(a));
  byId("worst-title").textContent = `Worst for ${subject} by ${metric().title}`;
  byId("different-title").textContent = `Most different between the systems by ${metric().title}`;
  cards(byId("worst"), scored, (name) => figure(valueOf(name, subject)));
  cards(byId("different"), spread, (name) => `${figure(difference(name))} apart`);
  drawAllPictures();
}

/** How far the best and the worst system lie apart on a picture; null where fewer than two have a figure. */
function difference(image) {
  const values = systems().map((name) => valueOf(image, name)).filter((value) => value !== null);
  return values.length > 1 ? Math.max(...values) - Math.min(...values) : null;
}

function cards(place, names, text) {
  const made = names.slice(0, CARDS).map((name) => {
    const picture = shown()[name];
    const identity = picture.hr ?? Object.values(picture.outputs).find((output) => output) ?? picture.lr;
    const small = identity ? element("img", { src: source(identity), alt: "" }) : null;
    return element("button", { type: "button", click: () => openPicture(name) }, small, element("b", {}, name), element("span", {}, text(name)));
  });
  place.replaceChildren(...(made.length ? made : [element("p", { class: "hint" }, `No picture on this page has a figure for ${metric().title}.`)]));
}

function drawAllPictures() {
  const head = (text, direction) => element("th", { scope: "col", "data-better": direction.better, "data-target": direction.target }, text);
  const heads = [head("Picture", {}), ...systems().map((name) => head(name, metric())), head("Apart", { better: "higher" })];
  const rows = Object.keys(images()).map((name) => {
    const open = name in shown() ? element("button", { type: "button", class: "link", click: () => openPicture(name) }, name) : name;
    return element("tr", {}, element("th", { scope: "row" }, open), ...systems().map((system) => cell(valueOf(name, system))), cell(difference(name)));
  });
  const caption = element("caption", {}, `${metricLabel()} of each picture of ${state.suite}`);
  const table = element("table", {}, caption, element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows));
  makeSortable(table);
  byId("all-pictures").replaceChildren(table);
}

function cell(value) {
  return element("td", value === null ? { class: "missing" } : { class: "number", "data-value": value }, figure(value));
}
