"""The parser of the command line: options of every command, examples, and "did you mean"."""

from __future__ import annotations

import argparse
import difflib
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from napari_unet.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = "napari-unet"
NUMBERS: dict[Any, str] = {int: "a whole number", float: "a number"}


class Formatter(argparse.HelpFormatter):
    """Wraps everything but examples."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        parts = (
            part if part.startswith("example") else super(Formatter, self)._fill_text(part, width, indent)
            for part in text.split("\n\n")
        )
        return "\n\n".join(parts)


class Parser(argparse.ArgumentParser):
    """A parser that answers wrong words with one sentence, and with the right word if one comes close."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", Formatter)
        super().__init__(add_help=False, **options)
        self.words: list[str] = []
        self.commands: argparse._SubParsersAction[Parser] | None = None

    def parser_of(self, command: str) -> Parser:
        """The parser of a command; the program ends if there is none of that name."""
        assert self.commands is not None
        self._check_value(self.commands, command)
        return self.commands.choices[command]

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, and remember the words for `error`."""
        self.words = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(self.words, namespace)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; words that nobody takes end the program."""
        options, rest = self.parse_known_args(args, namespace)
        if rest:
            parser = getattr(options, "parser", self)
            parser.words = rest
            wrong = next((word for word in rest if word.startswith("-")), rest[0])
            hint = parser.hint(wrong)
            parser.fail(
                f"{wrong} is not an option here" if wrong[:1] == "-" else f"{wrong} is one word too many",
                hint,
            )
        return options

    def error(self, message: str) -> NoReturn:
        """End the program with a sentence."""
        missing = message.removeprefix("the following arguments are required: ")
        if missing != message:
            message = f"{missing} is missing" if "," not in missing else f"these are missing: {missing}"
        self.fail(message.removeprefix("argument "), self.hint())

    def fail(self, sentence: str, hint: str = "") -> NoReturn:
        """End the program: one line, exit code 2."""
        hint = hint or f"see `{self.prog} --help`"
        self.exit(2, f"{PROGRAM}: {sentence}; {hint}\n")

    def hint(self, shown: str = "") -> str:
        """The option that was meant by one that there is not, `shown` or not; empty if none comes close."""
        known = [option for option in self._option_string_actions if option.startswith("--")]
        for word in self.words:
            name = word.partition("=")[0]
            if name.startswith("--") and not any(option.startswith(name) for option in known):
                close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
                if close:
                    return (
                        f"did you mean {close[0]}?"
                        if name in shown
                        else f"did you mean {close[0]}, not {name}?"
                    )
        return ""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        names = [str(choice) for choice in action.choices]
        if isinstance(action, argparse._SubParsersAction):
            hint = did_you_mean(str(value), names)
            self.fail(
                f"there is no command {value!r}", hint if "did you mean" in hint else f"see `{PROGRAM} help`"
            )
        self.fail(f"{_name(action)} cannot be {value!r}", did_you_mean(str(value), names))

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        try:
            return super()._get_value(action, arg_string)
        except argparse.ArgumentError:
            wanted = NUMBERS.get(action.type)
            if wanted is None:
                raise
            self.fail(f"{_name(action)} needs {wanted}, got {arg_string!r}")


def _name(action: argparse.Action) -> str:
    return "/".join(action.option_strings) or str(action.metavar or action.dest)


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Options that stand before a command or after it; the defaults are those of `COMMON`."""
    group = parser.add_argument_group("every command")
    group.add_argument("-h", "--help", action="help", help="Show this help.")
    for flags, text in (
        (("-q", "--quiet"), "Show no progress and no notes, only the result."),
        (("-v", "--verbose"), "Show more: codes of errors, what the program logs, the time it took."),
        (("--json",), "Print the result as JSON."),
        (("--debug",), "Show where an error came from."),
    ):
        group.add_argument(*flags, action="store_true", default=argparse.SUPPRESS, help=text)


COMMON = {"quiet": False, "verbose": False, "json": False, "debug": False}


def examples(lines: Sequence[str]) -> str:
    """Examples as the end of a help text."""
    title = "example:" if len(lines) == 1 else "examples:"
    return "\n".join([title, *(f"  {PROGRAM} {line}" for line in lines)])
