"""Write the figures of docs/results.json, from benchmarks/judge.py --json, between the markers in README.md.

python tools/results.py [--check]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS, README = ROOT / "docs" / "results.json", ROOT / "README.md"
BEGIN, END = "<!-- results: python tools/results.py -->", "<!-- end of results -->"
SYSTEMS = {
    "bicubic": "bicubic",
    "edgesr:tiny:sharpness=0.4": "**`tiny`** (default)",
    "edgesr:tiny": "`tiny --sharpness 0`",
    "edgesr:tiny:fidelity=1": "`tiny --fidelity 1`",
    "General_x4_v3": "Real-ESRGAN General_x4_v3",
    "realesrgan-x4plus": "Real-ESRGAN x4plus",
}
SUITES = {
    "Set14-blind": "Set14-blind, 14 degraded pictures",
    "BSD50-blind": "BSD50-blind, 50 degraded pictures",
    "Set5": "Set5, 5 clean pictures",
    "Set14": "Set14, 14 clean pictures",
}


def tables(results: dict[str, dict[str, dict[str, Any]]]) -> str:
    """One table per suite, one column per metric."""
    parts = []
    for suite, title in SUITES.items():
        rows = results[suite]
        lines = [f"| {title} | SQD ↓ | EPD ↓ | sharpness → 1 | PSNR-Y, dB ↑ | colour shift ↓ |", "|---|---|---|---|---|---|"]
        for name, label in SYSTEMS.items():
            if name in rows:
                row, base = rows[name], rows["bicubic"]
                cells = [
                    f"{row['sqd'] / base['sqd']:.3f}",
                    f"{row['epd'] / base['epd']:.3f}",
                    f"{row['sharpness']:.2f}",
                    f"{row['psnr']:.2f}",
                    f"{row['colour_shift']:.2f}",
                ]
                lines.append(f"| {label} | {' | '.join(cells)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def filled(text: str) -> str:
    """The README's text with new tables."""
    before, after = text.split(BEGIN, maxsplit=1)[0], text.split(END)[1]
    return f"{before}{BEGIN}\n{tables(json.loads(RESULTS.read_text(encoding='utf-8')))}\n{END}{after}"


def main() -> int:
    """Rewrite the README, or with --check return 1 if it is out of date."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    text = README.read_text(encoding="utf-8")
    if parser.parse_args().check:
        return int(filled(text) != text)
    README.write_text(filled(text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
