/** The corner of the page that names the runtime of the model, and the notice when the model does not start. */

import type { Status } from "../client";
import { t } from "./language";
import { bytes } from "./queue";

const $ = <T extends HTMLElement>(selector: string) => document.querySelector<T>(selector)!;

export function showStatus(status: Status | undefined): void {
  const pill = $("#backend");
  $("#trouble").hidden = status?.kind !== "broken";
  pill.title = t("Runtime of the model");
  if (!status) pill.textContent = t("starting…");
  else if (status.kind === "loading") pill.textContent = t("loading · {size}", { size: bytes(status.bytes) });
  else if (status.kind === "broken") {
    pill.textContent = t("unavailable");
    pill.title = status.reason;
    $("#trouble span").textContent = t("The model did not start: {reason}", { reason: status.reason });
  } else {
    const count = status.threads > 1 ? t("{count} threads", { count: status.threads }) : t("1 thread");
    pill.textContent = status.backend === "webgpu" ? "WebGPU" : `WASM · ${count}`;
    if (status.note) pill.title = status.note;
    pill.dataset["ready"] = "yes";
  }
}
