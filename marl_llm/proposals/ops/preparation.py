"""Records of the operations on all columns: a choice of methods, a reduction, its undoing; and of
removing columns. Each sets one field of `PipelineSpec`; only `build` imports scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from marl_llm.proposals.ops.action import ColumnsAction, OperationAction
from marl_llm.proposals.ops.columns import ColumnFacts, ColumnKind
from marl_llm.proposals.ops.feature import Imports

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


@dataclass(frozen=True)
class Method:
    """One way of filling, scaling or encoding.

    Attributes
    ----------
    word : str
        Its word in proposals, e.g. "one_hot".
    code : str
        The transformer in code; empty where there is none.
    build : callable
        True for a classifier, False for a regressor -> the same transformer as an object, or None.
    regression_code : str
        The code for a numeric target, where it is another.
    constants : mapping of name to expression
        What the code names and the prelude has to define.
    imports : Imports
    synonyms : tuple of str
        Other words for it, in lower case with underscores.
    """

    word: str
    code: str
    build: Callable[[bool], BaseEstimator | None]
    regression_code: str = ""
    constants: Mapping[str, str] = field(default_factory=dict[str, str])
    imports: Imports = field(default_factory=dict[str, tuple[str, ...]])
    synonyms: tuple[str, ...] = ()

    def code_for(self, classifier: bool) -> str:
        """The transformer in code, for classes or numbers."""
        return self.code if classifier or not self.regression_code else self.regression_code


@dataclass(frozen=True)
class Choice:
    """An operation that picks one of several methods for all columns of a kind.

    Attributes
    ----------
    name : str
        Its word in proposals, and the field of `PipelineSpec` that it sets.
    action : type of OperationAction
        With one field besides `op`: the method's word.
    kinds : tuple of ColumnKind
        The columns it is for; without any of them it is refused.
    methods : tuple of Method
    default : str
        Word of the method that every episode starts from.
    matters : callable, optional
        Columns -> whether the method makes a difference for them; None if it always may.
    synonyms : tuple of str
    """

    name: str
    action: type[OperationAction]
    kinds: tuple[ColumnKind, ...]
    methods: tuple[Method, ...]
    default: str
    matters: Callable[[Iterable[ColumnFacts]], bool] | None = None
    synonyms: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """The methods' words."""
        return tuple(method.word for method in self.methods)

    def method(self, word: str) -> Method:
        """The method of that word; raises KeyError for an unknown one."""
        return {method.word: method for method in self.methods}[word]


@dataclass(frozen=True)
class Reducer:
    """An operation that leaves fewer columns before the estimator.

    Attributes
    ----------
    name : str
        Its word in proposals, e.g. "pca".
    action : type of OperationAction
        With one field besides `op`: the amount.
    example : int or float
        An amount, for the rules.
    grid : tuple
        Round amounts for undirected search.
    parameter : str
        The constructor's parameter that takes the amount.
    code : callable
        (amount, True for a classifier) -> the transformer in code.
    build : callable
        The same as an object.
    implied : int, float or None
        The amount where the code names none; None if it has to.
    imports : Imports
    synonyms : tuple of str
    """

    name: str
    action: type[OperationAction]
    example: float
    grid: tuple[float, ...]
    parameter: str
    code: Callable[[float, bool], str]
    build: Callable[[float, bool], BaseEstimator]
    implied: float | None = None
    imports: Imports = field(default_factory=dict[str, tuple[str, ...]])
    synonyms: tuple[str, ...] = ()


@dataclass(frozen=True)
class Undo:
    """The operation that undoes a reduction; `word` is the only one it takes."""

    name: str
    action: type[OperationAction]
    word: str
    synonyms: tuple[str, ...] = ()


@dataclass(frozen=True)
class Removal:
    """The operation that removes columns."""

    name: str
    action: type[ColumnsAction]
    synonyms: tuple[str, ...] = ()


OneWord = Choice | Reducer | Undo
"""Operations on all columns: one word or number says how."""


def argument(action: OperationAction) -> str | int | float:
    """The word or number of an operation on all columns."""
    (name,) = (name for name in type(action).model_fields if name != "op")
    return getattr(action, name)


def with_argument(record: OneWord, word: str | float) -> OperationAction:
    """The operation with that word or number; raises ValidationError if it takes no such."""
    (name,) = (name for name in record.action.model_fields if name != "op")
    return record.action.model_validate({name: word})
