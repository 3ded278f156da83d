"""What rewards are computed from: the facts of one model call and of the turn it belongs to, as its
row keeps them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from marl_llm.core.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Facts, never weighted. Each field is the column of that name of a trajectory row.

    Attributes
    ----------
    role : str
        Who spoke.
    verdict : str
        A `Verdict`: what came of the turn; of a suggestion by its reference implementation.
    compliance : float or None
        Engineer: share of what was asked that was done, in [0, 1]; None for code that failed.
    step_gain : float or None
        Significant skill gain. Engineer: of its implementation if it did as asked, else 0. Data
        Scientist: mean over the implementations that did as asked, None where none did.
    new_reference_gain : float or None
        Data Scientist: significant skill gain of the reference implementation that was not
        credited before, 0 if it is not significant; None if nothing ran or all was credited.
    rungs : int
        Engineer: rungs its code reached of parsed, built, fitted, predicted; 0 to 4.
    refused : bool
        This call's action was invalid and the Data Scientist was asked again.
    prompt_tokens, completion_tokens : int
        Of this call.
    analysis_cpu_s : float
        Processor time of the analysis that this call asked for, seconds.
    """

    role: str
    verdict: str
    compliance: float | None = None
    step_gain: float | None = None
    new_reference_gain: float | None = None
    rungs: int = 0
    refused: bool = False
    prompt_tokens: int = 0
    completion_tokens: int = 0
    analysis_cpu_s: float = 0.0

    @property
    def suggests(self) -> bool:
        """A Data Scientist's turn that ended with a new suggestion: valid, and not to finish."""
        ended = (Verdict.invalid, Verdict.redundant, Verdict.finished)
        return self.verdict not in ended


FACTS = tuple(field.name for field in fields(Outcome))
"""Names of the facts, which are columns of a trajectory row."""
