"""The artifacts of one run, by name, and the step that makes each."""

from dataclasses import dataclass, fields

from tasks.store.artifact import Artifact

# The step that makes the artifact which later steps take under this name.
MADE_BY = {
    "downloaded": "download",
    "encoded": "encode",
    "padded": "pad",
    "learned": "phrases",
    "baselined": "baseline",
    "built": "build",
    "trained": "train",
    "scored": "score",
    "sliced": "slice_tests",
    "evaluated": "evaluate",
    "drawn": "figures",
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
    sliced: Artifact | None
    evaluated: Artifact

    def by_step(self) -> dict[str, Artifact]:
        """Return the artifacts by the name of their step, in the order of the steps."""
        named = {MADE_BY[field.name]: getattr(self, field.name) for field in fields(self)}
        return {step: artifact for step, artifact in named.items() if artifact}


@dataclass(frozen=True)
class PackagedArtifacts(RunArtifacts):
    """The artifacts of a whole run."""

    drawn: Artifact
    packaged: Artifact


def describe_artifacts(artifacts: RunArtifacts) -> dict[str, dict[str, str]]:
    """Return the key and the hash of each artifact, by its step, as metrics.json and comparison.json have them."""
    return {step: {"key": artifact.key, "sha256": artifact.sha256} for step, artifact in artifacts.by_step().items()}
