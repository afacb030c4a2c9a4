"""Writes docs/cli.md from the commands' own help; with --check it only says whether the file is fresh."""

import os
import subprocess
import sys
from pathlib import Path

COMMANDS = [
    (),
    ("demo",),
    ("papers",),
    ("reproduce",),
    *(("clrs", command) for command in ("list", "show", "check", "export", "bench")),
    *(("nar", command) for command in ("train", "eval", "curve", "export", "bench")),
    *(("run", command) for command in ("list", "show", "resume", "verify")),
    *(("lm", command) for command in ("fetch", "text", "train", "eval", "export", "compare")),
    *(
        ("attention", command)
        for command in ("scan", "probe", "ask", "layout", "ablate", "theorems", "convert", "bench")
    ),
    *(("explore", command) for command in ("train", "eval", "watch", "page", "references", "bench")),
    *(("text", command) for command in ("show", "export", "score")),
]
PAGE = Path(__file__).with_name("cli.md")


def page() -> str:
    """The help of every command, as it prints at 100 columns."""
    parts = [
        "# The command line\n\nMade by `make docs` from the commands' own help. Exit codes: 0 done, 1 failed, 2 bad input (one sentence on stderr).\n"
    ]
    for command in COMMANDS:
        shown = subprocess.run(
            [sys.executable, "-m", "outrange", *command, "--help"],
            env=os.environ | {"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        text = "\n".join(line.rstrip() for line in shown.strip().splitlines())
        parts.append(f"## {' '.join(('outrange', *command))}\n\n```\n{text}\n```\n")
    return "\n".join(parts)


def main() -> int:
    """Write the page, or check it."""
    fresh = page()
    if "--check" in sys.argv:
        return 0 if PAGE.exists() and PAGE.read_text(encoding="utf-8") == fresh else 1
    PAGE.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
