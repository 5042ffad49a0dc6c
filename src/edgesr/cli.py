"""The command `edgesr`: finds the verb, turns every failure into one line on standard error and an exit code.

Exit codes: 0 all done; 1 some inputs failed; 2 the command line is wrong; 130, 143 or 129 stopped by Ctrl-C, SIGTERM or SIGHUP;
141 the reader of standard output has closed it. The verbs are in `edgesr.commands`; heavy imports wait until one runs.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from edgesr import __version__
from edgesr.commands import batch, bench, checkpoint, completion, data, evaluate, export, models, serve, train, upscale, video
from edgesr.commands.console import complain
from edgesr.commands.stopping import interrupted_by_signals
from edgesr.errors import EdgesrError, UsageError

EXAMPLES = """\
examples:
  edgesr upscale photo.jpg                    writes photo_4x.jpg beside it
  edgesr upscale photo.jpg -o big.png         sets name and format
  edgesr upscale holiday --recursive          upscales a folder and its subfolders into holiday_4x
  edgesr upscale - < small.png > big.png      reads standard input, writes standard output

`edgesr VERB --help` explains each verb.
"""


COMMANDS = (upscale, video, batch, serve, models, bench, evaluate, export, train, checkpoint, data, completion)


class _Parser(argparse.ArgumentParser):
    """A parser that raises UsageError, where argparse would print its usage and exit, and names itself in what it parses.

    Parsers of verbs and actions are of the class of theirs, so the innermost one is named.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})
        self.set_defaults(parser=self)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: the process's) and return its exit code; --help and --version exit."""
    debug = os.environ.get("EDGESR_DEBUG", "") not in ("", "0")
    try:
        with interrupted_by_signals():
            arguments = _parsed(sys.argv[1:] if argv is None else list(argv))
            debug = debug or arguments.debug
            if debug:
                _show_details()
            code: int = arguments.run(arguments)
            sys.stdout.flush()
            return code
    except EdgesrError as error:
        complain(str(error))
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt as stop:
        complain("stopped")
        return 128 + (stop.args[0] if stop.args else signal.SIGINT)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the interpreter's last flush fails again
        return 141
    except MemoryError:
        complain("not enough memory")
        return 1
    except Exception as error:  # a traceback is only for those who ask for it
        if debug:
            raise
        complain(f"unexpected {type(error).__name__}: {error}; please report it with the output of --debug")
        return 1


def _parsed(words: list[str]) -> argparse.Namespace:
    """Parse a command line. Without words it shows the help; without a verb, files are upscaled.

    Raises UsageError, for an unknown flag with the nearest one and the help to read.
    """
    parser = _parser()
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser)
    if not words:
        parser.print_help()
        raise SystemExit(0)
    words = _with_verb(words)
    arguments, unknown = parser.parse_known_args(words)
    if unknown:
        verb: argparse.ArgumentParser = arguments.parser
        flags = [flag for action in verb._actions for flag in action.option_strings]
        near = get_close_matches(unknown[0].partition("=")[0], flags, n=1)
        hint = f": did you mean {near[0]}?" if near else ""
        raise UsageError(f"unrecognized argument {unknown[0]}{hint} (see {verb.prog} --help)")
    return arguments


def _with_verb(words: list[str]) -> list[str]:
    """`words`, with the verb `upscale` before them if a picture, or flags and then a picture, stand in its place.

    Raises UsageError for a word that is nearly a verb.
    """
    verbs = [command.__name__.rpartition(".")[2] for command in COMMANDS]
    first = words[0]
    if first in verbs:
        return words
    flags_first = first.startswith("-") and not set(verbs) & set(words)
    if any(map(_names_a_picture, words if flags_first else words[:1])):
        return ["upscale", *words]
    near = get_close_matches(first, verbs, n=1)
    if near:
        raise UsageError(f"unknown verb {first}: did you mean {near[0]}? (see edgesr --help)")
    return words


def _names_a_picture(word: str) -> bool:
    """Whether a word is an input of `upscale`: a file or folder that exists, a name like a picture's, or - for standard input."""
    return word == "-" or (not word.startswith("-") and (Path(word).exists() or bool(Path(word).suffix)))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="edgesr",
        description="Edge-SD-SR: upscales small, old or noisy photos on a CPU, by one step of latent diffusion.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"edgesr {__version__}", help="print the version and exit")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for command in COMMANDS:
        verb = command.add(verbs)
        verb.set_defaults(run=command.run)
        verb.add_argument("--debug", action="store_true", help="show tracebacks of unexpected errors (also: EDGESR_DEBUG=1)")
    return parser


def _show_details() -> None:
    import logging

    logging.basicConfig()
    logging.getLogger("edgesr").setLevel(logging.DEBUG)
