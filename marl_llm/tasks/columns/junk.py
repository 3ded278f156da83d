"""How much of a column may be something else than what it holds, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from marl_llm.tasks.columns.date_order import NO_DATES

NO_NUMBERS = frozenset(
    {"-", "--", ".", "none", "None", "NONE", "na", "n.a.", "missing", "unknown"}
    | {
        sign + word
        for sign in ("", "+", "-")
        for word in ("inf", "Inf", "INF", "infinity", "Infinity", "∞")
    }
)
NON_DETECTS = frozenset(
    {"ND", "nd", "N.D.", "n.d.", "BDL", "bdl", "<LOD", "<LOQ", "< LOD", "< LOQ", "LOD", "LOQ"}
    | {"trace", "Trace", "tr", "not detected", "Not detected", "n.n.", "<NWG"}
)
"""What laboratories write where they found nothing: missing among numbers, and said."""
EXCEL_ERRORS = frozenset(
    """
    #N/A #NA #NV #N/D #ND #N/B #YOK #I/T #Н/Д #VALUE! #WERT! #VALOR! #¡VALOR! #VALEUR! #VALORE!
    #ARG! #WAARDE! #DEĞER! #ЗНАЧ! #REF! #¡REF! #BEZUG! #RIF! #ADR! #VERW! #BAŞV! #ССЫЛКА! #DIV/0!
    #¡DIV/0! #DEEL/0! #DZIEL/0! #SAYI/0! #ДЕЛ/0! #NAME? #NOM? #NOME? #¿NOMBRE? #NAZWA? #NAAM? #AD?
    #ИМЯ? #NUM! #¡NUM! #ZAHL! #NOMBRE! #NÚM! #LICZBA! #GETAL! #SAYI! #ЧИСЛО! #NULL! #NUL! #¡NULO!
    #NULO! #NULLO! #ZERO! #LEEG! #BOŞ! #ПУСТО! #SPILL! #CALC! #####
    """.split()  # noqa: SIM905
)
"""What Excel shows instead of a value, in eleven languages; no category is called so."""
EXPORTED_NULLS = frozenset({"(null)", "[null]", "\\N"})
"""What databases write for nothing."""
_SAID = frozenset(
    {"k.a.", "k. a.", "n.v.", "n/v", "n. v.", "n.b.", "n/d", "n.d.", "s/d", "s.d.", "s/i", "n/i"}
    | {"n.i.", "н/д", "null", "nil", "nan", "n.a", "n.a.", "n/a", "b.d.", "–", "—", "---", ".."}
    | {"...", "…", "not available", "not applicable", "not reported", "not known", "no data"}
    | {"keine angabe", "keine daten", "unbekannt", "sem dados", "sem informação", "não informado"}
    | {"não disponível", "ignorado", "sin dato", "sin datos", "no disponible", "non disponible"}
    | {"non renseigné", "inconnu", "dato non disponibile", "brak", "brak danych", "нет данных"}
    | {"veri yok"}
)
"""In small letters: words and signs for missing that may be values in a column of words."""
SAMPLE = 1_000
_JUNK_SHARE, _JUNK_VALUES = (
    0.05,
    3,
)  # a column with this little text among its numbers is a column of numbers
_USUAL = NO_NUMBERS | NO_DATES | NON_DETECTS | EXCEL_ERRORS | EXPORTED_NULLS
_MANY, _MOST_WORDS = 20, 0.5  # different values, among which few words may fill half of the cells


def too_few(distinct: Sequence[str], readings: Sequence[np.ndarray]) -> bool:
    """Whether so many of the first different values are unread that no share of the rest could make
    up for it.
    """
    allowed = _JUNK_VALUES + len(_USUAL | _SAID)
    return (
        bool(len(distinct)) and min(int(np.isnan(reading).sum()) for reading in readings) > allowed
    )


def is_junk(
    distinct: Sequence[str], counts: np.ndarray, unread: np.ndarray, share: float | None = None
) -> bool:
    """Whether what could not be read is so little, or so usual a word, that it counts as missing.

    `share` of the cells may be few different other words, by default a twentieth; half of them
    where many different values were read, because these are no categories.
    """
    odd = [i for i in map(int, unread) if not is_usual(distinct[i])]
    if not odd or len(odd) > _JUNK_VALUES:
        return not odd
    words = not any(character.isdigit() for i in odd for character in distinct[i])
    if words and len(distinct) - len(unread) >= _MANY:
        share = _MOST_WORDS
    return bool(counts[odd].sum() <= (share or _JUNK_SHARE) * counts.sum())


def is_usual(cell: str) -> bool:
    """Whether a cell that is no value is a usual word or sign for missing."""
    return cell in _USUAL or cell.casefold() in _SAID


def junk_note(unread: Sequence[str], what: str) -> str | None:
    """What was read as missing, or None."""
    odd = [cell for cell in unread if cell not in NO_NUMBERS and cell not in NO_DATES]
    if not odd:
        return None
    rest = f" and {len(odd) - _JUNK_VALUES} more" if len(odd) > _JUNK_VALUES else ""
    return (
        f"{', '.join(repr(cell) for cell in odd[:_JUNK_VALUES])}{rest} among its {what} read as "
        "missing"
    )


def joined(notes: Iterable[str | None]) -> str | None:
    """One note of several; None if there is none."""
    return "; ".join(note for note in notes if note) or None
