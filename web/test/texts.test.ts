/** Every text of the page is in every language. */

import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { TEXTS } from "../src/ui/texts";

const html = readFileSync(new URL("../index.html", import.meta.url), "utf8").replace(/^[\s\S]*<body>/, "");
const SAME = /^(Edge-SD-SR|JPEG|PNG|WebP|1:1|100%|px|×|[−+]|\d×|The page did not start\..*)$/; // in every language, or before the program runs

it("has every text of index.html in the table", () => {
  const shown = [...html.matchAll(/>([^<]+)</g), ...html.matchAll(/ (?:aria-label|title|placeholder|alt)="([^"]+)"/g)].map(([, text]) => text!.trim());
  expect(shown.length).toBeGreaterThan(60);
  expect(shown.filter((text) => text && !SAME.test(text) && !Object.hasOwn(TEXTS, text))).toEqual([]);
});

it("keeps the values of every text in all translations", () => {
  const values = (text: string) => [...text.matchAll(/\{\w+\}/g)].join();
  for (const [text, translations] of Object.entries(TEXTS)) {
    for (const translated of translations) expect(values(translated), translated).toBe(values(text));
  }
});
