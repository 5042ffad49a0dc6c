/* Quality against cost: one mark a system, with the interval of its quality; up is better, or a line marks the best figure. */

function drawScatter() {
  const costs = Object.fromEntries(systems().map((name) => [name, DATA.systems[name]?.[state.cost]]));
  const marks = systems().filter((name) => costs[name] > 0 && Number.isFinite(DATA.suites[state.suite][name][state.metric]));
  const left = systems().filter((name) => !marks.includes(name));
  byId("scatter-note").textContent = notes(marks, left);
  const place = byId("scatter");
  if (!marks.length) return place.replaceChildren(element("p", { class: "hint" }, "No system has a figure for both axes."));

  const label = `${metricLabel()} against ${COSTS[state.cost]} on ${state.suite}`;
  const [drawing, width] = canvas(place, 370, label);
  const [top, bottom, start, end] = [30, 330, 52, width - 16];
  const rows = Object.fromEntries(marks.map((name) => [name, DATA.suites[state.suite][name]]));
  const spread = marks.flatMap((name) => [rows[name][state.metric], ...(rows[name].intervals?.[state.metric] ?? [])]);
  const { better, target } = metric();
  const best = better === "nearest" ? [target] : [];
  const [low, high] = padded([...spread, ...best].filter(Number.isFinite));
  const [cheap, dear] = [Math.min(...marks.map((name) => costs[name])) / 1.6, Math.max(...marks.map((name) => costs[name])) * 1.6];
  const x = logarithmic(cheap, dear, start, end);
  const down = better === "lower";
  const y = down ? linear(low, high, top, bottom) : linear(low, high, bottom, top);
  axisX(drawing, logTicks(cheap, dear), x, top, bottom, `${COSTS[state.cost]} (logarithmic)`);
  axisY(drawing, ticks(low, high, 6), y, start, end, `${metricLabel()} on ${state.suite}${down ? " (the axis points down)" : best.map((value) => ` (the line at ${value} is best)`)}`);
  for (const value of best) drawing.append(shape("line", { class: "target", x1: start, x2: end, y1: y(value), y2: y(value) }));

  const places = marks.map((name) => ({ name, x: x(costs[name]), y: y(rows[name][state.metric]) }));
  for (const mark of places) {
    const interval = (rows[mark.name].intervals?.[state.metric] ?? []).map((value) => y(value));
    const group = shape("g", { class: colour(mark.name) });
    group.append(shape("title", {}, `${mark.name}: ${figure(rows[mark.name][state.metric])}, ${cost(costs[mark.name])}`));
    if (interval.length) group.append(shape("line", { class: "error", x1: mark.x, x2: mark.x, y1: interval[0], y2: interval[1] }));
    group.append(shape("circle", { class: "mark", cx: mark.x, cy: mark.y, r: 6 }));
    drawing.append(group);
  }
  drawing.append(...labels(places, 4, width - 4));
}

/** What the plot leaves out, and which marks are means over fewer pictures than the others' are. */
function notes(marks, left) {
  const rows = DATA.suites[state.suite];
  const failures = (name) => Object.keys(rows[name].failed).length;
  const fewer = marks.filter((name) => failures(name)).map((name) => `${name} (${rows[name].n} of ${rows[name].n + failures(name)})`);
  return [
    left.length ? `Not in the plot, because one figure is missing: ${left.join(", ")}.` : "",
    fewer.length ? `Means over fewer pictures, not comparable with the others: ${fewer.join(", ")}.` : "",
  ].filter(Boolean).join(" ");
}

const DOWN = [0, -16, 16, -32, 32, -48, 48, -64, 64, -80, 80];

/** Names beside the marks: the nearest place in the drawing that covers no mark and no other name; a line leads to one far off. */
function labels(places, start, end) {
  const taken = places.map((mark) => ({ left: mark.x - 8, right: mark.x + 8, y: mark.y }));
  const free = (place) =>
    place.left >= start && place.right <= end &&
    !taken.some((other) => Math.abs(other.y - place.y) < 15 && other.left < place.right && place.left < other.right);
  return places.map(({ name, x, y }) => {
    const text = shortened(name, end - start);
    const long = textWidth(text);
    const sides = [x + 11, x - 11 - long, x - long / 2, end - long, start];
    const tries = DOWN.flatMap((down) => sides.map((left) => reached({ left, right: left + long, y: y + down }, x, y)));
    const place = tries.sort((a, b) => a.far - b.far).find(free) ?? tries[0];
    taken.push(place);
    return shape("g", { class: colour(name) },
      place.far > 17 ? shape("line", { class: "leader", x1: x, y1: y, x2: place.near, y2: place.y }) : null,
      shape("text", { class: "name", x: place.left, y: place.y + 4 }, text));
  });
}

/** The place of a name with its point nearest to the mark, and how far that is. */
function reached(place, x, y) {
  const near = Math.min(place.right, Math.max(place.left, x));
  return { ...place, near, far: Math.hypot(near - x, place.y - y) };
}

function shortened(text, room) {
  if (textWidth(text) <= room) return text;
  let kept = text;
  while (kept && textWidth(`${kept}…`) > room) kept = kept.slice(0, -1);
  return `${kept}…`;
}
