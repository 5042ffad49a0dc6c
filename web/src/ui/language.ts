/** Shows the page in the language of the browser, or in the one that the user has chosen. */

import { LANGUAGES, TEXTS, type Language, type Text } from "./texts";

const ATTRIBUTES = ["aria-label", "title", "placeholder", "alt"];
const originals = new WeakMap<Node, string>(); // the English text of the text and attribute nodes of index.html
let current: Language = "en";

/** The text in the current language, with {names} replaced by `values`. */
export function t(text: Text, values: Record<string, string | number> = {}): string {
  const translated = current === "en" ? text : TEXTS[text][(Object.keys(LANGUAGES) as Language[]).indexOf(current) - 1]!;
  return translated.replace(/\{(\w+)\}/g, (_, name: string) => String(values[name]));
}

/** Fill the list of languages, and translate the page now and after each choice; `changed` is called after a choice. */
export function startLanguage(list: HTMLSelectElement, changed: () => void): void {
  list.replaceChildren(...Object.entries(LANGUAGES).map(([code, name]) => new Option(name, code)));
  const wanted = [localStorage.getItem("language") ?? "", ...navigator.languages].map((tag) => tag.split("-")[0]!);
  translatePage((wanted.find((code) => code in LANGUAGES) as Language | undefined) ?? "en");
  list.value = current;
  list.onchange = () => {
    localStorage.setItem("language", list.value);
    translatePage(list.value as Language);
    changed();
  };
}

function translatePage(language: Language): void {
  current = language;
  document.documentElement.lang = language;
  const nodes: Node[] = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) nodes.push(walker.currentNode);
  for (const name of ATTRIBUTES) {
    for (const element of document.querySelectorAll(`body [${name}]`)) nodes.push(element.getAttributeNode(name)!);
  }
  for (const node of nodes) {
    const text = originals.get(node) ?? node.nodeValue!.trim();
    if (!Object.hasOwn(TEXTS, text)) continue; // a name, a number, or set by the program in the current language
    originals.set(node, text);
    node.nodeValue = node.nodeValue!.replace(node.nodeValue!.trim(), () => t(text as Text));
  }
}
