"""Reading stores where they lie, over HTTP ranges or from S3: only what a region needs is moved."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from braindata.errors import BraindataError, UsageError, first_line

# HDF5 asks for its tables in small pieces: these come in blocks, which are kept.
BLOCK = 1 << 14
HINT = "pip install 'braindata[remote]'"


class RangeFile(io.RawIOBase):
    """A file that is read by ranges.

    Parameters
    ----------
    fetch : callable
        Returns the bytes from `start` up to, not including, `end`.
    size : int
        Size of the file in bytes.
    name : str
        What errors call it.

    Attributes
    ----------
    n_requests, n_bytes : int
        What has been moved so far.
    """

    def __init__(self, fetch: Callable[[int, int], bytes], size: int, name: str):
        super().__init__()
        self.name = name
        self.n_requests = 0
        self.n_bytes = 0
        self._fetch = fetch
        self._size = size
        self._position = 0
        self._blocks: dict[int, bytes] = {}

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer from the position on; return how many bytes there were."""
        target = memoryview(buffer).cast("B")
        start, end = self._position, min(self._position + len(target), self._size)
        if end <= start:
            return 0
        # Chunks of samples are fetched once each, as they are; what is small is fetched in blocks.
        content = self._get(start, end) if end - start >= BLOCK else self._from_blocks(start, end)
        target[: end - start] = content
        self._position = end
        return end - start

    def _from_blocks(self, start: int, end: int) -> bytes:
        first, last = start // BLOCK, (end - 1) // BLOCK
        for number in range(first, last + 1):
            if number not in self._blocks:
                begin = number * BLOCK
                self._blocks[number] = self._get(begin, min(begin + BLOCK, self._size))
        joined = b"".join(self._blocks[number] for number in range(first, last + 1))
        return joined[start - first * BLOCK : end - first * BLOCK]

    def _get(self, start: int, end: int) -> bytes:
        content = self._fetch(start, end)
        if len(content) != end - start:
            raise OSError(f"{len(content)} bytes came for a range of {end - start}")
        self.n_requests += 1
        self.n_bytes += len(content)
        return content


def open_remote(url: str, **options: Any) -> RangeFile:
    """Open a file at an address, to be given to `braindata.pack.store.open_store`.

    Parameters
    ----------
    url : str
        ``s3://bucket/path``, ``https://host/path``, ``gs://…`` or ``file:///…``.
    **options
        For `obstore.store.from_url`, such as `region`, `endpoint` or `skip_signature`; for
        ``http://``, which is not encrypted, ``client_options={"allow_http": True}``.

    Returns
    -------
    RangeFile
        The open file; nothing but its size has been read.

    Raises
    ------
    UsageError
        When obstore is not installed, or it knows no such address or option.
    BraindataError
        When the file is not there or may not be read.
    """
    try:
        import obstore
        from obstore.exceptions import BaseError
    except ImportError as error:
        raise UsageError("stores elsewhere are read with obstore", hint=HINT) from error
    folder, _, name = url.rpartition("/")
    try:
        store = obstore.store.from_url(folder, **options)
    except (BaseError, ValueError, TypeError) as error:
        raise UsageError(f"this address cannot be used ({first_line(error)})", file=url) from error
    try:
        size = int(obstore.head(store, name)["size"])
    except (BaseError, FileNotFoundError, PermissionError) as error:
        raise BraindataError(f"the file cannot be read ({first_line(error)})", file=url) from error

    def fetch(start: int, end: int) -> bytes:
        try:
            return bytes(obstore.get_range(store, name, start=start, end=end))
        except BaseError as error:
            raise OSError(first_line(error)) from error

    return RangeFile(fetch, size, url)
