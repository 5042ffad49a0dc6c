"""`command:TEMPLATE`: any program that reads one picture file and writes another, as in "command:mytool -i {input} -o {output}"."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from edgesr.data.files import BROKEN, read_rgb
from edgesr.errors import EdgesrError, UsageError
from edgesr.evaluate.memory import Watch
from edgesr.evaluate.systems.base import Facts, Loaded, Pixels, Place, digest
from edgesr.evaluate.unavailable import Unavailable, brief


@dataclass(frozen=True)
class Command:
    """A program, started anew for each picture, without a shell. {input} is an RGB PNG file, {output} the PNG it must write."""

    template: str

    @classmethod
    def parse(cls, text: str) -> Command:
        """Check what follows "command:"; raises UsageError that says what is missing."""
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise UsageError(f"system 'command:{text}': {error}") from None
        for part in ("{input}", "{output}"):
            if not any(part in word for word in words):
                raise UsageError(f"system 'command:{text}': must contain {part}, which is replaced by the file name")
        return cls(text)

    def facts(self) -> Facts:
        """See System. Files that the template names, the program first, are part of its fingerprint; files that they load are not."""
        words = shlex.split(self.template)
        program = shutil.which(words[0])
        if program is None:
            raise Unavailable(f"the program '{words[0]}' is not found")
        files = [Path(program), *(Path(word) for word in words[1:] if Path(word).is_file())]
        return Facts(f"external program {Path(program).name}; times include its start", digest(self.template, *files))

    def load(self, threads: int) -> Loaded:  # it runs on the worker's cores
        """See System."""
        return _Loaded(shlex.split(self.template))


class _Loaded:
    def __init__(self, words: list[str]) -> None:
        self._words = words
        self._memory = Watch()

    def __call__(self, lr: Pixels, place: Place) -> Pixels:
        with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
            source, target = Path(folder, "input.png"), Path(folder, "output.png")
            Image.fromarray(lr).save(source)
            words = [word.replace("{input}", str(source)).replace("{output}", str(target)) for word in self._words]
            pipe = subprocess.PIPE
            with (
                subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe) as program,
                self._memory.over(program.pid),
            ):
                _, errors = program.communicate()
            if program.returncode:
                last = errors.decode(errors="replace").strip().splitlines()[-1:]
                said = f": {last[0][:200]}" if last else ""
                raise EdgesrError(f"{self._words[0]} ended with code {program.returncode}{said}")
            try:
                return read_rgb(target)
            except FileNotFoundError:
                raise EdgesrError(f"{self._words[0]} wrote no output") from None
            except BROKEN as error:
                raise EdgesrError(f"{self._words[0]} wrote an invalid picture ({brief(error)})") from None

    def peak_rss_mb(self) -> float | None:
        return self._memory.peak_rss_mb()
