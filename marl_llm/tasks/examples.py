"""One small CSV as Brazilian offices export them: semicolons, decimal commas, latin-1, accents,
gaps, an id column.

`python -m marl_llm.tasks.examples DIR` writes `clientes.csv`, invented customers of an internet
provider; the target `Cancelou` says who cancelled. Used in the README and in tests.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

FILE = "clientes.csv"
TARGET = "Cancelou"
_REGIONS = ("Norte", "Nordeste", "Centro-Oeste", "Sudeste", "Sul")
_PLANS = ("Básico", "Família", "Essencial", "Avançado")
_PAYMENTS = ("boleto", "cartão de crédito", "débito automático", "pix")


def customers(n_rows: int = 480, seed: int = 7) -> pd.DataFrame:
    """Invented customers; who cancels depends on skewed, stepped and unordered columns, an
    interaction, and luck.
    """
    rng = np.random.default_rng(seed)
    months = np.ceil(rng.exponential(26, n_rows)).astype(int)
    income = np.round(np.exp(rng.normal(8.1, 0.7, n_rows)), 2)
    plan = rng.choice(4, n_rows, p=[0.35, 0.25, 0.25, 0.15])
    payment = rng.choice(4, n_rows, p=[0.4, 0.2, 0.25, 0.15])
    calls = rng.poisson(1.6, n_rows)
    bill = np.round(np.array([59.9, 149.9, 89.9, 219.9])[plan] * rng.uniform(0.85, 1.35, n_rows), 2)
    satisfaction = np.clip(np.round(4.2 - 0.6 * calls + rng.normal(0, 1.2, n_rows), 1), 0, 5)
    burden = np.log(bill / income)
    risk = (
        -4.1
        + 1.6 * (months <= 12)
        + 1.1 * (calls >= 4)
        + 1.2 * (burden - burden.mean())
        + np.array([0.9, -0.7, 0.2, -0.3])[payment]
        + np.array([0.3, -0.6, 0.8, -0.2])[plan]
        + 0.55 * (5 - satisfaction)
        + 1.2 * ((months <= 12) & (satisfaction < 3))
    )
    cancelled = rng.logistic(size=n_rows) * 0.7 + 1.6 * risk > -1.2
    return pd.DataFrame(
        {
            "Código do cliente": np.sort(rng.choice(90_000, n_rows, replace=False) + 10_000).astype(
                str
            ),
            "Idade": rng.integers(18, 80, n_rows),
            "Região": np.array(_REGIONS)[rng.integers(0, 5, n_rows)],
            "Renda mensal (R$)": income,
            "Plano": np.array(_PLANS)[plan],
            "Tempo de contrato (meses)": months,
            "Chamadas ao suporte": calls,
            "Fatura média (R$)": bill,
            "Satisfação": np.where(rng.random(n_rows) < 0.08, np.nan, satisfaction),
            "Método de pagamento": np.where(
                rng.random(n_rows) < 0.04, "", np.array(_PAYMENTS)[payment]
            ),
            TARGET: np.where(cancelled, "Sim", "Não"),
        }
    )


def brazilian_number(value: float, decimals: int) -> str:
    """1234.5 as "1.234,50"; an empty text for a missing value."""
    if np.isnan(value):
        return ""
    return f"{value:,.{decimals}f}".translate(str.maketrans(",.", ".,"))


def write_examples(directory: Path | str) -> Path:
    """Write `clientes.csv` into a directory; same bytes each time. Returns its path."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    frame = customers()
    for column, decimals in {
        "Renda mensal (R$)": 2,
        "Fatura média (R$)": 2,
        "Satisfação": 1,
    }.items():
        frame[column] = [brazilian_number(value, decimals) for value in frame[column]]
    path = directory / FILE
    path.write_bytes(frame.to_csv(index=False, sep=";", lineterminator="\r\n").encode("latin-1"))
    return path


def main(arguments: list[str] | None = None) -> int:
    """Command line: write the file and name it."""
    parser = argparse.ArgumentParser(
        prog="python -m marl_llm.tasks.examples", description="Write the example CSV."
    )
    parser.add_argument("directory", type=Path)
    options = parser.parse_args(arguments)
    sys.stdout.write(f"{write_examples(options.directory)}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
