/* Ties it together: what is drawn anew when something else is chosen. */

function showSuite() {
  const metrics = metricsOf(state.suite);
  const chosen = metrics.includes(state.metric) ? state.metric : metrics[0];
  options(byId("metric"), metrics.map((name) => [name, DATA.metrics[name].title]), chosen);
  change({ metric: chosen });
}

function drawPlots() {
  if (!metric()) return; // a suite without a single figure
  drawScatter();
  drawBoxes();
  drawWins();
}

/** Plots are drawn for the width they have. */
function redrawWhenWider(place) {
  let width = place.clientWidth;
  const observer = new ResizeObserver(() => {
    if (place.clientWidth !== width) drawPlots();
    width = place.clientWidth;
  });
  observer.observe(place);
}

function start() {
  for (const part of document.querySelectorAll(".needs-script")) part.hidden = false;
  document.querySelectorAll("table.sortable").forEach(makeSortable);
  for (const kind of ["intervals", "wins"]) {
    byId(`show-${kind}`).addEventListener("change", (event) => byId("results").classList.toggle(`no-${kind}`, !event.target.checked));
  }
  watch(["suite"], showSuite);
  watch(["suite"], showSuitePictures);
  watch(["suite", "metric"], () => metric() && drawGallery());
  watch(["suite", "metric", "cost"], drawPlots);
  watch(["suite", "picture"], showPicture);
  watch(["left", "right"], showSides);
  for (const name of ["suite", "metric", "cost"]) byId(name).addEventListener("change", (event) => change({ [name]: event.target.value }));
  const suites = Object.keys(DATA.suites);
  if (!suites.length) return;
  options(byId("suite"), suites.map((name) => [name, name]), suites[0]);
  options(byId("cost"), Object.entries(COSTS), state.cost);
  startViewer();
  change({ suite: suites[0] });
  redrawWhenWider(byId("plots"));
}

start();
