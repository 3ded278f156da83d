"""Files of a run on storage that machines share (`s3://`, `gs://`, `file://`), whole or not at all.

Files that belong together are a *bundle*: they are uploaded under names nobody else uses, and a
small manifest with their sizes and checksums is created last, which publishes them. That needs no
rename; a reader trusts nothing but manifests. Of two machines that publish the same bundle the
first wins.
"""

from marl_llm.storage.address import RunAddress
from marl_llm.storage.bundle import Bundle, Draft, FileRecord
from marl_llm.storage.claims import Claims
from marl_llm.storage.objects import Objects
from marl_llm.storage.store import BundleStore

__all__ = ["Bundle", "BundleStore", "Claims", "Draft", "FileRecord", "Objects", "RunAddress"]
