"""The one definition of a trajectory row: name, type, meaning and unit of every column.

The parquet schema (`schema.py`) and the data card (`card.py`) are derived from `Row`, so this is
the only place to change. A change of meaning, and any column that comes or goes, raises
SCHEMA_VERSION; files of version 1 are read as `version_1.py` says.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated

import pyarrow as pa

SCHEMA_VERSION = 2


@dataclass(frozen=True)
class Doc:
    """What a column means, and its unit ("" where it has none)."""

    text: str
    unit: str = ""


Text = Annotated[str, pa.string()]
Json = Annotated[str, pa.string(), "json"]
Int32 = Annotated[int, pa.int32()]
Int64 = Annotated[int, pa.int64()]
Float32 = Annotated[float, pa.float32()]
MaybeFloat32 = Annotated[float | None, pa.float32()]
Bool = Annotated[bool, pa.bool_()]
MaybeBool = Annotated[bool | None, pa.bool_()]
Ids = Annotated[list[int], pa.list_(pa.int32())]
Floats = Annotated[list[float], pa.list_(pa.float32())]
Value = str | int | float | bool | list[int] | list[float] | None
"""What a column may hold."""


@dataclass(kw_only=True)
class Row:
    """One model call. Columns are documented in their annotations; those of type Json hold JSON
    text.

    A turn has one or more calls; they share what came of the turn, and each has its own tokens and
    times. Everything is a fact: rewards are computed from facts by a recipe's weights
    (`marl_llm.rewards`), and kept with the credit.
    """

    # where in the run
    run: Annotated[Text, Doc("Name of the run.")]
    iteration: Annotated[Int32, Doc("Iteration of the run, from 0.")]
    task: Annotated[Text, Doc("Name of the task (CSV, target, metrics, split).")]
    episode: Annotated[
        Text, Doc("Episode, unique within the iteration; also the name of its part file.")
    ]
    step: Annotated[
        Int32,
        Doc(
            "Step within the episode, from 0: one Data Scientist's turn and the Engineer's answers."
        ),
    ]
    role: Annotated[Text, Doc("Who spoke: data_scientist or ml_engineer.")]
    branch: Annotated[
        Text,
        Doc(
            "Turn's place in the episode's tree, e.g. 1.d2.e0: step 1, proposal 2, "
            "implementation 0."
        ),
    ]
    turn: Annotated[Int32, Doc("Number of the turn within the episode, from 0.")]
    call: Annotated[Int32, Doc("Number of the model call within the turn, from 0.")]
    group: Annotated[
        Text, Doc("Turns that started from the same state and are compared with each other.")
    ]
    state: Annotated[Text, Doc("Content hash of the state the turn started from.")]
    followed: Annotated[
        MaybeBool,
        Doc("Whether the episode went on from this turn; missing in files older than the column."),
    ] = None
    # who sampled, and how
    policy_version: Annotated[Int32, Doc("Version of the role's adapter that sampled, from 0.")]
    adapter: Annotated[Text, Doc("Name of the model or adapter that sampled.")]
    adapter_sha256: Annotated[
        Text, Doc("SHA-256 of the adapter's weights; empty where the base model itself sampled.")
    ]
    sampling: Annotated[Json, Doc("Sampling parameters.")]
    messages: Annotated[Json, Doc("The chat that was sent: a list of {role, content}.")]
    prompt_ids: Annotated[Ids, Doc("The rendered prompt as token ids.", "token id")]
    completion_ids: Annotated[
        Ids, Doc("The completion as sampled, end token included.", "token id")
    ]
    logprobs: Annotated[
        Floats,
        Doc("Log-probability of each completion token under the policy that sampled it.", "nat"),
    ]
    finish_reason: Annotated[
        Text, Doc("Why the completion ended: stop (by itself) or length (cut).")
    ]
    # what came of it
    action: Annotated[Text, Doc("The parsed action in canonical form; empty if unparsable.")] = ""
    reply: Annotated[Text, Doc("The completion's text, as it was read.")] = ""
    problem: Annotated[
        Text,
        Doc(
            "Why the action was invalid or the code failed, one sentence; empty where "
            "neither is so."
        ),
    ] = ""
    forgiven: Annotated[
        Text,
        Doc(
            "What the reader of the reply forgave, names of marl_llm.core.forgiven with spaces "
            "between; empty: nothing, or the reply was refused."
        ),
    ] = ""
    code: Annotated[
        Text, Doc("The pipeline's code after the Engineer's call; empty for the Data Scientist.")
    ] = ""
    verdict: Annotated[Text, Doc("What came of the turn, a value of marl_llm.core.verdict.")] = ""
    compliance: Annotated[
        MaybeFloat32, Doc("Share of what was asked that was done, and nothing else.", "0 to 1")
    ] = None
    metrics_before: Annotated[
        Json, Doc("Raw hold-out metrics of the accepted model before the step.")
    ] = "{}"
    metrics_after: Annotated[Json, Doc("Raw hold-out metrics of the model the turn led to.")] = "{}"
    skill_gain: Annotated[
        MaybeFloat32, Doc("Score after minus score before, on the hold-out part.", "skill")
    ] = None
    reference_gain: Annotated[
        MaybeFloat32, Doc("The same for the reference implementation of the proposal.", "skill")
    ] = None
    significant: Annotated[
        MaybeBool, Doc("Whether the gain is significant at the recipe's level, paired on rows.")
    ] = None
    p_value: Annotated[MaybeFloat32, Doc("One-sided p-value of the gain.", "0 to 1")] = None
    step_gain: Annotated[
        MaybeFloat32,
        Doc(
            "Significant gain. Engineer: of its implementation if it did as asked, else 0. Data "
            "Scientist: mean over the implementations that did as asked; missing where none did.",
            "skill",
        ),
    ] = None
    new_reference_gain: Annotated[
        MaybeFloat32,
        Doc(
            "Data Scientist: significant gain of the reference implementation beyond what was "
            "credited over the same solution before, 0 if not significant; missing if nothing ran "
            "or all was credited.",
            "skill",
        ),
    ] = None
    rungs: Annotated[
        Int32,
        Doc("Engineer: rungs its code reached of parsed, built, fitted, predicted.", "0 to 4"),
    ] = 0
    refused: Annotated[
        Bool, Doc("The call's action was invalid and the Data Scientist was asked again.")
    ] = False
    # what it cost
    prompt_tokens: Annotated[Int32, Doc("Length of the prompt.", "tokens")]
    completion_tokens: Annotated[Int32, Doc("Length of the completion.", "tokens")]
    latency_s: Annotated[
        Float32, Doc("Time from request to answer, waiting in the server included.", "s")
    ]
    evaluation_s: Annotated[
        Float32, Doc("Time of the evaluation of the code in the sandbox; 0 if there was none.", "s")
    ] = 0.0
    analysis_cpu_s: Annotated[
        Float32, Doc("Processor time of the analysis the call asked for; 0 if there was none.", "s")
    ] = 0.0
    # provenance
    seed: Annotated[Int64, Doc("Seed of the sampling request.")]
    isolation: Annotated[Text, Doc("Isolation level of the sandbox; empty if nothing was run.")] = (
        ""
    )
    created_at: Annotated[Text, Doc("When the row was made, ISO 8601, UTC.")]
    schema_version: Annotated[Int32, Doc("Version of the schema the row was written with.")] = (
        SCHEMA_VERSION
    )

    def to_dict(self) -> dict[str, Value]:
        """Return the columns by name, in schema order."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
