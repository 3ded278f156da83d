"""The short program of a plain CSV, as an example: two numbers and a category, two classes.

`plain.py` takes `read` and what stands under `__main__` from here, with the columns and the
pipeline of a person's own CSV. It has no annotations, to be short.
"""

# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false
# pyright: reportOptionalMemberAccess=false
# What pandas leaves open is not narrowed here: each line stands in delivered files.

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

from marl_llm.core.kind import Kind
from marl_llm.proposals import baseline, compile

ANSWER, CLASSES = "churn", ["no", "yes"]
NA_WORDS = ["", "NA"]
NUM, CAT = ["age", "income"], ["city"]


def build_pipeline():
    """Stands for the delivered pipeline."""
    return compile(baseline(Kind.binary))


def read(path, names, codec="utf-8-sig"):
    """Floats and text of a CSV in any of the usual delimiters, encodings and decimal marks."""
    try:
        heads = {sep: pd.read_csv(path, sep=sep, encoding=codec, nrows=0) for sep in ",;\t|"}
        sep = max(heads, key=lambda sep: len(heads[sep].columns.intersection(names)))
        cells = pd.read_csv(path, sep=sep, encoding=codec, header=None, dtype=str, na_filter=False)
        cells = cells.astype(object).apply(lambda column: column.str.strip())
        table = cells.mask(cells.isin(NA_WORDS))[1:].set_axis(cells.loc[0], axis=1)
        wrong = [f"{n} columns {x}" for x in names if (n := list(table).count(x)) != 1]
        if wrong or table.empty:
            raise ValueError(f"it has {', '.join(wrong) or 'no rows of data'}")
        has = table[NUM].stack().astype(str).str.contains
        commas = not has(r"\.").any() and (sep == ";" or has(r",(?!\d{3}$)").any())
        table[NUM] = table[NUM].replace({",": "."} if commas else {}, regex=True).astype(float)
        return table
    except UnicodeError:
        return read(path, names, {"utf-8-sig": "utf-16", "utf-16": "cp1252"}.get(codec, "latin-1"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {getattr(error, 'strerror', '') or error}") from None


if __name__ == "__main__":
    try:
        train, new, out = sys.argv[1:]
        known, rows = read(train, [ANSWER, *NUM, *CAT]).dropna(subset=ANSWER), read(new, NUM + CAT)
        np.random.seed(0)
        model = build_pipeline().fit(known, known[ANSWER].map(CLASSES.index))
        answers = pd.DataFrame({ANSWER: [CLASSES[i] for i in model.predict(rows).ravel()]})
        answers[[f"probability {name}" for name in CLASSES]] = model.predict_proba(rows)
        answers.to_csv(out, index=False)
    except (OSError, ValueError) as error:
        print("solution.py:", *(str(error) if sys.argv[3:] else __doc__).split(), file=sys.stderr)
        sys.exit(2)
