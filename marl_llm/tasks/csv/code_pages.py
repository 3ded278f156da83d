"""Which code page of an alphabet a text is in, where several decode it: `ñ` of cp1252 is `ń` of
cp1250, and `ш` of cp1251 another letter in koi8-r.

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
_OTHERS["iso8859_2"] = _OTHERS["cp852"] = _OTHERS["cp1250"]
_OTHERS["cp850"] = _OTHERS["mac_roman"] = dict(_WESTERN)
_RARER = {"cp1257": 2.0, "cp1254": 1.0}
"""Nats that must speak for a code page of few languages beside cp1250."""
_SCRIPTS = {
    "cp1251": ("Russian", "Ukrainian", "Bulgarian", "Serbian"),
    "koi8_r": ("Russian",),
    "cp866": ("Russian", "Ukrainian", "Bulgarian"),
    "iso8859_5": ("Russian", "Bulgarian", "Serbian"),
    "mac_cyrillic": ("Russian", "Ukrainian"),
    "cp1253": ("Greek",),
    "iso8859_7": ("Greek",),
    "mac_greek": ("Greek",),
    "cp1255": ("Hebrew",),
    "cp1256": ("Arabic", "Farsi"),
    "iso8859_6": ("Arabic",),
    "cp874": ("Thai",),
}
_WORD = re.compile(rb"[A-Za-z\x80-\xff]{2,}")
_INSIDE, _AT_ENDS = "\u2018\u2019\u2013\u2014", "\u201a\u201c\u201d\u201e\u2026«»"
"""Signs of cp1252 that stand between letters, and those at the ends of words only."""
_KNOWN = -4.2  # nats a letter, at least, where the language is right
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
            likelihood = _likelihood(decoded, *language) - _RARER.get(codec, 0.0)
            if likelihood > best:
                best, found = likelihood, codec
    return found


def other_script(text: bytes) -> str | None:
    """The code page of an alphabet that is not the Latin one, under which all words are words."""
    words = [w for w in dict.fromkeys(_WORD.findall(text)) if not w.isascii()][:_MOST_WORDS]
    best, found = _KNOWN, None
    for codec, languages in _SCRIPTS.items():
        decoded = _decoded(words, codec) or []
        if not decoded or any(_stray(word, i) for word in decoded for i in range(len(word))):
            continue
        count = sum(not letter.isascii() for word in decoded for letter in word)
        for language in languages:
            likelihood = sum(_script_likelihood(word, language) for word in decoded) / count
            if likelihood > best:
                best, found = likelihood, codec
    return found


def _script_likelihood(word: str, language: str) -> float:
    letters = _script_letters(language)
    return sum(letters.get(letter, _FOREIGN) for letter in word.lower() if not letter.isascii())


@cache
def _script_letters(language: str) -> dict[str, float]:
    ranked = [letter for letter in FREQUENCIES[language] if not letter.isascii()]
    weights = [math.exp(-_FALL * rank) for rank in range(len(ranked))]
    return {
        letter: math.log(weight / sum(weights))
        for letter, weight in zip(ranked, weights, strict=True)
    }


def _decoded(words: list[bytes], codec: str) -> list[str] | None:
    try:
        decoded = [word.decode(codec).replace("İ", "i") for word in words]
    except UnicodeDecodeError:
        return None
    return [*map(_bare, decoded)] if codec == "cp1252" else decoded


def _bare(word: str) -> str:
    """A word without the signs that stand beside and between words."""
    return word.strip(_AT_ENDS + _INSIDE).translate(dict.fromkeys(map(ord, _INSIDE)))


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
    """Whether a letter is a capital behind a small one or in front of one, within a word, or no
    letter at all.
    """
    if i >= len(word) or word[i].isascii():
        return False
    inside = (
        i > 0 and word[i].isupper() and (word[i - 1].islower() or word[i + 1 : i + 2].islower())
    )
    return not word[i].isalpha() or inside


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
