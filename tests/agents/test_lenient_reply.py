"""The Engineer's replies as models write them that were never trained on line edits."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marl_llm.agents.edits import numbered
from marl_llm.agents.reply import UnreadableReply, Written, read_code
from marl_llm.core.forgiven import Forgiven
from marl_llm.core.kind import Kind
from marl_llm.proposals import baseline, generate_code

CODE = generate_code(baseline(Kind.regression))
WANTED = CODE.replace("Ridge()", "Ridge(alpha=0.3)")
EST = next(i for i, line in enumerate(CODE.split("\n"), 1) if "est =" in line)
EDIT = f"{EST} = est = Ridge(alpha=0.3)"
WITH_COLONS = "\n".join(f"{i}: {line}" for i, line in enumerate(WANTED.split("\n"), 1))
READ = [
    # edits
    (EDIT, ""),
    (f"```\n{EDIT}\n```", "fence"),
    (f"```diff\n{EDIT}\n```\nOnly the estimator changes.", "fence prose"),
    (f"{EDIT}\n\nThis sets alpha.", "prose"),
    (f"{EDIT}\nThis sets alpha.", "prose"),
    (f"{EST}     est = Ridge()\n{EDIT}", "prose"),
    (f"- `{EDIT}`", "bullet quotes"),
    (f"Line {EDIT}", "label"),
    (f"{EST}: est = Ridge(alpha=0.3)", "edit_sign"),
    (f"{EST}. est = Ridge(alpha=0.3)", "edit_sign"),
    (f"{EST}     est = Ridge(alpha=0.3)", "edit_sign"),
    (f"```python\nline {EST}: est = Ridge(alpha=0.3)\n```", "fence label edit_sign"),
    (f"{EST} = est = Ridge() -> est = Ridge(alpha=0.3)", "diff"),
    (
        "```diff\n@@ -8 +8 @@\n     )\n-    est = Ridge()\n+    est = Ridge(alpha=0.3)\n```",
        "fence diff",
    ),
    (f"- {EST} est = Ridge()\n+ {EST} est = Ridge(alpha=0.3)", "diff"),
    # whole programs
    (f"```python\n{WANTED}\n```", ""),
    (f"Here it is:\n```python\n{WANTED}\n```\nIt is regularised.", "prose"),
    (WANTED, "no_fence"),
    (f"{WANTED}\n\nThis sets alpha (0.3).\nIt is regularised.", "no_fence prose"),
    (f"```python\n{numbered(WANTED)}\n```", "line_numbers"),
    (WITH_COLONS, "no_fence line_numbers"),
    (
        f"```python\n{WANTED}\n```\nFirst install it:\n```bash\npip install scikit-learn\n```",
        "prose more_fences",
    ),
    (f"```python\n{CODE}\n```\nbecomes\n```python\n{WANTED}\n```", "prose more_fences"),
]


@pytest.mark.parametrize(("reply", "forgiven"), READ, ids=[case[0][:40] for case in READ])
def test_what_an_engineer_means_beyond_doubt_is_read(reply, forgiven):
    written = read_code(reply, CODE)
    assert written.code == WANTED
    assert set(written.forgiven) == set(map(Forgiven, forgiven.split()))


@pytest.mark.parametrize("comment", ["", "  # strong", "\n    # strong"])
def test_an_edit_over_several_lines_is_one_edit(comment):
    written = read_code(f"{EST} = est = Ridge(\n    alpha=0.3,{comment}\n)", CODE)
    assert written == Written(CODE.replace("Ridge()", "Ridge( alpha=0.3, )"), (Forgiven.wrapped,))


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        ("1. Use Ridge.\n2. Set alpha.", "neither line edits nor a build_pipeline()"),
        ("3 trees are better", "neither line edits"),
        ("8.5", "neither line edits"),
        ("est = Ridge(alpha=0.3)", "neither line edits"),
        ("```python\nest = Ridge(alpha=0.3)\n```", "neither line edits"),
        ("+    est = Ridge(alpha=0.3)", "neither line edits"),
        ("-    est = Lasso()\n+    est = Ridge(alpha=0.3)", "neither line edits"),
        (
            f"{EST}: est = Ridge(alpha=0.3)\n{EST + 1} + x",
            "write every edit as `9 = text`, `9 + text` or `9 -`, not '8: ",
        ),
        (f"{EDIT}\nest = Lasso(alpha=0.1)", "not an edit: 'est = Lasso(alpha=0.1)'"),
        ("40: est = Ridge(alpha=0.3)", "neither line edits"),
    ],
)
def test_what_an_engineer_may_mean_in_two_ways_is_refused(reply, says):
    with pytest.raises(UnreadableReply) as caught:
        read_code(reply, CODE)
    assert says in str(caught.value) and len(str(caught.value)) < 160


def test_code_that_is_no_python_in_any_reading_stays_as_it_was_written():
    broken = WANTED.replace("0.3)", "0.3")
    assert read_code(f"```python\n{broken}\n```", CODE) == Written(broken)
    assert read_code(EDIT[:-1], CODE) == Written(broken)


mutated = st.builds(
    lambda text, at, cut, put, more: text[:at] + put + text[at + cut :] + more,
    st.sampled_from([case[0] for case in READ]),
    st.integers(0, 120),
    st.integers(0, 8),
    st.text(alphabet="0123456789 =+-:.`#()\n\r\t\0\ud800²x*|>", max_size=6),
    st.sampled_from(["", *("\n" + case[0] for case in READ)]),
)


@given(mutated | st.text(max_size=60))
@settings(max_examples=400)
def test_no_reply_raises_anything_but_unreadable_reply(text):
    with contextlib.suppress(UnreadableReply):
        assert isinstance(read_code(text, CODE).code, str)


@pytest.mark.parametrize(
    "text",
    [
        "def build_pipeline():\n  pass\n" + "x x\n" * 4000,
        "1 = (\n" * 3000,
        "- est\n" * 3000,
        "```\n" * 5000,
        "1: x\n" * 4000,
        "def build_pipeline():\n" + "(" * 9000,
        "def build_pipeline():\n    x = " + "-" * 15_000 + "1",
        "def build_pipeline():\n    return '\ud800'",
    ],
)
def test_long_and_nested_replies_are_read_or_refused(text):
    with contextlib.suppress(UnreadableReply):
        assert isinstance(read_code(text, CODE).code, str)
