/** The ways in which pictures reach the page: examples, file picker, drop (also of folders), paste, and the system's "open with" and "share". */

const $ = <T extends HTMLElement>(selector: string) => document.querySelector<T>(selector)!;
const SHARED = "shared-with-edgesr"; // a cache; the same name as in sw.ts
const PICTURE = /\.(png|jpe?g|jfif|webp|gif|bmp|avif|hei[cf]|jxl|tiff?)$/i;

/** A file and the folder in which it was dropped: "" or a path that ends with a slash. */
export interface Incoming {
  file: File;
  folder: string;
}
type Take = (pictures: Incoming[]) => void;

export function acceptPictures(take: Take): void {
  const plain = (files: Iterable<File>) => take([...files].map((file) => ({ file, folder: "" })));
  const picker = $<HTMLInputElement>("#files");
  for (const button of document.querySelectorAll<HTMLButtonElement>(".choose")) button.onclick = () => picker.click();
  picker.onchange = () => {
    plain([...(picker.files ?? [])]);
    picker.value = "";
  };
  window.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) event.preventDefault();
    plain(files);
  });
  for (const button of document.querySelectorAll<HTMLButtonElement>("[data-example]")) {
    button.onclick = async () => {
      const name = `${button.dataset["example"]}.jpg`;
      const blob = await (await fetch(`./examples/${name}`)).blob();
      plain([new File([blob], name, { type: "image/jpeg" })]);
    };
  }
  acceptDrops(take);
  (window as unknown as Launching).launchQueue?.setConsumer(async ({ files }) => {
    plain(await Promise.all(files.map((handle) => handle.getFile())));
  });
  void takeShared().then(plain);
}

function acceptDrops(take: Take): void {
  const cover = $("#drop");
  window.addEventListener("dragenter", (event) => (cover.hidden = !event.dataTransfer?.types.includes("Files")));
  window.addEventListener("dragover", (event) => event.preventDefault());
  window.addEventListener("dragleave", (event) => !event.relatedTarget && (cover.hidden = true));
  window.addEventListener("drop", async (event) => {
    event.preventDefault();
    cover.hidden = true;
    const dropped = [...(event.dataTransfer?.items ?? [])].filter(({ kind }) => kind === "file");
    // Both must be asked for before the first await: the items are only valid during the event.
    const found = dropped.map((item) => ({ file: item.getAsFile(), entry: item.webkitGetAsEntry?.() ?? undefined }));
    const lists = await Promise.all(found.map(({ file, entry }) => (entry?.isDirectory ? picturesIn(entry, "") : file ? [{ file, folder: "" }] : [])));
    take(lists.flat());
  });
}

/** All pictures in a folder and the folders within it, in the order of their names. Other files are ignored. */
async function picturesIn(entry: FileSystemEntry, folder: string): Promise<Incoming[]> {
  if (entry.isFile) {
    if (!PICTURE.test(entry.name)) return [];
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    return [{ file, folder }];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const entries: FileSystemEntry[] = [];
  for (;;) {
    const batch = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (batch.length === 0) break; // a browser returns at most 100 entries at a time
    entries.push(...batch);
  }
  entries.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
  return (await Promise.all(entries.map((each) => picturesIn(each, `${folder}${entry.name}/`)))).flat();
}

/** The pictures that another app has shared with the installed page: the service worker has put them into a cache. */
async function takeShared(): Promise<File[]> {
  if (!new URLSearchParams(location.search).has("shared")) return [];
  history.replaceState(null, "", location.pathname);
  const cache = await caches.open(SHARED);
  const files: File[] = [];
  for (const request of await cache.keys()) {
    const response = (await cache.match(request))!;
    const blob = await response.blob();
    files.push(new File([blob], decodeURIComponent(response.headers.get("X-Name") ?? "picture"), { type: blob.type }));
  }
  await caches.delete(SHARED);
  return files;
}

interface Launching {
  launchQueue?: { setConsumer(consumer: (launch: { files: { getFile(): Promise<File> }[] }) => void): void };
}
