"""Generate `sentiloc_client/synchronous` from `sentiloc_client/asynchronous`: `python clients/python/unasync.py`.

Both clients have the same methods. Only the asynchronous one is written by hand; a test checks that the other one is
up to date. The generator drops `async` and `await`, replaces the names below, and formats the outcome with ruff.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

PACKAGE = Path(__file__).parent / "sentiloc_client"
SOURCE, TARGET = PACKAGE / "asynchronous", PACKAGE / "synchronous"
NAMES = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "aclose": "close",
    "aclosing": "closing",
    "achunks": "chunks",
    "aread": "read",
    "aiter_bytes": "iter_bytes",
    "aiter_lines": "iter_lines",
    "asyncio": "time",
}
HEADER = "# Generated from `asynchronous` by `clients/python/unasync.py`: change that one.\n"
PACKAGE_DOCSTRING = '"""`Client`, the blocking client."""'
CLIENT_DOCSTRING = '"""`Client`: blocking calls."""'


def _plain(name: str) -> str:
    return NAMES.get(name, re.sub(r"^Async(?=[A-Z])", "", name))


def _without_async(source: str) -> str:
    """The source with its tokens replaced. Spaces and line breaks stay as they are."""
    lines = source.splitlines(keepends=True)
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    # From the last token to the first, so that earlier positions stay valid.
    for token in reversed(tokens):
        (row, start), (_, end) = token.start, token.end
        line = lines[row - 1] if row <= len(lines) else ""
        if token.string in ("async", "await"):
            lines[row - 1] = line[:start] + line[end:].lstrip(" ")
        elif token.type == tokenize.NAME:
            lines[row - 1] = line[:start] + _plain(token.string) + line[end:]
        elif token.type == tokenize.STRING:
            lines[row - 1] = line.replace("AsyncClient", "Client")
    return "".join(lines)


def _formatted(source: str) -> str:
    """Sorted imports and ruff's format, so that the outcome passes the project's checks."""
    name = ["--stdin-filename", str(TARGET / "generated.py"), "-"]
    for command in (["check", "--quiet", "--select", "I", "--fix", *name], ["format", "--quiet", *name]):
        source = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "ruff", *command],
            input=source,
            capture_output=True,
            encoding="utf-8",
            check=True,
        ).stdout
    return source


def generated() -> dict[str, str]:
    """The text of every module of `synchronous`, by file name."""
    docstrings = {"__init__.py": PACKAGE_DOCSTRING, "client.py": CLIENT_DOCSTRING}
    modules = {}
    for path in sorted(SOURCE.glob("*.py")):
        text = _without_async(path.read_text(encoding="utf-8"))
        if path.name in docstrings:
            text = docstrings[path.name] + text[text.index("\n") :]
        modules[path.name] = _formatted(HEADER + text)
    return modules


def main() -> None:
    """Write the modules."""
    TARGET.mkdir(exist_ok=True)
    for name, text in generated().items():
        (TARGET / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
