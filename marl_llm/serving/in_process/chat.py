"""Messages to token ids and back, by the model's own template and tokenizer, without importing
transformers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from marl_llm.core.errors import UserError
from marl_llm.serving.in_process.config import read_json

_UNFINISHED = "\ufffd"
"""How the tokenizer writes bytes that are no whole character yet."""


class _Generation(Extension):
    """`{% generation %}` marks what an assistant wrote; rendering needs its content only."""

    tags: ClassVar[set[str]] = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class ChatTokenizer:
    """Template and tokenizer of a model directory.

    Attributes
    ----------
    ends : frozenset of int
        Tokens that end a completion.

    Raises
    ------
    UserError
        A file is missing or damaged, or the model has no chat template.
    """

    def __init__(self, directory: Path) -> None:
        settings = read_json(directory / "tokenizer_config.json")
        read_json(directory / "tokenizer.json")  # a damaged one gets its sentence here
        self._tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        self._special = {name: text for name in _SPECIAL if (text := _text_of(settings.get(name)))}
        self._template = _environment().from_string(_template(directory, settings))
        self.ends = frozenset(self._ends(directory))

    def prompt_ids(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """The rendered chat, up to where the assistant's answer begins, as token ids."""
        text = self._template.render(messages=messages, add_generation_prompt=True, **self._special)
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def completion_ids(self, text: str) -> list[int]:
        """A completion of this text, the token that ends it included.

        Raises
        ------
        UserError
            The tokenizer names no end token.
        """
        end = self._tokenizer.token_to_id(self._special.get("eos_token", ""))
        if end is None:
            raise UserError(
                "The model's tokenizer_config.json names no eos_token, which ends a reply: add it."
            )
        return [*self._tokenizer.encode(text, add_special_tokens=False).ids, end]

    def takes_system_role(self) -> bool:
        """Whether the template accepts a system message and shows it (some refuse it, some leave it
        out).
        """
        chat = [{"role": "system", "content": _PROBE}, {"role": "user", "content": "?"}]
        try:
            return _PROBE in self._template.render(
                messages=chat, add_generation_prompt=True, **self._special
            )
        except jinja2.TemplateError:
            return False

    def text(self, ids: Sequence[int]) -> str:
        """The text of a completion without special tokens, and without a last character that was
        cut in the middle.
        """
        ids = list(ids)
        while ids and (text := self._tokenizer.decode(ids, skip_special_tokens=True)):
            if not text.endswith(_UNFINISHED):
                return text
            ids.pop()
        return ""

    def _ends(self, directory: Path) -> list[int]:
        """The tokenizer's end token and those of the generation settings, as vLLM takes them."""
        path = directory / "generation_config.json"
        stated = read_json(path if path.is_file() else directory / "config.json").get(
            "eos_token_id"
        )
        own = self._tokenizer.token_to_id(self._special.get("eos_token", ""))
        return [
            end
            for end in (own, *(stated if isinstance(stated, list) else [stated]))
            if end is not None
        ]


_PROBE = "what the system says"
_SPECIAL = ("bos_token", "eos_token", "pad_token", "unk_token")


def _text_of(token: object) -> str:
    """A special token as `tokenizer_config.json` writes it: text, or an object with its content."""
    return str(token.get("content", "")) if isinstance(token, dict) else str(token or "")


def _template(directory: Path, settings: Mapping[str, object]) -> str:
    path = directory / "chat_template.jinja"
    template = path.read_text(encoding="utf-8") if path.is_file() else settings.get("chat_template")
    if not isinstance(template, str):
        raise UserError(
            f"{directory} has no chat template (chat_template.jinja): get the model again."
        )
    return template


def _environment() -> jinja2.Environment:
    """Jinja as transformers sets it up for chat templates."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = lambda value, indent=None: json.dumps(
        value, ensure_ascii=False, indent=indent
    )
    environment.globals["raise_exception"] = _refuse
    return environment


def _refuse(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)
