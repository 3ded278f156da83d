"""The canonical text of an action, spelled as it will stand in code, and its lenient parser.

`propose_model est = Ridge(alpha=0.3)`, `propose_model est = Voting(0, 2)`, `tune alpha=0.3`,
`tune alpha=between(0.1, 10.0), budget=8`, `engineer_features log ["x1"]; scale quantile; select
10`, `analyze target ["x2"]`, `analyze models`, `analyze code df["x2"].mean()`, `finish`, `finish
blend`. The text is what the Engineer reads, what memory shows, and what the embedded model writes;
larger models may answer with the JSON of `actions.py` instead. Both come out as the same typed
action.
"""

from __future__ import annotations

import ast
import json
import re
from itertools import pairwise

from pydantic import ValidationError

from marl_llm.core.narrow import is_list, is_record
from marl_llm.core.syntax import parse_expression
from marl_llm.proposals.actions import (
    ACTION,
    Action,
    AddFeatures,
    Analyze,
    Between,
    EngineerFeatures,
    Finish,
    InvalidAction,
    ProposeModel,
    Setting,
    Tune,
)
from marl_llm.proposals.estimator_info import LONGEST
from marl_llm.proposals.estimators import ESTIMATORS
from marl_llm.proposals.ops import OPERATIONS
from marl_llm.proposals.ops.action import ColumnsAction, OperationAction
from marl_llm.proposals.ops.feature import Feature
from marl_llm.proposals.ops.preparation import Removal, argument, with_argument
from marl_llm.proposals.spec import ENSEMBLES, ordered_params
from marl_llm.proposals.synonyms import method_word, operation_word
from marl_llm.proposals.text import call, column_list, literal, outside_quotes, without_comment

FORMS = {
    "analyze": 'analyze QUERY ["x1"]',
    "propose_model": "propose_model est = NAME(parameter=value)",
    "tune": "tune parameter=value",
    "engineer_features": 'engineer_features log ["x1"]; scale quantile',
    "finish": "finish, finish best or finish blend",
}
"""How each action is written, by its name; for messages."""
_VERBS = tuple(FORMS)
_START = re.compile(rf"\b({'|'.join(_VERBS)})\b")
_AT_LINE_START = re.compile(rf"^\W*({'|'.join(_VERBS)})\b", re.MULTILINE)


def _op_text(op: OperationAction) -> str:
    if isinstance(op, ColumnsAction):
        return f"{op.op} {column_list(op.columns)}"
    value = argument(op)
    return f"{op.op} {value if isinstance(value, str) else literal(value)}"


def canonical(action: Action) -> str:
    """The one-line text of an action, without its rationale; `tune` keeps the order of its
    parameters.

    >>> canonical(parse_action("tune max_depth=4,  min_samples_leaf = 2  # it overfits"))
    'tune max_depth=4, min_samples_leaf=2'
    """
    if isinstance(action, ProposeModel) and action.members:
        return f"propose_model est = {action.estimator}({', '.join(map(str, action.members))})"
    if isinstance(action, ProposeModel):
        known = action.estimator in ESTIMATORS
        params = (
            ordered_params(action.estimator, action.params)
            if known
            else tuple(action.params.items())
        )
        return f"propose_model est = {call(action.estimator, params)}"
    if isinstance(action, Tune):
        budget = {} if action.budget is None else {"budget": action.budget}
        return "tune " + ", ".join(
            f"{name}={_setting(value)}" for name, value in {**action.params, **budget}.items()
        )
    if isinstance(action, EngineerFeatures):
        return "engineer_features " + "; ".join(_op_text(op) for op in action.ops)
    if isinstance(action, Analyze) and action.query == "code":
        return f"analyze code {' '.join(action.code.split())}".rstrip()
    if isinstance(action, Analyze):
        return f"analyze {action.query}" + (
            f" {column_list(action.columns)}" if action.columns else ""
        )
    return "finish" if action.deliver == "current" else f"finish {action.deliver}"


def _setting(value: Setting) -> str:
    if isinstance(value, Between):
        return f"between({literal(value.low)}, {literal(value.high)})"
    return literal(value)


def parse_action(text: str) -> Action:
    """Read an action out of a model's reply.

    Accepts a JSON object of the action schema (alone, fenced, or inside prose) or one line of
    canonical text, possibly after some prose; a line that begins with the name of an action counts
    before one that mentions it. A trailing `# rationale` is kept as `why`.

    Raises
    ------
    InvalidAction
        Neither form was found, or its fields are wrong.

    Examples
    --------
    >>> action = parse_action("The classes overlap.\\ntune C=0.3 # less certain")
    >>> action.params, action.why
    ({'C': 0.3}, 'less certain')
    >>> parse_action('{"action": "finish", "deliver": "current"}') == parse_action("finish")
    True
    """
    found = find_json(text)
    if found is None:
        return _bounded(_parse_line(text))
    try:
        return _bounded(ACTION.validate_python(found[0]))
    except ValidationError as error:
        raise InvalidAction(_explain(error, str(found[0]["action"])[:20])) from None


def _bounded(action: Action) -> Action:
    """The action, if no whole number in it is too long to be written down."""
    members = action.members if isinstance(action, ProposeModel) else ()
    params = action.params if isinstance(action, ProposeModel | Tune) else {}
    numbers = (*members, *params.values())
    if any(isinstance(number, int) and abs(number) >= LONGEST for number in numbers):
        raise InvalidAction("a number of thousands of digits is no value")
    return action


def find_json(text: str) -> tuple[dict[str, object], int, int] | None:
    """The first JSON object with an `action`, and where in the text it begins and ends; None if
    there is none.
    """
    decoder = json.JSONDecoder()
    for match in re.finditer(r"\{", text):
        try:
            value, end = decoder.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            continue
        if is_record(value) and "action" in value:
            return value, match.start(), end
    return None


def _parse_line(text: str) -> Action:
    match = _AT_LINE_START.search(text) or _START.search(text)
    if match is None:
        raise InvalidAction(f"no action found; start with one of {', '.join(_VERBS)}")
    line = text[match.end() :].split("\n", 1)[0]
    verb = match.group(1)
    if verb == "analyze" and (snippet := _SNIPPET.match(line)):
        return _snippet(snippet[1].strip().strip("`").strip())
    body, why = _split_comment(line)
    try:
        return _parse_body(verb, body.strip(" \t\r`*"), why)
    except ValidationError as error:
        raise InvalidAction(_explain(error, verb)) from None
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        if isinstance(error, InvalidAction):
            raise
        raise InvalidAction(
            f"{verb}: cannot read {body.strip()!r:.80}; write {FORMS[verb]}"
        ) from None


_SNIPPET = re.compile(r"\s*code\b\s*:?(.*)")


def _snippet(code: str) -> Analyze:
    if not code:
        raise InvalidAction("write a pandas expression after `analyze code`")
    try:
        return Analyze(query="code", code=code)
    except ValidationError as error:
        raise InvalidAction(_explain(error, "analyze")) from None


def _explain(error: ValidationError, verb: str) -> str:
    """One sentence about the first thing that is wrong: what is allowed, or how the action is
    written.
    """
    first = error.errors(include_url=False, include_input=False)[0]
    kind, told = first["type"], first.get("ctx", {})
    where = ".".join(str(part) for part in first["loc"] if part not in FORMS)[:60]
    if kind == "union_tag_invalid" and not where:
        return f"there is no action {told['tag']!r:.40}; start with one of {', '.join(FORMS)}"
    if kind == "literal_error":
        return f"{verb}: {where} takes one of {told['expected']}"
    form = f"; write {FORMS[verb]}" if verb in FORMS else ""
    if kind in ("missing", "too_short"):
        return f"{verb}: {where} is missing{form}"
    return f"{verb}: {where} {first['msg'][:100]}{form}"


def _split_comment(line: str) -> tuple[str, str]:
    body, why = without_comment(line)
    return body, why.strip()[:200]


def _split_ops(body: str) -> list[str]:
    edges = [-1, *outside_quotes(body, ";"), len(body)]
    parts = (body[a + 1 : b].strip() for a, b in pairwise(edges))
    return [part for part in parts if part]


def _parse_body(verb: str, body: str, why: str) -> Action:
    if verb == "finish":
        found = _DELIVERY.match(body)
        delivery = found[1].lower() if found else "current"
        return Finish.model_validate({"deliver": delivery, "why": why})
    if verb == "propose_model":
        name, members, params = _parse_call(re.sub(r"^est\s*=\s*", "", body))
        return ProposeModel.model_validate(
            {"estimator": name, "members": members, "params": params, "why": why}
        )
    if verb == "tune":
        inner = re.sub(r"^est\s*=\s*", "", body)
        params = _parse_call(inner if _CALL.match(inner) else f"_({inner})")[2]
        budget = params.pop("budget", None)
        return Tune.model_validate({"budget": budget, "params": params, "why": why})
    if verb == "analyze":
        query, columns = _parse_words(body)
        return Analyze.model_validate({"query": query, "columns": columns, "why": why})
    return EngineerFeatures(ops=tuple(map(_parse_op, _split_ops(body))), why=why)


_DELIVERY = re.compile(r"""[\s:=(\["']*(?:deliver\b[\s:=("']*)?(best|blend)\b""", re.IGNORECASE)
"""What `finish` delivers, also where it is written like a call."""
_CALL = re.compile(r"\w+\(")


def _parse_call(text: str) -> tuple[str, tuple[object, ...], dict[str, object]]:
    """Name, positional and keyword arguments of a call; positional ones only of an ensemble."""
    node = parse_expression(text.strip() if "(" in text else text.strip() + "()").body
    if (
        not isinstance(node, ast.Call)
        or not isinstance(node.func, ast.Name)
        or (node.args and node.func.id not in ENSEMBLES)
    ):
        if text.startswith("_("):
            raise InvalidAction(f"tune: write {FORMS['tune']}, not {text[2:-1].strip()!r:.60}")
        raise InvalidAction(
            f"write {FORMS['propose_model']} with one estimator, not {text.strip()!r:.60}"
        )
    if any(k.arg is None for k in node.keywords):
        raise InvalidAction("parameters are written name=value")
    members = tuple(ast.literal_eval(a) for a in node.args)
    return node.func.id, members, {str(k.arg): _parse_setting(k.value) for k in node.keywords}


def _parse_setting(node: ast.expr) -> object:
    if (
        not isinstance(node, ast.Call)
        or not isinstance(node.func, ast.Name)
        or node.func.id != "between"
    ):
        return ast.literal_eval(node)
    if len(node.args) != 2 or node.keywords:
        raise InvalidAction("a region is written between(low, high)")
    low, high = (ast.literal_eval(a) for a in node.args)
    return Between(low=low, high=high)


def _parse_words(text: str) -> tuple[str, tuple[str, ...]]:
    word, _, rest = text.strip().partition(" ")
    rest = rest.strip()
    if not rest:
        return word, ()
    if not rest.startswith("["):
        return word, tuple(c.strip() for c in rest.split(","))
    listed: object = ast.literal_eval(rest)
    columns = [c for c in listed if isinstance(c, str)] if is_list(listed) else []
    if not is_list(listed) or len(columns) < len(listed):
        raise InvalidAction(f'columns are written ["x0", "x1"], not {rest!r:.60}')
    return word, tuple(columns)


def _parse_op(text: str) -> OperationAction:
    word, columns = _parse_words(text)
    word = operation_word(word)
    match OPERATIONS.get(word):
        case Feature():
            return AddFeatures(op=word, columns=columns)
        case Removal() as removal:
            return removal.action(op=removal.name, columns=columns)
        case None:
            raise InvalidAction(f"no operation {word!r:.40}; there are {_known_operations()}")
        case record:
            return with_argument(record, method_word(columns[0]) if len(columns) == 1 else "")


def _known_operations() -> str:
    return ", ".join(OPERATIONS)
