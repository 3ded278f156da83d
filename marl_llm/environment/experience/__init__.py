"""Experience across data sets: what worked on the most similar earlier ones, in two or three lines
of the prompt.

In-context meta-learning (arXiv 2510.26510): the agents see not a prior trained into them but the
findings on the nearest data sets. A data set is a vector of meta-features from its card; an
episode's findings go into a store, a file that many processes may fill; a later episode on another
data set of the same kind of target reads the lines. A data set is known by a hash of its rows, so
it is never shown what was found on itself.

Training fills the store, and `solve` a store of the user's own; evaluation never writes. What an
iteration, or an evaluation, shows is the store as it was when that began (`snapshot`), so that an
interrupted one goes on with the same prompts.
"""

from marl_llm.environment.experience.data_set import DataSet, Finding
from marl_llm.environment.experience.findings import findings
from marl_llm.environment.experience.keys import table_key
from marl_llm.environment.experience.meta_features import META_FEATURES, meta_features
from marl_llm.environment.experience.remember import known_data_set, shown_lines
from marl_llm.environment.experience.store import STORE_FILE, ExperienceStore, snapshot
from marl_llm.environment.experience.view import NOTHING, Experience, joined

__all__ = [
    "META_FEATURES",
    "NOTHING",
    "STORE_FILE",
    "DataSet",
    "Experience",
    "ExperienceStore",
    "Finding",
    "findings",
    "joined",
    "known_data_set",
    "meta_features",
    "shown_lines",
    "snapshot",
    "table_key",
]
