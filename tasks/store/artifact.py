"""An artifact: the result of a step, known by its files and their hashes; and all artifacts of a run, by name."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from tasks.core.errors import StoreError
from tasks.core.files import digest, hash_file, list_files
from tasks.core.user_paths import check_relative

# A name in a record, which may come from a bucket: it is joined to a folder, and must not lead out of it.
RelativeName = Annotated[str, AfterValidator(check_relative)]
Record = TypeVar("Record", bound=BaseModel)


class DamagedError(StoreError):
    """A stored artifact differs from its record."""


def seal(value: BaseModel) -> bytes:
    """Return a record as JSON with a hash of itself."""
    content = value.model_dump(mode="json")
    return json.dumps({"content": content, "sha256": digest(content)}, indent=1).encode()


def unseal(path: Path, kind: type[Record]) -> Record:
    """Return the record that `seal` wrote to `path`.

    Raise DamagedError if it is missing, not as it was written, or names a file outside its folder.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DamagedError(f"{path}: missing or unreadable") from error
    return read_sealed(content, kind, path)


def read_sealed(content: bytes, kind: type[Record], name: object) -> Record:
    """Return the record in the bytes that `seal` returned; raise DamagedError, with their name, as `unseal` does."""
    try:
        sealed = json.loads(content)
        record, is_altered = kind.model_validate(sealed["content"]), digest(sealed["content"]) != sealed["sha256"]
    except ValidationError as error:
        raise DamagedError(f"{name}: unreadable ({error.errors()[0]['msg']})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"{name}: missing or unreadable") from error
    if is_altered:
        raise DamagedError(f"{name}: altered")
    return record


class FileRecord(BaseModel):
    """One file of an artifact: its size in bytes and its sha256."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int
    sha256: str


class Artifact(BaseModel):
    """The result of a step: its key `<step>/<cache key>`, also its folder in the store, and a record of its files.

    `meta` has facts for people, as JSON values. It is not part of `sha256`, so nothing that a later step reads may be
    there. `made_of` has what its key was made of, for `tasks/store/fingerprint.py`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: RelativeName
    files: dict[RelativeName, FileRecord]
    meta: dict[str, Any] = {}
    made_of: dict[str, Any] = {}

    @property
    def step(self) -> str:
        """The name of its step."""
        return self.key.partition("/")[0]

    @property
    def sha256(self) -> str:
        """Hash of the content: of the names and hashes of all files."""
        return digest(hashes(self))


class Resume(NamedTuple):
    """The key under which a step keeps its finished parts, and whether to ignore them."""

    key: str
    ignored: bool


def hashes(artifact: Artifact) -> dict[str, str]:
    """Return the sha256 of each file, by its name."""
    return {name: record.sha256 for name, record in artifact.files.items()}


def record_files(folder: Path) -> dict[str, FileRecord]:
    """Return the size and hash of every file below `folder`."""
    return {
        path.relative_to(folder).as_posix(): FileRecord(size=path.stat().st_size, sha256=hash_file(path))
        for path in list_files(folder)
    }


# The names under which steps take artifacts, and the steps that make them.
MADE_BY = {
    "downloaded": "download",
    "encoded": "encode",
    "padded": "pad",
    "learned": "phrases",
    "baselined": "baseline",
    "built": "build",
    "trained": "train",
    "scored": "score",
    "evaluated": "evaluate",
    "drawn": "figures",
    "labels_checked": "label_check",
    "packaged": "package",
}


@dataclass(frozen=True)
class RunArtifacts:
    """The artifacts up to the evaluation; None for steps that the settings leave out."""

    downloaded: Artifact
    encoded: Artifact
    padded: Artifact
    learned: Artifact | None
    baselined: Artifact
    built: Artifact
    trained: Artifact
    scored: Artifact
    evaluated: Artifact

    def by_step(self) -> dict[str, Artifact]:
        """Return the artifacts by the name of their step, in the order of the steps."""
        return {artifact.step: artifact for artifact in vars(self).values() if artifact}


@dataclass(frozen=True)
class PackagedArtifacts(RunArtifacts):
    """The artifacts of a whole run."""

    drawn: Artifact
    labels_checked: Artifact | None
    packaged: Artifact


def describe_artifacts(artifacts: RunArtifacts) -> dict[str, dict[str, str]]:
    """Return the key and the hash of each artifact, by its step, as metrics.json and comparison.json have them."""
    return {step: {"key": artifact.key, "sha256": artifact.sha256} for step, artifact in artifacts.by_step().items()}
