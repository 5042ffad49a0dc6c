"""`edgesr completion`: the script by which a shell completes the command line."""

from __future__ import annotations

import argparse

EXAMPLES = """\
examples:
  edgesr completion bash >> ~/.bashrc
  edgesr completion zsh >> ~/.zshrc
  edgesr completion fish > ~/.config/fish/completions/edgesr.fish
"""


def add(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Define the verb's arguments."""
    verb = verbs.add_parser(
        "completion",
        help="print a script for shell completion",
        description="Prints a script by which bash, zsh or fish completes verbs, flags and file names of edgesr.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("shell", choices=("bash", "zsh", "fish"), help="the shell")
    return verb


def run(arguments: argparse.Namespace) -> int:
    """Print the script."""
    import argcomplete

    print(argcomplete.shellcode(["edgesr"], shell=arguments.shell))
    return 0
