"""Words by which people, and the programs they use, mark rows that sum up others or say something
about a table, in some twenty languages.
"""

from __future__ import annotations

_TOTAL = (
    r"(?:grand|sub|sum|over ?all|running)?[ -]?totals?|overall"
    r"|total (?:geral|general|général|generale)"
    r"|sous-?total|subtotaa?l|totaa?l|totale|totaux|totali|gesamt|gesamtsumme|gesamtergebnis"
    r"|insgesamt|summe|zwischensumme|endsumme|zusammen|suma(?: końcowa)?|sumas|somme|somma|soma"
    r"|summa|sums?|razem|ogółem|łącznie|celkem|celkom|součet|spolu|összesen|végösszeg|итого"
    r"|всего|сумма|усього|разом|genel toplam|ara toplam|toplam|yhteensä|i alt|sum total"
    r"|ukupno|skupaj|kokku|kopā|iš viso|σύνολο|合计|合計|总计|總計|小计|小計|総計|합계|총계|Σ|∑"
)
_STATISTIC = (
    r"averages?|avg|mean|median|min|max|minimum|maximum|std|st\.? ?dev|stdev|std\.? dev"
    r"|standard deviation|count|mittelwert|durchschnitt|mittel|média|media|mediana|promedio"
    r"|moyenne|médiane|średnia|průměr|priemer|átlag|среднее|ortalama|gemiddelde|medelvärde"
    r"|gennemsnit|keskiarvo|平均|평균"
)
_BETWEEN = r"[\s:.*=#()\-_/]"
STATISTIC = rf"(?i)^{_BETWEEN}*(?:{_STATISTIC}){_BETWEEN}*$"
"""A cell that is a word for a mean, a count or the like; for `re` and RE2, as the others."""
SUMMARY = (
    rf"(?i)^{_BETWEEN}*(?:(?:{_TOTAL})(?:{_BETWEEN}.*)?|.*{_BETWEEN}(?:{_TOTAL})|{_STATISTIC})"
    rf"{_BETWEEN}*$"
)
"""The same, or a cell that begins or ends with a word for a total."""
COMMENT = r"^(?:#|//|%|\*)[^0-9]*[^\W\d_]{2}"
"""A cell that programs take for a comment."""
NOTE = (
    r"(?i)^\W*(?:page|pagina|página|seite|strona|stránka|oldal|страница|sayfa|source|sources|fonte"
    r"|fontes|fuente|quelle|quellen|źródło|zdroj|forrás|источник|kaynak|bron|källa|notes?|nota"
    r"|notas|note:|remarks?|hinweis|anmerkung|uwaga|poznámka|примечание|generated|exported"
    r"|created|printed|report|erstellt|exportiert|gedruckt|stand|wygenerowano|gerado|emitido"
    r"|generado|généré|copyright|©|\(c\)|end of|eof|fin|fim|ende|legend|legende|rows? returned"
    r"|last updated|updated|data (?:as of|from)|\d+ (?:rows|records|entries|zeilen|lignes|linhas"
    r"|filas|wierszy))\b"
)
