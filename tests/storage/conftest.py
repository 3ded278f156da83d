from __future__ import annotations

from tests.storage.places import address, bucket, new_client, s3_url

__all__ = ["address", "bucket", "new_client", "s3_url"]
