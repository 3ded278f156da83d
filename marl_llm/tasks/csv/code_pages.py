"""Which code page of the Latin script a text is in, where several decode it: `ñ` of cp1252 is `ń`
of cp1250.

In: bytes that are not UTF-8. Out: a codec, or None where the Western ones explain the text as well.
Words are judged by the letters of a language: how often each occurs (tables of charset-normalizer),
and which letters with marks it has.
"""

from __future__ import annotations

import math
import re
from functools import cache

from charset_normalizer.constant import FREQUENCIES

_WESTERN = (
    ("English", "éïöü"),
    ("German", "äöüß"),
    ("French", "àâæçéèêëîïôœùûüÿ"),
    ("Dutch", "éëïóöü"),
    ("Italian", "àèéìòù"),
    ("Spanish", "áéíñóúüç"),
    ("Portuguese", "áâãàçéêíóôõúü"),
    ("Swedish", "åäöé"),
    ("Norwegian", "åæøé"),
    ("Norwegian", "áæéíðóöúýþ"),  # Icelandic
    ("Finnish", "äöå"),
    ("Danish", "åæøé"),
)
_OTHERS = {
    "cp1250": {
        "Polish": "ąćęłńóśźż",
        "Czech": "áčďéěíňóřšťúůýž",
        "Slovak": "áäčďéíĺľňóôŕšťúýž",
        "Hungarian": "áéíóöőúüű",
        "Slovene": "čšž",
        "Croatian": "čćđšž",
        "Romanian": "ăâîşţ",
    },
    "cp1254": {"Turkish": "çğıöşüâî"},
    "cp1257": {"Lithuanian": "ąčęėįšųūž", "Estonian": "äõöüšž"},
}
_OTHERS["iso8859_2"] = _OTHERS["cp1250"]
_WORD = re.compile(rb"[A-Za-z\x80-\xff]{2,}")
_MOST_WORDS = 2_000
_SURE = 2.5  # nats by which another code page must explain the words better
_MARKED, _FOREIGN = math.log(0.004), math.log(1e-5)
_FALL = 0.13  # how fast letters become rarer with their rank


def other_code_page(text: bytes) -> str | None:
    """The code page of a language that is not Western, if its words can hardly be anything else."""
    words = [w for w in dict.fromkeys(_WORD.findall(text)) if not w.isascii()][:_MOST_WORDS]
    western = _decoded(words, "cp1252") or _decoded(words, "latin-1") or []
    usual = max((_likelihood(western, *language) for language in _WESTERN), default=0.0)
    best, found = usual + _SURE, None
    for codec, languages in _OTHERS.items():
        decoded = _decoded(words, codec)
        if decoded is None or decoded == western:
            continue
        for language in languages.items():
            if (likelihood := _likelihood(decoded, *language)) > best:
                best, found = likelihood, codec
    return found


def _decoded(words: list[bytes], codec: str) -> list[str] | None:
    try:
        return [word.decode(codec).replace("İ", "i") for word in words]
    except UnicodeDecodeError:
        return None


def _likelihood(words: list[str], language: str, marked: str) -> float:
    """Log-likelihood of all letters."""
    letters = _letters(language, marked)
    return sum(
        letters.get(letter, _FOREIGN) + (_FOREIGN if _stray(word, i) else 0.0)
        for word in words
        for i, letter in enumerate(word.lower())
        if not word.isascii()
    )


def _stray(word: str, i: int) -> bool:
    """Whether a letter is a capital behind a small one, or no letter at all."""
    if i >= len(word) or word[i].isascii():
        return False
    return not word[i].isalpha() or (i > 0 and word[i].isupper() and word[i - 1].islower())


@cache
def _letters(language: str, marked: str) -> dict[str, float]:
    ranked = [letter for letter in FREQUENCIES[language] if letter.isascii()]
    weights = [math.exp(-_FALL * rank) for rank in range(len(ranked))]
    total = sum(weights)
    letters = {
        letter: math.log(weight / total) for letter, weight in zip(ranked, weights, strict=True)
    }
    rare = math.log(0.0005)
    return (
        dict.fromkeys("abcdefghijklmnopqrstuvwxyz", rare) | letters | dict.fromkeys(marked, _MARKED)
    )
