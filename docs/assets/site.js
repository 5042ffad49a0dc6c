// Before and after: the slider moves the cut between the two pictures.
for (const figure of document.querySelectorAll(".compare")) {
  const slider = figure.querySelector("input");
  const follow = () => figure.style.setProperty("--at", `${slider.value}%`);
  slider.addEventListener("input", follow);
  follow(); // a browser may have restored the slider's place
}

// What the theme makes of tables and code: those that scroll sideways are reached by the keyboard, and each group of buttons has a name.
function mend() {
  for (const box of document.querySelectorAll(".md-typeset__scrollwrap")) {
    box.toggleAttribute("tabindex", false);
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  }
  document.querySelectorAll(".md-code__nav").forEach((buttons, at) => buttons.setAttribute("aria-label", `Code ${at + 1}`));
}
addEventListener("load", mend); // after the theme's own script
addEventListener("resize", mend);
