"""Which encoding a text file is in.

In: a path, and the encoding the user named, if any. Out: the name of a codec that decodes every
byte of the file. The file is read in blocks and never held whole.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from charset_normalizer import from_bytes

from marl_llm.core.errors import UserError
from marl_llm.tasks.csv.code_pages import other_code_page, other_script

_BLOCK = 1 << 20
_GUESSED = 1 << 18  # bytes shown to charset-normalizer
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}
_ASCII_LETTERS = bytes(range(ord("a"), ord("z") + 1)) + bytes(range(ord("A"), ord("Z") + 1))
_OTHER_BYTES = bytes(range(0x80, 0x100))
_CONTROLS = bytes(
    range(0x80, 0xA0)
)  # control characters in latin-1; quotes, dashes and the euro in cp1252
_OTHER_SCRIPT = 0.4
_ASCII = bytes(range(0x80))
_TOGETHER = re.compile(rb"([A-Za-z]?)([\x80-\xff]{3,})(?=([A-Za-z]?))")
_CELLS = re.compile(rb"[\r\n\t,;|\"]+")
_LAST_LATIN = "\u024f"
_ZEROS = 0.7
_USUAL_PART = {"cp949": "euc_kr", "big5hkscs": "big5", "johab": "euc_kr", "gb18030": "gb2312"}
"""Code pages of many rare characters, and the part of them that texts use."""


@dataclass(frozen=True)
class TextFile:
    """A file of text, not yet decoded.

    Attributes
    ----------
    path : Path
    encoding : str
        A Python codec that decodes all of it.
    even_quotes : bool
        Whether it holds an even number of quotation marks: if not, one may never be closed.
    """

    path: Path
    encoding: str
    even_quotes: bool


def text_file(path: Path | str, encoding: str | None = None) -> TextFile:
    """Find the encoding of a file, or check the one that is named.

    UTF-8 and whatever begins with a byte order mark are certain. A file that is mostly of another
    script than the Latin one is in the code page whose words are words of a language, or is left to
    charset-normalizer (which takes Western text with few accents for almost anything); the rest is
    in the code page of a language that is not Western, or of DOS or a Macintosh, if its words say
    so, else cp1252 if it uses characters that latin-1 has not, else latin-1.

    Raises
    ------
    UserError
        If the file is missing, a directory, unreadable or not text, or is not in the encoding that
        was named.
    """
    path = Path(path)
    name = None if encoding is None else _known(encoding)
    counts = _Counts()
    for block in _blocks(path):
        counts.add(block)
    unmarked = _unmarked_utf16(path) if counts.nulls and not counts.mark else None
    if name is None and counts.nulls and counts.mark is None and unmarked is None:
        raise UserError(
            f"{path} is not a text file: save the table as CSV first, or name its encoding."
        )
    name = name or counts.mark or unmarked or ("utf-8" if counts.utf8 else _legacy(path, counts))
    if name == "utf-8" and counts.mark:
        name = counts.mark
    if name != "latin-1" and not (name.startswith("utf-8") and counts.utf8):
        _check(path, name)
    return TextFile(path, name, counts.quotes % 2 == 0)


class _Counts:
    """What the bytes of a file say, gathered block by block."""

    def __init__(self) -> None:
        self.mark: str | None = None
        self.utf8 = True
        self.nulls = self.letters = self.others = self.controls = self.quotes = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._first = True

    def add(self, block: bytes) -> None:
        """Count one block; the empty block ends the file."""
        if self._first:
            self.mark = next(
                (name for mark, name in _MARKS.items() if block.startswith(mark)), None
            )
            self._first = False
        self.nulls += block.count(0)
        self.quotes += block.count(b'"')
        try:
            if self.utf8:
                self._decoder.decode(block, final=not block)
        except UnicodeDecodeError:
            self.utf8 = False
        if not block.isascii():
            self.letters += len(block) - len(block.translate(None, _ASCII_LETTERS))
            self.others += len(block) - len(block.translate(None, _OTHER_BYTES))
            self.controls += len(block) - len(block.translate(None, _CONTROLS))


def _blocks(path: Path) -> Iterator[bytes]:
    """The bytes of a file, and at the end an empty block."""
    if path.is_dir():
        raise UserError(f"{path} is a directory: give the path of a CSV file.")
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                yield block
    except FileNotFoundError:
        raise UserError(f"There is no file {path}: check the path.") from None
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): check its permissions."
        ) from None
    yield b""


def _known(encoding: str) -> str:
    try:
        "a".encode(encoding)
        return (
            codecs.lookup(encoding).name
            if encoding.lower() not in ("latin-1", "latin1")
            else "latin-1"
        )
    except (LookupError, ValueError):
        raise UserError(
            f"There is no encoding '{encoding}': name one that Python knows, as utf-8, "
            "utf-16, latin-1 or cp1252."
        ) from None


def _unmarked_utf16(path: Path) -> str | None:
    """UTF-16 without a byte order mark: every second byte of Western text is zero."""
    with path.open("rb") as file:
        beginning = file.read(_GUESSED)
    zeros = [half.count(0) / max(len(half), 1) for half in (beginning[::2], beginning[1::2])]
    for codec, (none, most) in (("utf-16-le", zeros), ("utf-16-be", zeros[::-1])):
        if most > _ZEROS and none < 1 - _ZEROS and _undecodable(path, codec) is None:
            return codec
    return None


def _legacy(path: Path, counts: _Counts) -> str:
    """The encoding of a file that is not UTF-8."""
    with path.open("rb") as file:
        beginning = file.read(_GUESSED)
    if counts.others > _OTHER_SCRIPT * (counts.others + counts.letters) or _in_words(beginning):
        script = other_script(beginning)
        if script is not None and _undecodable(path, script) is None:
            return script
        guess = _guessed(beginning[: beginning.rfind(b"\n") + 1] or beginning)
        if guess is not None and _undecodable(path, guess) is None:
            return _without_extensions(path, guess)
    page = other_code_page(beginning)
    if page is not None and _undecodable(path, page) is None:
        return page
    return "cp1252" if counts.controls and _undecodable(path, "cp1252") is None else "latin-1"


def _without_extensions(path: Path, guess: str) -> str:
    """Japanese where a Korean or Chinese code page has the text among its rare extensions only."""
    usual = _USUAL_PART.get(guess)
    if usual is None or _undecodable(path, usual) is None or _undecodable(path, "cp932"):
        return guess
    return "cp932"


def _in_words(text: bytes) -> bool:
    """Whether most bytes that are not ASCII stand three and more together, as no Latin letters do
    but in the middle of a word.
    """
    runs = _TOGETHER.findall(text)
    together = sum(len(run) for before, run, after in runs if not (before and after))
    return together > len(text.translate(None, _ASCII)) / 2


def _guessed(text: bytes) -> str | None:
    """What charset-normalizer takes a text for; a text of another script that it takes for a Latin
    one is shown to it again without its ASCII cells.
    """
    cells = b"\n".join(cell for cell in _CELLS.split(text) if not cell.isascii())
    found = None
    for shown in (text, cells):
        guess = from_bytes(shown).best()
        if guess is not None:
            found = found or guess.encoding
            marked = [c for c in str(guess) if c.isalpha() and not c.isascii()]
            if sum(c > _LAST_LATIN for c in marked) > len(marked) / 2:
                return guess.encoding
    return found


def _check(path: Path, encoding: str) -> None:
    line = _undecodable(path, encoding)
    if line is not None:
        raise UserError(
            f"{path}, line {line}, is not {encoding} text: save the file as UTF-8, or name "
            "its encoding."
        )


def _undecodable(path: Path, encoding: str) -> int | None:
    """Number of the first line that cannot be decoded, or None."""
    decoder = codecs.getincrementaldecoder(encoding)()
    lines = 1
    for block in _blocks(path):
        state = decoder.getstate()
        try:
            lines += decoder.decode(block, final=not block).count("\n")
        except UnicodeError:
            return lines + _lines_before(block, encoding, state)
    return None


def _lines_before(block: bytes, encoding: str, state: tuple[bytes, int]) -> int:
    """Line ends in front of the first byte of a block that cannot be decoded."""
    decoder = codecs.getincrementaldecoder(encoding)()
    decoder.setstate(state)
    return sum(1 for character in _decodable(decoder, block) if character == "\n")


def _decodable(decoder: codecs.IncrementalDecoder, block: bytes) -> Iterator[str]:
    for position in range(len(block)):
        try:
            yield from decoder.decode(block[position : position + 1])
        except UnicodeError:
            return
