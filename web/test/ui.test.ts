/** What the page offers for download. */

import { expect, it } from "vitest";
import { uniqueNames, zip } from "../src/ui/outgoing";

it("gives every file of a zip a name of its own, on every system", () => {
  const names = ["a.png", "A.png", "x/a.png", "a.png", "a (2).png", "none", "none"];
  expect(uniqueNames(names)).toEqual(["a.png", "A (2).png", "x/a.png", "a (3).png", "a (2) (2).png", "none", "none (2)"]);
});

it("stores the results in their folders", async () => {
  const file = await zip([{ blob: new Blob(["abc"]), name: "a.png" }, { blob: new Blob(["d"]), name: "b.png" }], ["x/", ""]);
  const text = new TextDecoder("latin1").decode(await file.arrayBuffer());
  expect(text.startsWith("PK")).toBe(true);
  expect([text.includes("x/a.png"), text.includes("abc"), text.includes("b.png")]).toEqual([true, true, true]);
});
