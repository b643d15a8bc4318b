"""CSV files as DuckDB reads them for certain: UTF-8, one kind of line end, a stated dialect.

Nothing is guessed from rows: the delimiter stands in the header, quotes are those of RFC 4180, and
the encoding is UTF-8 or UTF-16, or what the settings say. A file with letters of Windows-1252
(Excel's on a Western machine) is read as that, and it is told. What DuckDB cannot read as it is
gets written again into a folder that lives as long as the reading.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa

from icploop.errors import DataError
from icploop.settings.formats import Dialect

# A cell with a contract's whole text in it is rare, and 10 MB long.
LONGEST_LINE = 1 << 25
_CHUNK = 1 << 20
_HEADER_BYTES = 1 << 20
_DELIMITERS = ",;\t|"
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# What a file is whose name says otherwise, and what to do about it.
_OTHERS = {
    b"PK\x03\x04": "a zip archive or a workbook; name a workbook .xlsx, unpack an archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; name it .xls",
    b"\x1f\x8b": "compressed with gzip; name it .csv.gz",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; name it .csv.zst",
    b"PAR1": "a Parquet file; name it .parquet",
    b"%PDF": "a PDF; export the table as CSV",
}
# Lines that are not UTF-8 are taken out one by one if they are so few; else the file is not UTF-8.
_FEW = 0.05
_SAMPLE_LINES = 500
# Letters and marks of Western texts in Windows-1252, each of which may stand where it stands.
_WESTERN_LETTERS = "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØŒÙÚÛÜÝŸŠŽßàáâãäåæçèéêëìíîïñòóôõöøœùúûüýšž"
_WESTERN_MARKS = "€‚„…‘’“”•–—™«»®©°·§£¥¿¡ºª´\u00a0²³¼½¾×÷±¢†‹›µ"
_BESIDE_LETTERS = re.compile(r"[^\W\d_][€‚„•™®©°§£¥¿¡´²³¼½¾×÷±¢†µ¹¨¸ªº][^\W\d_]")
_RUN = re.compile(r"[^\x00-\x7f]{4,}")
_BAD = re.compile("[\udc80-\udcff]")
_BEYOND_ASCII = re.compile("[^\x00-\x7f\udc80-\udcff]")


@dataclass(frozen=True)
class CsvFile:
    """A CSV file that DuckDB can read: where it is, and how.

    `skip` lines come before the header, and `encoding` is that of the file as it came. `told` says
    what was made of it that nobody stated.
    """

    path: Path
    columns: tuple[str, ...]
    delimiter: str
    quote: str
    skip: int
    encoding: str = "utf-8"
    told: str = ""

    def sql(self) -> str:
        """What DuckDB calls to read it: every cell as text; bad lines are left to its rejects."""
        columns = ", ".join(f"{_literal(name)}: 'VARCHAR'" for name in self.columns)
        quote = _literal(self.quote)
        return (
            f"read_csv({_literal(str(self.path))}, auto_detect = false, "
            f"columns = {{{columns}}}, header = true, skip = {self.skip}, "
            f"delim = {_literal(self.delimiter)}, quote = {quote}, escape = {quote}, "
            f"max_line_size = {LONGEST_LINE}, buffer_size = {LONGEST_LINE}, store_rejects = true)"
        )


def readable(path: Path, stated: Dialect, shelf: Path) -> CsvFile:
    """The file as DuckDB can read it, be it as a copy on the `shelf`.

    Raises DataError, with the remedy, for what is no CSV, or is written in nobody knows what.
    """
    _require_text(path)
    found = _census(path) if stated.encoding is None else _Census(encoding=stated.encoding)
    told = ""
    if stated.encoding is None and found.encoding == "cp1252":
        told = (
            f"{path.name} is not UTF-8 and was read as Windows-1252 (cp1252); if its letters are "
            f"others, state `dialects: {{{path.name}: {{encoding: ...}}}}`"
        )
    place = path
    if found.must_be_written_again or stated.encoding is not None or path.suffix == ".bz2":
        place = _written_again(path, found.encoding, shelf)
    skip, delimiter, columns = _header(place, path, stated)
    quote = stated.quote if stated.quote is not None else '"'
    return CsvFile(place, columns, delimiter, quote, skip, found.encoding, told)


@dataclass
class _Census:
    """What the bytes of a file say: how its lines end, and whether its letters are UTF-8."""

    encoding: str = "utf-8"
    returns: int = 0
    windows_ends: int = 0
    ends: int = 0
    good: int = 0
    bad: int = 0
    bad_lines: int = 0
    sample: list[bytes] = field(default_factory=list)

    def count(self, block: bytes) -> None:
        """Count in a block of whole lines."""
        if b"\r" in block:
            self.returns += block.count(b"\r")
            self.windows_ends += block.count(b"\r\n")
        self.ends += block.count(b"\n")
        if block.isascii():
            return
        try:
            self.good += len(block) - len(block.decode())
        except UnicodeDecodeError:
            for line in block.splitlines(keepends=True):
                self._count_letters(line)

    def _count_letters(self, line: bytes) -> None:
        text = line.decode(errors="surrogateescape")
        self.good += len(_BEYOND_ASCII.findall(text))
        if wrong := len(_BAD.findall(text)):
            self.bad += wrong
            self.bad_lines += 1
            self.sample += [line] if len(self.sample) < _SAMPLE_LINES else []

    @property
    def must_be_written_again(self) -> bool:
        """Whether its lines end in several ways, or its letters are not UTF-8."""
        mixed = self.ends and self.returns and not self.returns == self.windows_ends == self.ends
        return self.encoding != "utf-8" or bool(mixed)


def _require_text(path: Path) -> None:
    with path.open("rb") as stream:
        start = stream.read(4096)
    packed = path.suffix in (".gz", ".zst", ".bz2")
    for mark, what in _OTHERS.items():
        if start.startswith(mark) and not packed:
            raise DataError(f"{path} is {what}")
    if re.match(rb"\s*(?:<!doctype html|<html)", start, re.IGNORECASE):
        raise DataError(f"{path} is a web page, not a table; sign in and export it again")


def _opened(path: Path) -> pa.NativeFile:
    try:
        return pa.input_stream(str(path), compression="detect")
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read: {error}; export it again") from error


def _blocks(path: Path) -> Iterator[bytes]:
    """The file in blocks that end where lines end."""
    rest = b""
    with closing(_opened(path)) as stream:
        try:
            while chunk := stream.read(_CHUNK):
                end = chunk.rfind(b"\n") + 1
                if not end:
                    rest += chunk
                    continue
                yield rest + chunk[:end]
                rest = chunk[end:]
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{path} cannot be read: {error}; export it again") from error
    if rest:
        yield rest


def _census(path: Path) -> _Census:
    found = _Census()
    for number, block in enumerate(_blocks(path)):
        if number == 0:
            for mark, encoding in _MARKS.items():
                if block.startswith(mark) and encoding != "utf-8":
                    return _Census(encoding)
            _require_no_unmarked_utf16(path, block)
        found.count(block)
    # A few broken letters among whole ones: the lines that have them are refused, one by one.
    if found.good >= found.bad:
        return found
    if all(map(_is_western, found.sample)):
        return replace(found, encoding="cp1252")
    if found.bad_lines <= _FEW * max(found.ends, 1):
        return found
    raise DataError(
        f"{path} is neither UTF-8 nor Windows-1252; say what it is by `dialects: {{{path.name}: "
        "{encoding: ...}}` in the source's settings (such as cp1250, cp1251, mac_roman, cp850, "
        "shift_jis or gb18030), or export it as UTF-8"
    )


def _require_no_unmarked_utf16(path: Path, block: bytes) -> None:
    start = block[:2000]
    if start.count(b"\x00") * 4 > len(start) and not start.startswith(tuple(_MARKS)):
        order = "be" if start[:1] == b"\x00" else "le"
        raise DataError(
            f"{path} looks like UTF-16 without its mark; state `dialects: {{{path.name}: "
            f"{{encoding: utf-16-{order}}}}}` in the source's settings, or export it as UTF-8"
        )


def _is_western(line: bytes) -> bool:
    """Whether a line reads as Windows-1252 without a letter that is out of place."""
    try:
        text = line.decode("cp1252")
    except UnicodeDecodeError:
        return False
    strange = set(_BEYOND_ASCII.findall(text)) - set(_WESTERN_LETTERS + _WESTERN_MARKS)
    return not strange and not _RUN.search(text) and not _BESIDE_LETTERS.search(text)


def _written_again(path: Path, encoding: str, shelf: Path) -> Path:
    """A copy in UTF-8 whose lines all end in the same way."""
    # Lines that cannot be split are told with the name of their file.
    folder = shelf / str(len(list(shelf.iterdir())))
    folder.mkdir()
    copy = folder / re.sub(r"\.(?:gz|zst|bz2)$", "", path.name)
    decoder = codecs.getincrementaldecoder(encoding)(
        "surrogateescape" if encoding == "utf-8" else "strict"
    )
    try:
        with closing(_opened(path)) as stream, copy.open("wb") as target:
            held = ""
            while chunk := stream.read(_CHUNK):
                text = held + decoder.decode(chunk)
                # Whether a line feed follows is seen with the next chunk.
                held = "\r" if text.endswith("\r") else ""
                target.write(_with_one_end(text.removesuffix("\r")))
            target.write(_with_one_end(held + decoder.decode(b"", final=True)))
    except UnicodeError as error:
        raise DataError(
            f"{path} cannot be read as {encoding}: {error}; state another `encoding` for it under "
            "`dialects` in the source's settings, or export it as UTF-8"
        ) from error
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read: {error}; export it again") from error
    return copy


def _with_one_end(text: str) -> bytes:
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n")
    # A return alone is no line's end where others have line feeds.
    return lines.replace("\r", " ").encode("utf-8", "surrogateescape")


def _header(place: Path, path: Path, stated: Dialect) -> tuple[int, str, tuple[str, ...]]:
    """How many lines come before the header, the delimiter, and the names of the columns."""
    with closing(_opened(place)) as stream:
        start = stream.read(_HEADER_BYTES).decode("utf-8", "replace").removeprefix("\ufeff")
    skip, delimiter = 0, stated.delimiter
    while start.strip():
        line, end, rest = _first_line(start)
        if found := re.fullmatch(r'"?sep=(.)"?\s*', line):
            delimiter = delimiter or found[1]
        elif line.strip():
            break
        skip, start = skip + 1, rest if end else ""
    if not start.strip():
        raise DataError(f"{path} is empty; it needs at least a header line")
    quote = stated.quote if stated.quote is not None else '"'
    delimiter = delimiter or _delimiter_of(start, quote)
    reader = csv.reader(
        io.StringIO(start, newline=""),
        delimiter=delimiter,
        quotechar=quote or None,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
    )
    try:
        names = next(reader)
    except csv.Error as error:
        raise DataError(f"{path}: its header cannot be read: {error}") from error
    return skip, delimiter, _distinct([name.strip() for name in names])


def _first_line(text: str) -> tuple[str, str, str]:
    found = re.search(r"\r\n|\n|\r", text)
    if found is None:
        return text, "", ""
    return text[: found.start()], found[0], text[found.end() :]


def _delimiter_of(start: str, quote: str) -> str:
    """The delimiter that stands most often in the header, outside of quotes."""
    counts = dict.fromkeys(_DELIMITERS, 0)
    inside = False
    for char in start:
        if quote and char == quote:
            inside = not inside
        elif not inside and char in "\r\n":
            break
        elif not inside and char in counts:
            counts[char] += 1
    return max(counts, key=lambda mark: counts[mark])


def _distinct(names: list[str]) -> tuple[str, ...]:
    """Names that differ, as DuckDB's do: it knows no case."""
    taken: set[str] = set()
    distinct = []
    for i, name in enumerate(names):
        own, nth = name or f"column{i}", 0
        while (candidate := f"{own}_{nth}" if nth else own).lower() in taken:
            nth += 1
        taken.add(candidate.lower())
        distinct.append(candidate)
    return tuple(distinct)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
