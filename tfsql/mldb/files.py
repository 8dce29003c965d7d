"""Files that a resource names by path or URL."""

from __future__ import annotations

import os
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from tfsql import access
from tfsql.errors import BindError, UnsupportedError

TIMEOUT_S = 30


@contextmanager
def local_file(url: str) -> Iterator[Path]:
    """The file that a path or a URL (``file``, ``http``, ``https``, ``s3``) names, remote ones copied for the while.

    Raises:
      BindError: it is not there, is a directory, or cannot be had.
      UnsupportedError: the URL's scheme is another.
      ForbiddenError: it is outside of what this process may read.
    """
    scheme = urlsplit(url).scheme.lower() if "://" in url else "file"
    if scheme == "file":
        yield _existing(access.checked(local_path(url)))
        return
    if scheme not in ("http", "https", "s3"):
        raise UnsupportedError(f"{url}: a path, file://, http://, https:// or s3:// is wanted, not {scheme}://")
    access.check_url(url)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tfsql")))
        path = folder / (Path(urlsplit(url).path).name or "file")
        try:
            with _opened(url, scheme) as source, path.open("wb") as target:
                shutil.copyfileobj(source, target)
        except (OSError, urllib.error.URLError, ValueError) as error:
            raise BindError(f"Cannot read {url}: {getattr(error, 'reason', None) or error}") from error
        yield path


def local_path(url: str) -> Path:
    """The path that a path or a ``file://`` URL means."""
    return Path(os.path.expanduser(unquote(urlsplit(url).path) if url.lower().startswith("file://") else url))


def read_bytes(url: str) -> bytes:
    """The content of a file; raises as ``local_file`` does."""
    with local_file(url) as path:
        return path.read_bytes()


def _existing(path: Path) -> Path:
    if path.is_dir():
        raise BindError(f"{path} is a directory, not a file")
    if not path.exists():
        raise BindError(f"There is no file {path}")
    return path


def _opened(url: str, scheme: str) -> IO[bytes]:
    if scheme != "s3":
        return urllib.request.build_opener(_Redirects).open(url, timeout=TIMEOUT_S)  # type: ignore[no-any-return]
    from pyarrow import fs

    system, path = fs.FileSystem.from_uri(url)
    return system.open_input_stream(path, compression=None)  # type: ignore[no-any-return]


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirection to where this process may read."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        access.check_url(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
