"""Code pages of the Latin script are told apart by the letters of languages; other scripts are
found however few their letters are; Western text stays what it was.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from marl_llm.core.errors import UserError
from marl_llm.tasks.csv.code_pages import other_code_page
from marl_llm.tasks.csv.encoding import text_file

WESTERN = [
    "São",
    "Paulo",
    "Brasília",
    "não",
    "médio",
    "três",
    "avó",
    "ciência",
    "órgão",
    "cônjuge",
    "divorciado",
    "coração",
    "pão",
    "maçã",
    "mês",
    "año",
    "niño",
    "mañana",
    "señal",
    "leña",
    "baño",
    "español",
    "Ávila",
    "Logroño",
    "Núñez",
    "Perú",
    "Müller",
    "Köln",
    "Größe",
    "Straße",
    "weiß",
    "früh",
    "café",
    "crème",
    "Besançon",
    "où",
    "être",
    "déjà",
    "Noël",
    "île",
    "août",
    "forêt",
    "Malmö",
    "Örebro",
    "Åsa",
    "Tromsø",
    "Sønderborg",
    "København",
    "Jyväskylä",
    "città",
    "perché",
    "più",
    "così",
    "Citroën",
    "José",
    "Zürich",
    "Curaçao",
    "naïve",
    "Reykjavík",
    "Þór",
    "Ísafjörður",
]


@pytest.mark.parametrize("word", WESTERN)
def test_a_single_western_word_stays_western(word: str):
    assert other_code_page(word.encode("latin-1")) is None


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("nazwa waluty dolar amerykański", "cp1250"),
        ("Łódź Wrocław Kraków Gdańsk", "cp1250"),
        ("kobieta mężczyzna", "cp1250"),
        ("Plzeň Ústí nízká střední vysoká", "cp1250"),
        ("Győr Székesfehérvár erős", "cp1250"),
        ("Łódź zażółć gęślą jaźń", "iso8859_2"),
        ("İstanbul Muğla düşük yüksek", "cp1254"),
        ("Šiauliai Panevėžys", "cp1257"),
        ("Düsseldorf München Köln", "cp850"),
        ("São Paulo Ribeirão Preto", "cp850"),
        ("Łódź Kraków Wrocław", "cp852"),
        ("München Köln São Ribeirão", "mac_roman"),
        ("Größe", "mac_roman"),
    ],
)
def test_words_of_other_languages_tell_their_code_page(words: str, page: str):
    found = other_code_page(words.encode(page))
    assert found is not None and words.encode(page).decode(found) == words


@pytest.mark.parametrize(
    "words",
    [
        "don\u2019t it\u2019s",
        "\u201cgood\u201d",
        "Paris \u2013 l\u2019été",
        "a\u2014b",
        "5 \u20ac",
        "3\u2026",
    ],
)
def test_quotation_marks_and_dashes_of_cp1252_are_no_letters(words: str):
    assert other_code_page(words.encode("cp1252")) is None


@pytest.mark.parametrize("page", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_recognised(tmp_path: Path, page: str):
    text = "".join(f"{i};Köln;Łódź\n" for i in range(40))
    (tmp_path / "t.csv").write_bytes(f"a;b;c\n{text}".encode(page))
    assert text_file(tmp_path / "t.csv").encoding == page
    (tmp_path / "t.csv").write_bytes(bytes(range(256)) * 40)
    with pytest.raises(UserError, match="is not a text file"):
        text_file(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("Цена", "cp1251"),
        ("Τιμή", "cp1253"),
        ("価格", "cp932"),
        ("Částka", "cp1250"),
    ],
)
def test_one_name_in_another_code_page_is_recognised(tmp_path: Path, name: str, page: str):
    path = tmp_path / "t.csv"
    path.write_bytes("\n".join([f"{name},y", *(f"{i},{i % 7}" for i in range(60))]).encode(page))
    assert name.encode(page).decode(text_file(path).encoding) == name


CITIES = {
    "cp1251": ["Москва", "Казань", "Самара"],
    "cp866": ["Москва", "Казань", "Самара"],
    "koi8-r": ["Москва", "Казань", "Самара"],
    "cp1253": ["Αθήνα", "Πάτρα", "Βόλος"],
    "gb18030": ["北京", "上海", "广州"],
    "shift_jis": ["東京", "大阪", "名古屋"],
    "euc_kr": ["서울", "부산", "대구"],
    "cp1255": ["ירושלים", "חיפה", "אילת"],
    "cp1256": ["القاهرة", "الرياض", "دبي"],
}


@pytest.mark.parametrize("page", CITIES)
def test_a_column_of_another_script_among_ascii_is_recognised(tmp_path: Path, page: str):
    rows = [f"C{i:05}-AX,{i * 7.25},{CITIES[page][i % 3]},average grade" for i in range(60)]
    text = "\n".join(["customer_id,income,city,grade", *rows, ""])
    (tmp_path / "t.csv").write_bytes(text.encode(page))
    assert text.encode(page).decode(text_file(tmp_path / "t.csv").encoding) == text
