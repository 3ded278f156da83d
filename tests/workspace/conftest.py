from __future__ import annotations

from tests.fixtures import sandbox
from tests.storage.places import address, bucket, s3_url

__all__ = ["address", "bucket", "s3_url", "sandbox"]
