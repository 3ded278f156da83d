"""YAML that a person or a download brings, read within limits: a page of aliases may stand for
gigabytes, and brackets or digits for a stack that overflows.
"""

from __future__ import annotations

from pathlib import Path

import yaml

MAX_BYTES = 1 << 20
MAX_NODES = 100_000
"""Values, with aliases written out."""
MAX_DEPTH = 50


class TooMuchYaml(yaml.YAMLError):
    """The text is larger than any file of settings, or stands for more than that."""


def read_yaml(path: Path) -> object:
    """Read a YAML file as `yaml.safe_load` does.

    Raises
    ------
    OSError, UnicodeDecodeError
        It cannot be read as UTF-8 text.
    yaml.YAMLError
        It is no YAML, or `TooMuchYaml`.
    """
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise TooMuchYaml(f"it is larger than {MAX_BYTES >> 20} MiB")
    return parse_yaml(content.decode("utf-8"))


def parse_yaml(text: str) -> object:
    """Read YAML text.

    Raises
    ------
    yaml.YAMLError
        It is no YAML, or `TooMuchYaml`.

    Examples
    --------
    >>> parse_yaml("a: &x [1, 2]\\nb: *x")
    {'a': [1, 2], 'b': [1, 2]}
    """
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _require_small(node, {}, 1)
        return loader.construct_document(node)
    except RecursionError:
        raise TooMuchYaml(f"it is nested more than {MAX_DEPTH} deep") from None
    except (ValueError, OverflowError) as error:  # e.g. a number of more digits than Python reads
        raise TooMuchYaml(" ".join(str(error).split("\n")[0].split())) from None
    finally:
        loader.dispose()


def _require_small(node: yaml.Node, sizes: dict[int, int], depth: int) -> int:
    """The number of values in a node, aliases written out; 0 marks one that is being counted."""
    known = sizes.get(id(node))
    if known == 0:
        raise TooMuchYaml("an alias refers to what it is part of")
    if known is not None:
        return known
    if depth > MAX_DEPTH:
        raise TooMuchYaml(f"it is nested more than {MAX_DEPTH} deep")
    sizes[id(node)] = 0
    size = 1
    if isinstance(node, yaml.SequenceNode):
        size += sum(_require_small(one, sizes, depth + 1) for one in node.value)
    elif isinstance(node, yaml.MappingNode):
        size += sum(_require_small(one, sizes, depth + 1) for pair in node.value for one in pair)
    if size > MAX_NODES:
        raise TooMuchYaml(f"it stands for more than {MAX_NODES} values")
    sizes[id(node)] = size
    return size
