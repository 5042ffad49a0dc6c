"""MkDocs hooks of the documentation site (mkdocs.yml): what it has besides the pages of docs/.

Pages that lie elsewhere in the repository, the source files that pages link to, the reference of the command (from its parsers), the
table of formats, the pictures of the gallery (by the released weights), the page that runs in the browser, and a check of all links.
"""

from __future__ import annotations

import argparse
import io
import logging
import posixpath
import re
from collections.abc import Iterator
from functools import cache
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Link, Navigation
from mkdocs.structure.pages import Page
from PIL import Image

log = logging.getLogger("mkdocs.hooks.site")  # below "mkdocs", so that --strict counts its warnings

ROOT = Path(__file__).parents[1]
TRY_IT = ROOT / "src/edgesr/serve/page"  # built by npm
ELSEWHERE = {  # page of the site: its file in the repository
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
    "examples.md": "examples/README.md",
    "model-card.md": "src/edgesr/weights/tiny.md",
}
PLACES = {file: page for page, file in ELSEWHERE.items()} | {"README.md": "index.md"}
LINK = re.compile(r"(?<=\]\()(?!https?://|#|mailto:)([^)#\s]+)(#[^)\s]*)?(?=\))")
LINE = re.compile(r"#L(\d+)$")
MARK = re.compile(r"^<!-- (command reference|formats|compare|section|file) ?(.*?) -->$", re.MULTILINE)
PICTURES = {
    "cat": "a cat's face",
    "coffee": "a cup of coffee beside a spoon",
    "astronaut": "an astronaut before a flag and a model of the Space Shuttle",
}
LOOKS = {"bicubic": "bicubic", "crisp": "crisp, the default", "faithful": "faithful, --fidelity 1"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add pages from elsewhere, the files that pages link to, the gallery's pictures, and the page that runs in the browser."""
    for page, path in ELSEWHERE.items():
        files.append(File.generated(config, page, content=(ROOT / path).read_text(encoding="utf-8")))
    for target in sorted(_linked(files)):
        place = _place(target)
        if place.startswith("source/"):
            files.append(File.generated(config, place, content=_source_page(target)))
        elif files.get_file_from_path(place) is None:
            files.append(File.generated(config, place, abs_src_path=str(ROOT / target)))
    files.append(File.generated(config, "assets/icon.svg", abs_src_path=str(ROOT / "web/public/icon.svg")))
    for name, data in _gallery():
        files.append(File.generated(config, f"assets/gallery/{name}", content=data))
    if (TRY_IT / "index.html").is_file():
        for path in sorted(TRY_IT.rglob("*")):
            if path.is_file() and path.suffix != ".gz":
                place = f"try/{path.relative_to(TRY_IT).as_posix()}"
                files.append(File.generated(config, place, abs_src_path=str(path)))
    else:
        log.warning('"Try it" is left out: first run `npm --prefix web ci && npm --prefix web run build`')
    return files


def on_nav(nav: Navigation, files: Files, **_: Any) -> Navigation:
    """Put "Try it" behind the home page."""
    if files.get_file_from_path("try/index.html") is not None:
        nav.items.insert(1, Link("Try it", "try/"))
    return nav


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Fill in what is generated, and turn links between files of the repository into links between pages."""
    uri = page.file.src_uri
    markdown = MARK.sub(lambda mark: _filled(mark[1], mark[2], page), markdown)
    return _with_links(markdown, _origin(uri), uri)


def on_post_page(output: str, **_: Any) -> str:
    """Mend what a screen reader would stumble over in the theme's HTML: a dialog without a name, empty headings of tables."""
    output = output.replace(
        'data-md-component="search" role="dialog"', 'data-md-component="search" role="dialog" aria-label="Search"'
    )
    return re.sub(r"<th( [^>]*)?></th>", "<td></td>", output)


def on_post_build(config: MkDocsConfig) -> None:
    """Warn of every link of the built site that leads nowhere, also to a missing heading or line."""
    for page, link in broken_links(Path(config.site_dir)):
        log.warning("%s: broken link: %s", page, link)


def broken_links(site: Path) -> Iterator[tuple[str, str]]:
    """Yield page and address of each link within the built site whose file or anchor does not exist."""
    pages = {path: _Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html") if site / "try" not in path.parents}
    for path, page in pages.items():
        if path.name == "404.html":
            continue  # its addresses are absolute, for any depth
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            anchor = unquote(parts.fragment)
            known = pages[target].anchors if target in pages else set()
            if not target.is_file() or (anchor and target in pages and anchor not in known):
                yield path.relative_to(site).as_posix(), link


class _Page(HTMLParser):
    """The addresses that a page names, and the anchors that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = {"__comments"}
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attributes if value}
        self.links |= {given[name] for name in ("href", "src") if name in given}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}


def _origin(uri: str) -> str:
    """The file of the repository that a page of the site shows."""
    return ELSEWHERE.get(uri, f"docs/{uri}")


def _place(path: str) -> str:
    """The place in the site of a file of the repository."""
    if path in PLACES:
        return PLACES[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"source/{path}.md" if path.endswith((".py", ".toml")) else f"source/{path}"


def _linked(files: Files) -> set[str]:
    """The files of the repository outside docs/ to which pages link."""
    texts = [(_origin(file.src_uri), file.content_string) for file in files.documentation_pages()]
    texts.append(("README.md", (ROOT / "README.md").read_text(encoding="utf-8")))
    found = set()
    for origin, text in texts:
        folder = posixpath.dirname(origin)
        found |= {posixpath.normpath(posixpath.join(folder, link[1])) for link in LINK.finditer(text)}
    return {path for path in found if (ROOT / path).is_file() and not path.startswith("docs/") and path not in PLACES}


def _with_links(markdown: str, origin: str, uri: str) -> str:
    """Rewrite the links of a text of the file `origin` for the page `uri`."""

    def rewritten(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), link[1]))
        if not (ROOT / path).is_file() or uri.startswith("source/"):
            return link[0]  # of a generated page; what leads nowhere, MkDocs reports
        anchor = LINE.sub(r"#__codelineno-0-\1", link[2] or "")
        return posixpath.relpath(_place(path), posixpath.dirname(uri) or ".") + anchor

    return LINK.sub(rewritten, markdown)


def _source_page(path: str) -> str:
    text = (ROOT / path).read_text(encoding="utf-8")
    language = "py" if path.endswith(".py") else "toml"
    return f'---\nsearch: {{exclude: true}}\nhide: [toc]\n---\n\n# {path}\n\n``````{language} linenums="1"\n{text}``````\n'


def _filled(what: str, argument: str, page: Page) -> str:
    if what == "command reference":
        return _reference()
    if what == "formats":
        return _formats()
    if what == "compare":
        name, before, after = argument.split()
        return _comparison(name, before, after, page)
    if what == "file":
        language = "ts" if argument.endswith(".ts") else "python"
        return f"```{language}\n{(ROOT / argument).read_text(encoding='utf-8')}```"
    path, _, heading = argument.partition(" ")
    return _with_links(_section(path, heading), path, page.file.src_uri)


def _section(path: str, heading: str) -> str:
    """The text below a heading of a Markdown file, up to the next one of its level."""
    text = (ROOT / path).read_text(encoding="utf-8")
    found = re.search(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^\1 |\Z)", text, re.MULTILINE | re.DOTALL)
    if found is None:
        log.warning("%s has no heading %r", path, heading)
        return ""
    return found[2].replace("<details>", "<details markdown>")


def _comparison(name: str, before: str, after: str, page: Page) -> str:
    folder = posixpath.relpath("assets/gallery", posixpath.dirname(page.url) or ".")
    title = escape(PICTURES[name])
    return (
        f'<figure class="compare"><div class="compare__pictures">'
        f'<img src="{folder}/{name}-{before}.webp" alt="{title}: {LOOKS[before]}">'
        f'<img class="compare__after" src="{folder}/{name}-{after}.webp" alt="{title}: {LOOKS[after]}"></div>'
        f'<input type="range" min="0" max="100" value="50" aria-label="{title}: percent of the width that shows {LOOKS[before]}">'
        f'<figcaption class="compare__names"><span>{LOOKS[before]}</span><span>{LOOKS[after]}</span></figcaption></figure>'
    )


@cache
def _gallery() -> list[tuple[str, bytes]]:
    """Name and bytes of each picture of the gallery: the examples, enlarged 4 times in each look."""
    from edgesr import Upscaler

    crisp, faithful = Upscaler("tiny"), Upscaler("tiny", fidelity=1)
    found = []
    for name in PICTURES:
        source = Image.open(ROOT / f"examples/{name}.jpg").convert("RGB")
        bicubic = source.resize((4 * source.width, 4 * source.height), Image.Resampling.BICUBIC)
        for look, picture in (("bicubic", bicubic), ("crisp", crisp(source)), ("faithful", faithful(source))):
            stream = io.BytesIO()
            picture.save(stream, "WEBP", quality=90)
            found.append((f"{name}-{look}.webp", stream.getvalue()))
    return found


def _formats() -> str:
    from edgesr.images.formats import FORMATS

    rows = [
        "| format | extensions | written | 16 bit | transparency | EXIF, XMP | colour profile | quality by default |",
        "|---" * 8 + "|",
    ]
    for each in FORMATS.values():
        title = f"{each.title} (`pip install '.[{each.extra}]'`)" if each.extra else each.title
        able = (each.written, each.written and each.sixteen_bit, each.written and each.alpha)
        able += (each.written and each.exif, each.written and each.keeps_profile)
        cells = [title, " ".join(each.extensions), *("yes" if one else "-" for one in able), str(each.quality or "-")]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _reference() -> str:
    """All verbs of the command, from its parsers."""
    from edgesr.cli import _parser

    return "\n\n".join(_described(_parser(), level=2))


def _described(parser: argparse.ArgumentParser, level: int) -> Iterator[str]:
    """One parser and those below it: description, usage, arguments, examples."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if parser.prog != "edgesr":
        yield f"{'#' * level} {parser.prog}"
        yield _escaped(parser.description or "")
        usage = parser.format_usage().removeprefix("usage: ").rstrip().replace("\n" + " " * len("usage: "), "\n")
        yield f"```text\n{usage}\n```"
    for group in parser._action_groups:
        rows = [
            _row(parser, action) for action in group._group_actions if action not in below and action.help != argparse.SUPPRESS
        ]
        rows = [row for row in rows if "`--help`" not in row]
        if rows:
            title = {"positional arguments": "arguments"}.get(group.title or "", group.title or "")
            yield f"| {title} | meaning |\n|---|---|\n" + "\n".join(rows)
    if parser.epilog:
        yield f"```text\n{parser.epilog.rstrip()}\n```"
    for action in below:
        for verb in dict.fromkeys(action.choices.values()):
            yield from _described(verb, level + (parser.prog != "edgesr"))


def _row(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    formatter: Any = parser._get_formatter()
    value = formatter._format_args(action, action.metavar or action.dest.upper()) if action.nargs != 0 else ""
    names = ", ".join(f"`{name}`" for name in action.option_strings) or f"`{value}`"
    shown = f"{names} `{value}`" if action.option_strings and value else names
    text = formatter._expand_help(action) if action.help else ""
    return f"| {shown.replace('|', '&#124;')} | {_escaped(text).replace('|', '&#124;')} |"


def _escaped(text: str) -> str:
    """Plain text as Markdown, in which text between backticks stays code."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([*_<>\[\]])", r"\\\1", part) for part in parts)
