"""Files on this machine: what a data set is by its name, and a model that is written down as it comes."""
from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Callable, Iterator, Optional

from hone.errors import HoneError
from hone.v1 import dataset_service_pb2

# A cut loses at most the chunk that was on its way, so they are not as large as they may be.
CHUNK = 128 << 10
_FORMATS = (
    ((".tar.gz", ".tgz"), "TAR_GZ"),
    ((".tar",), "TAR"),
    ((".csv.gz", ".tsv.gz", ".data.gz"), "CSV_GZ"),
    ((".jsonl.gz", ".ndjson.gz"), "JSONL_GZ"),
    ((".txt.gz",), "TEXT_GZ"),
    ((".jsonl", ".ndjson"), "JSONL"),
    ((".txt",), "TEXT"),
    ((".csv", ".tsv", ".data"), "CSV"),
)


def format_of(path: Path) -> str:
    """The name of a hone.v1.Dataset.Format. ValueError: a folder, or an ending that says nothing."""
    if path.is_dir():
        raise ValueError(f"{path}: is a folder; a data set is one file: pack it with `tar -cf data.tar -C {path} .`")
    for endings, name in _FORMATS:
        if path.name.lower().endswith(endings):
            return name
    raise ValueError(
        f"{path}: the format follows from the name, which must end in .csv, .tsv, .data, .jsonl, .txt (or one of them and .gz), .tar, .tar.gz or .tgz")


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()


def dataset_id_of(path: Path, sha256: str) -> str:
    """`people-1f2e3d4c5b6a`: the file's own name, and what tells it from another version of it."""
    stem = re.sub(r"[^A-Za-z0-9_-]", "-", path.name.split(".")[0][:48])
    return f"{stem if stem and stem[0] != '-' else 'data' + stem}-{sha256[:12]}"


class Upload:
    """The messages of one UploadDataset call, from an offset on. `on_sent` is told the bytes that are sent and all of them. `error` is why not all were:
    gRPC swallows what its iterator raises."""

    def __init__(self, path: Path, header: dataset_service_pb2.UploadHeader, on_sent: Optional[Callable[[int, int], None]]):
        self.error: Optional[Exception] = None
        self._path = path
        self._header = header
        self._on_sent = on_sent or (lambda sent, of: None)

    def __iter__(self) -> Iterator[dataset_service_pb2.UploadDatasetRequest]:
        yield dataset_service_pb2.UploadDatasetRequest(header=self._header)
        try:
            with open(self._path, "rb") as file:
                file.seek(self._header.offset)
                for chunk in iter(lambda: file.read(CHUNK), b""):
                    yield dataset_service_pb2.UploadDatasetRequest(chunk=chunk)
                    self._on_sent(file.tell(), self._header.bytes)
        except Exception as error:
            self.error = error


class ModelFolder:
    """Writes the chunks of a DownloadModel. It fills a folder beside the wanted one first, which is there whole or not at all; to be used in a `with`."""

    def __init__(self, folder: Path):
        """FileExistsError: it is there."""
        if folder.exists():
            raise FileExistsError(f"{folder} exists already")
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._beside = Path(tempfile.mkdtemp(prefix=f"{folder.name}.part-", dir=folder.parent))
        # A folder in it: a temporary one itself is for its owner alone.
        self._part = self._beside / folder.name
        self._part.mkdir()
        self._said: Any = None
        self._file: Optional[BinaryIO] = None
        self._digest = hashlib.sha256()

    def __enter__(self) -> ModelFolder:
        return self

    def __exit__(self, *_: Any) -> None:
        if self._file is not None:
            self._file.close()
        shutil.rmtree(self._beside, ignore_errors=True)

    def take(self, chunk: Any) -> None:
        if chunk.HasField("file"):
            self._close()
            path = PurePosixPath(chunk.file.path)
            if path.is_absolute() or ".." in path.parts or "\\" in chunk.file.path:
                raise HoneError("DATA_LOSS", f"the server gives a file a name that leads out of the model's folder: {path}")
            (self._part / path).parent.mkdir(parents=True, exist_ok=True)
            self._said, self._digest = chunk.file, hashlib.sha256()
            self._file = open(self._part / path, "wb")
        assert self._file is not None, "the first chunk names its file"
        self._file.write(chunk.data)
        self._digest.update(chunk.data)

    def finish(self) -> None:
        """After the last chunk."""
        self._close()
        os.rename(self._part, self._folder)

    def _close(self) -> None:
        if self._file is None:
            return
        self._file.close()
        self._file = None
        if self._said.sha256 and self._digest.hexdigest() != self._said.sha256:
            raise HoneError("DATA_LOSS", f"{self._said.path}: SHA-256 is {self._digest.hexdigest()}, not {self._said.sha256} as the server says")
