/** Dark or light mode: the system's setting until the button is used. */

export function startTheme(button: HTMLElement): void {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const apply = (theme: string | null) => {
    if (theme) root.dataset["theme"] = theme;
    else delete root.dataset["theme"];
    button.setAttribute("aria-pressed", String((theme ?? (dark.matches ? "dark" : "light")) === "dark"));
  };
  apply(localStorage.getItem("theme"));
  dark.addEventListener("change", () => apply(localStorage.getItem("theme")));
  button.addEventListener("click", () => {
    const now = button.getAttribute("aria-pressed") === "true" ? "light" : "dark";
    localStorage.setItem("theme", now);
    apply(now);
  });
}
