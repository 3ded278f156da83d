"""Units and other words that people write beside numbers, and what they stand for.

In: a word. Out: what it can mean, by dimension: a factor, or a factor and a summand, to one unit of
that dimension. A word can have several meanings (`m`: metres, minutes, millions); which one a
column has is decided in `beside.py`, from all of its words. Currencies have no factors: rates
change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Scale = float | tuple[float, float]

_NAMED: dict[str, dict[str, Scale]] = {
    "mass": {
        "µg μg ug mcg": 1e-9,
        "mg mgs milligram milligrams": 1e-6,
        "g gr gram grams gramm gramme grammes gramo gramos grama gramas": 1e-3,
        "kg kgs kilo kilos kilogram kilograms kilogramm kilogrammes quilo quilos": 1.0,
        "t ton tons tonne tonnes tonelada toneladas": 1e3,
        "oz ounce ounces": 0.028349523125,
        "lb lbs pound pounds": 0.45359237,
        "st stone": 6.35029318,
    },
    "length": {
        "nm": 1e-9,
        "µm μm um": 1e-6,
        "mm millimeter millimeters millimetre millimetres": 1e-3,
        "cm centimeter centimeters centimetre centimetres": 1e-2,
        "dm": 0.1,
        "m meter meters metre metres metro metros mètre mètres": 1.0,
        "km kms kilometer kilometers kilometre kilometres": 1e3,
        'in inch inches " ″': 0.0254,
        "ft foot feet ' ′": 0.3048,
        "yd yds yard yards": 0.9144,
        "mi mile miles": 1609.344,
    },
    "time": {
        "ns": 1e-9,
        "µs μs us": 1e-6,
        "ms msec": 1e-3,
        "s sec secs second seconds sek sekunde sekunden segundo segundos seconde secondes": 1.0,
        "m min mins minute minutes minuten minuto minutos minuti": 60.0,
        "h hr hrs hour hours std stunde stunden hora horas heure heures ora ore": 3600.0,
        "d day days tag tage tagen dia dias día días jour jours giorno giorni": 86_400.0,
        "w wk wks week weeks woche wochen semana semanas semaine semaines": 604_800.0,
        "mo mon mos month months monat monate monaten mes meses mois mesi mês": 2_629_746.0,
        "y yr yrs year years jahr jahre jahren año años ano anos an ans anno anni": 31_556_952.0,
    },
    "volume": {
        "µl μl ul": 1e-6,
        "ml cc ccm cm³ cm3": 1e-3,
        "cl": 1e-2,
        "dl": 0.1,
        "l lt ltr liter liters litre litres litro litros": 1.0,
        "hl": 100.0,
        "m³ m3 cbm": 1e3,
        "gal gallon gallons": 3.785411784,
    },
    "area": {
        "mm² mm2": 1e-6,
        "cm² cm2": 1e-4,
        "m² m2 qm sqm squaremeter squaremeters squaremetres sqmeter sqmeters sqmetres": 1.0,
        "sqft ft² ft2 sq.ft squarefeet squarefoot sqfeet": 0.09290304,
        "sqyd sqyards squareyards": 0.83612736,
        "ha hectare hectares hektar hectárea hectáreas": 1e4,
        "acre acres": 4046.8564224,
        "km² km2 sqkm": 1e6,
    },
    "speed": {
        "m/s": 1.0,
        "km/h kmh kph": 1 / 3.6,
        "mph mi/h": 0.44704,
        "kn kt kts knot knots": 0.514444,
    },
    "temperature": {
        "°C ℃ ºC": 1.0,
        "°F ℉ ºF": (5 / 9, -160 / 9),
    },
    "energy": {
        "j": 1.0,
        "kj": 1e3,
        "mj": 1e6,
        "cal": 4.184,
        "kcal": 4184.0,
        "wh": 3600.0,
        "kwh": 3.6e6,
        "mwh": 3.6e9,
    },
    "torque": {"Nm nm": 1.0, "kgm kgfm kgf.m": 9.80665, "lbft ftlb lb.ft ft.lb": 1.3558179483},
    "power": {"mW": 1e-3, "W watt watts": 1.0, "kW kw": 1e3, "MW": 1e6, "GW": 1e9},
    "pressure": {"pa": 1.0, "hpa mbar": 100.0, "kpa": 1e3, "bar": 1e5, "psi": 6894.757293},
    "frequency": {"hz": 1.0, "khz": 1e3, "mhz": 1e6, "ghz": 1e9},
    "voltage": {"mV": 1e-3, "V volt volts": 1.0, "kV": 1e3},
    "current": {"µA μA": 1e-6, "mA": 1e-3, "A amp amps": 1.0, "kA": 1e3},
    "bytes": {
        "b byte bytes": 1.0,
        "kb kib": 1e3,
        "mb mib": 1e6,
        "gb gib": 1e9,
        "tb tib": 1e12,
    },
    "bit rate": {"bps": 1.0, "kbps": 1e3, "mbps": 1e6, "gbps": 1e9},
    "concentration": {
        "ng/l": 1e-9,
        "µg/l μg/l ug/l ng/ml": 1e-6,
        "mg/l µg/ml μg/ml ug/ml": 1e-3,
        "g/l mg/ml": 1.0,
        "mg/dl": 1e-2,
        "g/dl": 10.0,
    },
    "count": {
        "K k thousand thousands thsd tsd tausend mil mila tys tis tisíc ezer bin тыс 千": 1e3,
        "M mi mn mio mln mill million millions millionen milhão milhões millón millones": 1e6,
        "milione milioni milyon млн миллион миллионов 百万": 1e6,
        "万 萬 만": 1e4,
        "亿 億 억": 1e8,
        "milyar млрд миллиард миллиардов": 1e9,
        "MM": 1e6,
        "B bn bln billion billions mrd mld milliarde milliarden milliards bi bilhão bilhões": 1e9,
        "T tri trillion trillions trilhão trilhões": 1e12,
        "lakh lakhs lac lacs": 1e5,
        "crore crores": 1e7,
    },
}
COUNT = "count"
LETTERED_COUNTS: dict[str, float] = {"k": 1e3, "m": 1e6, "b": 1e9, "K": 1e3, "M": 1e6, "B": 1e9}
"""Suffixes of numbers without units; small letters only beside other ones, or a currency."""
RUPEES = ("₹", "Rs", "INR")
SIGN_PAIRS: tuple[tuple[str, str], ...] = (("cr", "dr"), ("h", "s"), ("d", "c"))
"""Words of bookkeeping; the first of each pair is read as minus: credits of a ledger, but debits of
an account where banks write `C` and `D`.
"""
HEMISPHERES: tuple[tuple[str, str], ...] = (("s", "n"), ("w", "e"))
"""Words of coordinates: the first of each pair is a minus."""
PARTS_OF_DEGREES = {"°": 1.0, "º": 1.0}
PARTS_OF_DEGREES |= dict.fromkeys("'′’", 1 / 60) | dict.fromkeys('"″”', 1 / 3600)
LIMITS = {
    "<": "<", "≤": "<", ">": ">", "≥": ">", "=": "", "under": "<", "below": "<", "unter": "<",
    "over": ">", "above": ">", "über": ">", "bis": "<",
}  # fmt: skip
ABOUT = (
    "~", "≈", "ca", "ca.", "approx", "approx.", "about", "circa", "±", "[ ]", ",-", "( )", "@", "+ "
)  # fmt: skip
TITLES = ("'", "#", "no.", "nr.", "nº", "n°", "№", "=")
"""Words in front of a number; where it begins with a zero it is a name."""
ARROWS = {"▲": 1.0, "↑": 1.0, "△": 1.0, "▼": -1.0, "↓": -1.0, "▽": -1.0}
FILLERS = ("and", "e", "und", "et", "y", "&", ",")


def _by_word(words: Iterable[tuple[str, Mapping[str, Scale]]]) -> dict[str, dict[str, Scale]]:
    found: dict[str, dict[str, Scale]] = {}
    for dimension, units in words:
        for spelled, scale in units.items():
            for word in spelled.split():
                found.setdefault(word, {})[dimension] = scale
    return found


_MEANINGS = _by_word(_NAMED.items())


def meanings(word: str) -> dict[str, Scale]:
    """What a word can stand for, by dimension; {} if it is not known. How it is capitalised counts
    where both ways have a meaning in one dimension.
    """
    found: dict[str, Scale] = {}
    for spelled in (word, word.rstrip("."), word.casefold(), word.casefold().rstrip(".")):
        found = _MEANINGS.get(spelled, {}) | found
    return found
