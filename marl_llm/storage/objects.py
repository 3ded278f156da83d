"""Named bytes below one address, through fsspec: what a storage offers where nothing can be renamed
or locked.

Nothing is cached: other machines write here too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from marl_llm.core.errors import UserError
from marl_llm.storage.address import RunAddress
from marl_llm.storage.errors import missing_package, told


class Objects:
    """The objects of one shared run.

    Parameters
    ----------
    address : RunAddress

    Raises
    ------
    UserError
        The protocol is unknown, or its client is not installed.
    """

    def __init__(self, address: RunAddress) -> None:
        import fsspec  # a tenth of a second that runs in directories do not need
        from fsspec.core import url_to_fs

        self.address = address
        options = {"use_listings_cache": False}
        if address.protocol in ("file", "local"):
            options["auto_mkdir"] = True
        try:
            self._files, self._root = url_to_fs(address.url, **options)
        except ImportError as error:
            raise missing_package(address, error) from None
        except ValueError as error:
            known = "s3://, gs:// and file://"
            if address.protocol not in fsspec.available_protocols():
                raise UserError(
                    f"{address}: there is no storage {address.protocol}://; use {known}."
                ) from None
            raise UserError(f"{address}: no address of a storage ({error}); use {known}.") from None

    def names(self, under: str) -> set[str]:
        """Names of all objects below the folder `under`, relative to it; none where there is no
        such folder.
        """
        folder = self._path(under)
        with told(self.address, "read"):
            found = self._files.find(folder)
        return {str(path)[len(folder) + 1 :] for path in found}

    def read(self, names: Sequence[str]) -> dict[str, bytes]:
        """Contents by name; those that do not exist are left out."""
        if not names:
            return {}
        paths = {self._path(name): name for name in names}
        with told(self.address, "read"):
            found = self._files.cat(list(paths), on_error="return")
            for content in found.values():
                if isinstance(content, Exception) and not isinstance(content, FileNotFoundError):
                    raise content
        return {
            paths[path]: content for path, content in found.items() if isinstance(content, bytes)
        }

    def write(self, name: str, content: bytes) -> None:
        """Write an object, in place of an older one of this name."""
        with told(self.address, "written"):
            self._files.pipe_file(self._path(name), content)

    def create(self, name: str, content: bytes) -> bool:
        """Write an object unless there is one of this name; False if there is.

        One operation on a local disk, Amazon S3 and Google Cloud Storage; a look and then a write
        on a storage that cannot do both at once.
        """
        path = self._path(name)
        try:
            with told(self.address, "written"):
                if "file" in self._files.protocol:
                    with self._files.open(path, "xb") as file:
                        file.write(content)
                else:
                    self._files.pipe_file(path, content, mode="create")
        except FileExistsError:
            return False
        return True

    def upload(self, files: Mapping[str, Path]) -> None:
        """Copy local files to objects, by name."""
        with told(self.address, "written"):
            self._files.put([str(path) for path in files.values()], list(map(self._path, files)))

    def download(self, files: Mapping[str, Path]) -> None:
        """Copy objects to local files, by name, whose directories exist. An object that does not
        exist makes no file, and others may be left out then.
        """
        with told(self.address, "read"), suppress(FileNotFoundError):
            self._files.get(list(map(self._path, files)), [str(path) for path in files.values()])

    def missing(self, names: Sequence[str]) -> list[str]:
        """Those of the names that no object has."""
        with told(self.address, "read"):
            return [name for name in names if not self._files.exists(self._path(name))]

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"
