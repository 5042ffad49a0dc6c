/* The blind test: shows the pair that waits, sends the vote, shows the next; at the end the result. */

const LEFT = "left", RIGHT = "right", SAME = "same", INPUT = "input";
const views = new Views(byId("frame-left"), ({ scale }) => (byId("zoom").value = `${Number(scale.toPrecision(2))}×`));
let pair = null; // the token of the pair on show; null while none can be voted on

async function ask(path, options) {
  try {
    const answer = await fetch(path, options);
    if (!answer.ok && answer.status !== 409) throw new Error(await answer.text()); // 409: the vote was counted before
    await show(await answer.json());
  } catch (error) {
    byId("trouble").textContent = error instanceof TypeError ? "The server has stopped. Your votes so far are saved." : error.message;
    byId("trouble").hidden = false;
  }
}

function vote(choice) {
  if (pair === null) return;
  const body = JSON.stringify({ pair, choice });
  wait();
  ask("/vote", { method: "POST", headers: { "Content-Type": "application/json" }, body });
}

/** No vote until both pictures can be seen. */
function wait() {
  pair = null;
  byId("pair").classList.add("loading");
  for (const button of document.querySelectorAll("[data-choice]")) button.disabled = true;
}

async function show(state) {
  byId("trouble").hidden = true;
  byId("progress").max = state.total;
  byId("progress").value = state.votes;
  byId("count").textContent = `${state.votes} of ${state.total}`;
  byId("trial").hidden = Boolean(state.result);
  if (state.result) return showResult(state.result);
  const pictures = [LEFT, RIGHT, INPUT].map((place) => {
    const picture = element("img", { src: state[place], alt: `The ${place} picture`, class: place, draggable: "false" });
    byId(`frame-${place}`).replaceChildren(picture);
    return picture;
  });
  showInput(false);
  views.picture(state.width, state.height);
  await Promise.all(pictures.map((picture) => picture.decode())).catch(() => {
    throw new Error("A picture of this pair cannot be shown; reload the page.");
  });
  byId("pair").classList.remove("loading");
  for (const button of document.querySelectorAll("[data-choice]")) button.disabled = false;
  pair = state.pair;
}

function showInput(shown) {
  byId("input").hidden = !shown;
  byId("pair").classList.toggle("three", shown);
  byId("show-input").setAttribute("aria-pressed", String(shown));
}

function showResult({ a, b, winsA, winsB, same, winRate, interval }) {
  byId("result").hidden = false;
  byId("result").focus();
  byId("detail").textContent = `Votes: ${a} ${winsA}, ${b} ${winsB}, no difference ${same}.`;
  byId("bar").hidden = winRate === null;
  if (winRate === null) {
    byId("sentence").textContent = `You saw no difference between ${a} and ${b}.`;
    return;
  }
  const [low, high] = interval;
  byId("sentence").textContent = `${a} was better than ${b} in ${share(winRate)} of the decided votes (95 % interval ${share(low)} to ${share(high)}).`;
  byId("bar").setAttribute("aria-label", byId("sentence").textContent);
  const parts = { rate: [0, winRate], span: [low, high], half: null };
  byId("bar").replaceChildren(...Object.entries(parts).map(([name, ends]) => {
    const part = element("span", { class: name });
    if (ends) [part.style.left, part.style.width] = [`${100 * ends[0]}%`, `${100 * (ends[1] - ends[0])}%`];
    return part;
  }));
}

function press(event) {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || byId("trial").hidden) return;
  const choice = { ArrowLeft: LEFT, ArrowRight: RIGHT, ArrowDown: SAME }[event.key];
  if (choice && !event.shiftKey) {
    event.preventDefault();
    vote(choice);
  } else if (event.key.toLowerCase() === "i") {
    byId("show-input").click();
  } else {
    views.key(event);
  }
}

views.others = [byId("frame-right"), byId("frame-input")];
document.addEventListener("keydown", press);
for (const button of document.querySelectorAll("[data-choice]")) button.addEventListener("click", () => vote(button.dataset.choice));
byId("show-input").addEventListener("click", () => showInput(byId("input").hidden));
byId("zoom-in").addEventListener("click", () => views.zoom(WIDER));
byId("zoom-out").addEventListener("click", () => views.zoom(1 / WIDER));
byId("fit").addEventListener("click", () => views.fit());
wait();
ask("/trial");
