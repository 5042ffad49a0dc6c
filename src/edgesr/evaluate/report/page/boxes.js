/* Box plots over the pictures, one a system, and the table of paired wins. */

const ROW = 46;

function drawBoxes() {
  const place = byId("boxes");
  const rows = systems()
    .map((name) => [name, Object.keys(images()).map((image) => [image, valueOf(image, name)]).filter(([, value]) => value !== null)])
    .filter(([, values]) => values.length);
  byId("boxes-note").hidden = !rows.length;
  if (!rows.length) return place.replaceChildren(element("p", { class: "hint" }, `${metric().title} has no figures for single pictures.`));

  const [drawing, width] = canvas(place, ROW * rows.length + 44, `${metricLabel()} of each picture of ${state.suite}, one box for each system`);
  const [low, high] = padded(rows.flatMap(([, values]) => values.map(([, value]) => value)), 0.03);
  const bottom = ROW * rows.length;
  const x = linear(low, high, 10, width - 10);
  axisX(drawing, ticks(low, high, width < 500 ? 4 : 8), x, 0, bottom, `${metricLabel()} on ${state.suite} (${metric().better === "nearest" ? `nearest to ${metric().target} is best` : `${metric().better} is better`})`);
  rows.forEach(([name, values], index) => drawing.append(box(name, values, x, ROW * index, width)));
}

function box(name, values, x, top, width) {
  const sorted = values.map(([, value]) => value).sort((a, b) => a - b);
  const [first, median, third] = [0.25, 0.5, 0.75].map((part) => quantile(sorted, part));
  const reach = 1.5 * (third - first);
  const low = sorted.find((value) => value >= first - reach);
  const high = sorted.findLast((value) => value <= third + reach);
  const middle = top + 30;
  const group = shape("g", { class: colour(name) });
  group.append(shape("title", {}, `${name}: median ${figure(median)}, middle half ${figure(first)} to ${figure(third)}`));
  group.append(shape("text", { class: "name", x: Math.max(4, Math.min(x(sorted[0]), width - 4 - textWidth(name))), y: top + 14 }, name));
  group.append(shape("line", { class: "whisker", x1: x(low), x2: x(high), y1: middle, y2: middle }));
  group.append(shape("rect", { class: "box", x: x(first), y: middle - 8, width: Math.max(1, x(third) - x(first)), height: 16, rx: 2 }));
  group.append(shape("line", { class: "median", x1: x(median), x2: x(median), y1: middle - 8, y2: middle + 8 }));
  for (const [image, value] of values) {
    const dot = shape("circle", { class: image in shown() ? "dot open" : "dot", cx: x(value), cy: middle, r: 3.5 });
    dot.append(shape("title", {}, `${image}: ${figure(value)} (${name})`));
    if (image in shown()) dot.addEventListener("click", () => openPicture(image));
    group.append(dot);
  }
  return group;
}

/** Linear between the two nearest, as NumPy does. */
function quantile(sorted, part) {
  const place = part * (sorted.length - 1);
  const below = Math.floor(place);
  return sorted[below] + (place - below) * ((sorted[below + 1] ?? sorted[below]) - sorted[below]);
}

function drawWins() {
  const wins = DATA.win_rates[state.suite]?.[state.metric] ?? {};
  const names = systems().filter((name) => name in wins);
  byId("wins-note").hidden = !names.length;
  if (!names.length) return byId("wins").replaceChildren(element("p", { class: "hint" }, `${metric().title} has no figures for single pictures.`));
  const head = element("tr", {}, element("th", { scope: "col" }, "beats"), ...names.map((name) => element("th", { scope: "col" }, name)));
  const rows = names.map((name) => element("tr", {}, element("th", { scope: "row" }, name), ...names.map((other) => win(wins[name][other]))));
  const caption = element("caption", {}, `Paired wins by ${metric().title} on ${state.suite}`);
  byId("wins").replaceChildren(element("table", { class: "wins" }, caption, element("thead", {}, head), element("tbody", {}, ...rows)));
}

function win(rate) {
  if (rate === undefined || rate === null) return element("td", { class: "missing" }, "–");
  return element("td", { class: `heat-${Math.min(4, Math.floor(rate * 5))}` }, share(rate));
}
