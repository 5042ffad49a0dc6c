/* What is shown now, and who must know when it changes. */

const DATA = JSON.parse(byId("data").textContent);
const INPUT = "input", REFERENCE = "reference"; // the two pictures of a comparison that no system made
const COSTS = {
  seconds_per_megapixel: "seconds per output megapixel", gflops: "GFLOPs a tile", parameters: "parameters", peak_rss_mb: "peak memory, MB",
};

const state = { suite: null, metric: null, cost: "seconds_per_megapixel", picture: null, left: null, right: null };
const watchers = []; // [fields, function]: called when one of the fields has changed

function watch(fields, call) {
  watchers.push([fields, call]);
}

function change(fields) {
  const changed = Object.keys(fields).filter((name) => state[name] !== fields[name]);
  Object.assign(state, fields);
  for (const [names, call] of watchers) {
    if (names.some((name) => changed.includes(name))) call();
  }
}

const systems = () => Object.keys(DATA.suites[state.suite]);
const metric = () => DATA.metrics[state.metric];
const metricLabel = () => `${metric().title}${metric().unit ? `, ${metric().unit}` : ""}`;
const images = () => DATA.images[state.suite] ?? {};
const shown = () => DATA.shown[state.suite]?.pictures ?? {};
const isBetter = (a, b) => merit(a, metric()) > merit(b, metric());

/** The larger the better a figure is, whichever way the metric goes. */
function merit(value, { better, target }) {
  if (better === "nearest") return -Math.abs(value - target);
  return better === "higher" ? value : -value;
}

/** Metrics that have a figure in the suite. */
function metricsOf(suite) {
  const rows = Object.values(DATA.suites[suite]);
  return Object.keys(DATA.metrics).filter((name) => rows.some((row) => Number.isFinite(row[name])));
}

/** The chosen metric of a picture by a system, or null. */
function valueOf(image, system) {
  return images()[image]?.[system]?.[state.metric] ?? null;
}

/** A class that gives the system its colour, the same in all plots. */
function colour(system) {
  return `colour-${Object.keys(DATA.systems).indexOf(system) % 8}`;
}

/** The data URL of an embedded picture. */
function source(identity) {
  return byId(identity).textContent;
}
