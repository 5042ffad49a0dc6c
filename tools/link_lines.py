"""Set the line of each link like [`name`](../src/edgesr/x.py#L12) in a Markdown file to where `name` is defined.

python tools/link_lines.py docs/method.md [--check]
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from pathlib import Path

LINK = re.compile(r"\[`(\w+)`\]\(([\w./-]+\.py)#L(\d+)\)")


def line_of(name: str, file: Path) -> int:
    """The line on which the function or class `name` of `file` begins; raises KeyError if there is none."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return node.lineno
    raise KeyError(f"{file}: defines no {name}")


def linked(page: Path) -> str:
    """The text of `page` with every line number updated."""

    def found(match: re.Match[str]) -> str:
        name, file = match[1], match[2]
        return f"[`{name}`]({file}#L{line_of(name, page.parent / file)})"

    return LINK.sub(found, page.read_text(encoding="utf-8"))


def main() -> int:
    """Rewrite the pages, or with --check return 1 if one of them is out of date."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", type=Path, nargs="+")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    behind = [page for page in arguments.pages if linked(page) != page.read_text(encoding="utf-8")]
    for page in behind:
        if arguments.check:
            print(f"{page}: run python tools/link_lines.py {page}", file=sys.stderr)
        else:
            page.write_text(linked(page), encoding="utf-8")
    return 1 if arguments.check and behind else 0


if __name__ == "__main__":
    sys.exit(main())
