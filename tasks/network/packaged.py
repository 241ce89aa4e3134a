"""A packaged classifier: the network and all that raw text needs on its way to it, in one folder of plain files."""

import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tasks.judging.drift import Profile
from tasks.network.models import MODEL, load_model
from tasks.network.onnx_network import write_network
from tasks.network.scoring import NETWORK
from tasks.reviews.encoded import ENCODING, VOCABULARY

FACTS = "classifier.json"


class Facts(BaseModel):
    """What a classifier has beside its network, its vocabulary and the rules of its ids.

    Attributes:
        maxlen: words kept of a review.
        padding: "pre" or "post", the side on which a short review is filled up with 0.
        truncating: "pre", "post" or "middle": where a long review is cut.
        bucketing: whether reviews are padded to the next multiple of 32 only, or all to maxlen.
        threshold: of two labels, the probability from which a review counts as positive.
        labels: the name of each label, from label 0 on; of two the negative one comes first.
        dataset: the name of the reviews that it was trained on.
        dataset_sha256: their hash.
        reference: the profile of those reviews, to compare others with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    maxlen: int
    padding: str
    truncating: str
    bucketing: bool
    threshold: float
    labels: tuple[str, ...]
    dataset: str
    dataset_sha256: str
    reference: Profile


def write_packaged(folder: Path, network: Path, encoded: Path, facts: Facts) -> None:
    """Write model.keras, the same network as model.onnx, vocabulary.json, encoding.json and classifier.json.

    Args:
        folder: where to write.
        network: the folder of a trained network.
        encoded: the folder of the encoded reviews that it was trained on.
        facts: the rest.
    """
    shutil.copyfile(network / MODEL, folder / MODEL)
    for name in (VOCABULARY, ENCODING):
        shutil.copyfile(encoded / name, folder / name)
    write_facts(folder, facts)
    write_network(load_model(folder / MODEL), facts.labels, folder / NETWORK)


def write_facts(folder: Path, facts: Facts) -> None:
    """Write the facts of a classifier."""
    (folder / FACTS).write_text(facts.model_dump_json(indent=1), encoding="utf-8")


def read_facts(folder: Path) -> Facts:
    """Return what `write_facts` wrote."""
    return Facts.model_validate_json((folder / FACTS).read_bytes())
