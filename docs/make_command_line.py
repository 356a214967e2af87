"""Write docs/reference/command-line.md: every command with its options, read from the parser.

python docs/make_command_line.py
"""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_unet.cli import COMMANDS, _parser

PAGE = Path(__file__).parent / "reference" / "command-line.md"
HEAD = """# Command line

`python docs/make_command_line.py` writes this page from the parser of the program.
`napari-unet COMMAND --help` says the same in the shell. See also [exit codes](exit-codes.md).
"""


def page(parser: argparse.ArgumentParser | None = None) -> str:
    """The page in Markdown."""
    parser = parser or _parser()
    commands = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    lines = [HEAD, "| command | what it does |", "| --- | --- |"]
    lines += [f"| [`{command.NAME}`](#{command.NAME}) | {_cell(command.ABOUT)} |" for command in COMMANDS]
    for name, command in commands.choices.items():
        lines += ["", *_section(name, command)]
    return "\n".join(lines) + "\n"


def _section(name: str, command: argparse.ArgumentParser) -> list[str]:
    actions = [a for a in command._actions if a.help is not argparse.SUPPRESS and a.dest != "help"]
    nested = [a for a in actions if isinstance(a, argparse._SubParsersAction)]
    actions = [a for a in actions if a not in nested]
    actions.sort(key=lambda a: (bool(a.option_strings), a.dest == "debug"))
    needed = [_spelling(a) for a in actions if a.required and a.option_strings]
    places = [_spelling(a) for a in actions if not a.option_strings]
    either = [
        "(" + " | ".join(_spelling(a) for a in group._group_actions) + ")"
        for group in command._mutually_exclusive_groups
        if group.required
    ]
    usage = " ".join(["napari-unet", name, *places, *needed, *either, "[options]"])
    lines = [f"## {name}", "", command.description or "", "", f"    {usage}", ""]
    if command.epilog:
        lines += [command.epilog, ""]
    lines += ["| argument | meaning |", "| --- | --- |"]
    lines += [f"| `{_cell(_spelling(a))}` | {_cell(_meaning(a))} |" for a in actions]
    for each in nested:
        for word, inner in each.choices.items():
            lines += ["", *_section(f"{name} {word}", inner)]
    return lines


def _spelling(action: argparse.Action) -> str:
    if action.choices and not isinstance(action.choices, range):
        value = (
            action.metavar
            if isinstance(action.metavar, str)
            else "{" + ",".join(map(str, action.choices)) + "}"
        )
    else:
        value = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    if not action.option_strings:
        return {"+": f"{value}...", "*": f"[{value}...]", "?": f"[{value}]"}.get(str(action.nargs), value)
    if action.nargs == 0:
        return action.option_strings[-1]
    return f"{action.option_strings[-1]} {value}" + ("..." if action.nargs in ("+", "*") else "")


def _meaning(action: argparse.Action) -> str:
    text = (action.help or "") % {"default": action.default, "prog": "napari-unet", "type": "", "choices": ""}
    listed = all(str(choice) in text for choice in action.choices or ())
    if action.choices and isinstance(action.metavar, str) and not listed:
        return f"{text.removesuffix('.')}; one of {', '.join(map(str, action.choices))}."
    return text


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
