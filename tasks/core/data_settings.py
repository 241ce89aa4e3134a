"""Data settings: where texts come from, and how they are encoded and padded."""

import codecs
import json
import re
import shlex
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from tasks.core.base_settings import Seed, Settings, Sha256, Share
from tasks.core.user_paths import has_password


def named_encoding(name: str) -> str:
    """Return Python's name of a text encoding."""
    try:
        "".encode(name)
    except LookupError:
        raise ValueError("unknown encoding; common ones are utf-8, utf-16 and windows-1252") from None
    return codecs.lookup(name).name


def one_character(delimiter: str) -> str:
    """Return a delimiter; \\t stands for a tab."""
    delimiter = "\t" if delimiter == "\\t" else delimiter
    if len(delimiter) != 1 or delimiter in '\r\n"':
        raise ValueError("expected one character, such as ;, or \\t for a tab")
    return delimiter


HOSTED = ("imdb", "rotten-tomatoes")
SCHEMES = ("s3", "gs", "http", "https")


def is_address(place: str) -> bool:
    """Return whether a place of texts is an address, as s3://bucket/a.csv, and not a path."""
    return "://" in place


def without_password(address: str) -> str:
    """Return an address, or refuse one with a user or a password in it."""
    if has_password(address):
        raise ValueError("has a user or a password in it, which runs would store; put them into ~/.netrc")
    return address


def drop_label_flag(label: str) -> str:
    """Return the flag for a shell that leaves out rows with a label."""
    is_plain = re.fullmatch(r"-?[0-9]+|\w[\w -]*", label)
    return f"--data.drop-labels {shlex.quote(label if is_plain else json.dumps([label], ensure_ascii=False))}"


def spell_label(value: Any) -> Any:
    """Return the label none, true or false as text: on the command line, a list may be JSON."""
    return str(value).lower() if value is None or isinstance(value, bool) else value


Address = Annotated[str, AfterValidator(without_password)]
EncodingName = Annotated[str, AfterValidator(named_encoding)]
Quoting = Literal["double", "backslash", "none"]
Delimiter = Annotated[str, AfterValidator(one_character)]


class SourceSettings(Settings):
    """What `download` reads."""

    dataset: Address = "imdb"
    """imdb (reviews from the Keras host), rotten-tomatoes (critics' lines from a Python package), or your texts:
    a file of CSV, Parquet or JSON (.csv, .tsv, .parquet, .jsonl, .json; .gz and .zst too), or a folder of them, or of
    a folder of .txt files per label; also at s3://, gs:// or https://"""
    source: Annotated[Address, Field(min_length=1)] | None = None
    """where imdb.npz is: an http(s) mirror, file:// or a path; default: the Keras host"""
    sha256: Sha256 | None = None
    """the sha256 that the .npz must have; default: the published file's"""
    word_index: Annotated[Address, Field(min_length=1)] | None = None
    """where imdb_word_index.json is; default: the folder of the .npz"""
    word_index_sha256: Sha256 | None = None
    """the sha256 that the word index must have; default: the published file's, any content elsewhere"""
    encoding: EncodingName = "utf-8"
    """your texts: the encoding of CSV, JSON and text, such as utf-16 or windows-1252"""
    delimiter: Delimiter | None = None
    """your texts: the CSV delimiter (none: detected in the header among comma, semicolon, tab and bar)"""
    quoting: Quoting = "double"
    """your texts: how CSV writes a quote in a quoted field: twice, or after a backslash (none: it has no meaning)"""
    text_column: str = Field("text", min_length=1)
    """your texts: the column of the text"""
    label_column: str = Field("label", min_length=1)
    """your texts: the column of the label; 2 to 1,000 labels"""
    positive_label: str | None = None
    """your texts, with two labels: the positive one (none: 1, positive, pos, true or yes, except next to a number
    above 1; else the rarer one)"""
    unlabelled: Literal["refuse", "drop"] = "refuse"
    """your texts: whether to refuse or leave out rows without a label (empty, null, NaN, None or N/A)"""
    drop_labels: tuple[Annotated[str, BeforeValidator(spell_label)], ...] = ()
    """your texts: leave out rows with these labels, such as -1 if it marks unlabelled rows"""
    split_column: str | None = Field(None, min_length=1)
    """your texts: the column of train, validation or test (none: files or folders named so, else each text's hash)"""
    group_column: str | None = Field(None, min_length=1)
    """your texts: rows with the same value in this column, such as a film, stay in one split, if no file names it"""
    held_out: Annotated[float, Field(gt=0, lt=0.5)] = 0.2
    """your texts: the share used for testing; of the rest, half this share is used for validation"""
    split_seed: Seed = 113
    """your texts: seed of the split"""
    leaks: Literal["remove", "keep", "refuse"] = "remove"
    """your texts: what to do with training rows whose text is also a validation or test row's"""
    near_duplicates: Literal["keep", "together", "drop"] = "together"
    """your texts: together: near-duplicates share a split, if no column or file names it; drop: leave out training rows
    that are near-duplicates of validation or test rows; keep: neither"""
    max_leaks: Share = 0.01
    """your texts, if leaks are refused: the share of validation and test rows that may have a training row's text"""
    min_class_share: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    """your texts: warn if the rarest label has a smaller share of a split; with n labels, 2/n of this share"""

    @property
    def is_own(self) -> bool:
        """Whether the dataset is the user's own files."""
        return self.dataset not in HOSTED

    @field_validator("dataset")
    @classmethod
    def _dataset_is_known(cls, dataset: str) -> str:
        if dataset not in HOSTED and not {"/", "."} & set(dataset):
            places = f"a file (with its ending, as .csv) or a folder (with a /, as {dataset}/)"
            raise ValueError(f"expected imdb, rotten-tomatoes, {places}")
        if is_address(dataset) and dataset.partition("://")[0] not in SCHEMES:
            raise ValueError("expected a path, s3://, gs:// or https://")
        return dataset

    @model_validator(mode="after")
    def _source_is_imdbs(self) -> Self:
        of_imdb = self.source or self.word_index or self.word_index_sha256 or (self.sha256 and not self.is_own)
        if self.dataset != "imdb" and of_imdb:
            raise ValueError("source, sha256 and the word index are for the dataset imdb; leave them out")
        if self.split_column and self.group_column:
            raise ValueError("split_column and group_column both define the split; give one")
        return self


class OrderSettings(Settings):
    """The order of the texts, and how many of them are used."""

    shuffle_seed: Seed = 113
    """seed of the shuffle"""
    max_reviews: int | None = Field(None, ge=10)
    """maximum number of texts in each split, after the shuffle (none: all)"""


class EncodeSettings(OrderSettings):
    """What `encode` reads; the names mean what they mean in keras.datasets.imdb.load_data."""

    tokenisation: Literal["keras", "unicode"] = "keras"
    """how text becomes words: by Keras's rule (as the IMDB arrays), or by one for any language; your texts: unicode"""
    num_words: int | None = Field(10_000, ge=1, lt=2**31)
    """ids at or above this become oov_char (none: keep every word)"""
    skip_top: int = Field(0, ge=0)
    """ids below this become oov_char"""
    start_char: int | None = Field(1, ge=1)
    """the id before each text (none: no start mark)"""
    oov_char: int | None = Field(2, ge=1)
    """the id that replaces words left out (none: drop them)"""
    index_from: int = Field(3, ge=0)
    """added to each word's rank, to leave ids for the marks"""
    validation_split: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """share of the training texts, from their end, used for validation"""
    whole_groups: bool = False
    """validate on whole groups: of group_column, else blocks of about 100 neighbours, with each label's share"""
    max_words: int = Field(100_000, ge=1)
    """a text without words, or with more than this, counts towards max_odd_lengths"""
    max_odd_lengths: Share = 0.01
    """maximum share of a split's texts that have no words or more than max_words"""
    max_unknown: Annotated[float, Field(gt=0, le=1)] = 0.5
    """maximum share of a split's words that are unknown, because of num_words or because training lacks them"""

    @model_validator(mode="after")
    def _ids_fit(self) -> Self:
        for name in ("start_char", "oov_char", "skip_top"):
            if self.num_words is not None and (getattr(self, name) or 0) >= self.num_words:
                raise ValueError(f"{name} is {getattr(self, name)}, but ids end below num_words = {self.num_words}")
        return self


class PadSettings(Settings):
    """What `pad` reads; the names mean what they mean in keras.utils.pad_sequences."""

    maxlen: int = Field(256, ge=1, le=65_535)
    """words kept of each text"""
    padding: Literal["pre", "post"] = "pre"
    """the side on which short texts are padded with 0"""
    truncating: Literal["pre", "post", "middle"] = "pre"
    """the side on which long texts are cut (middle: keep a quarter of maxlen from the start and three from the end)"""


class DataSettings(PadSettings, EncodeSettings, SourceSettings):
    """Where texts come from, and how they are encoded and padded."""

    refresh: bool = False
    """your texts at an address: read them again, and say whether they changed, instead of the copy in the store"""
    on_unreachable: Literal["sample", "fail"] = "sample"
    """if the Keras host is unreachable: use the rotten-tomatoes sample, or fail"""

    @model_validator(mode="before")
    @classmethod
    def _own_texts_are_in_any_language(cls, values: Any) -> Any:
        is_own = isinstance(values, dict) and values.get("dataset", "imdb") not in HOSTED
        return {"tokenisation": "unicode"} | values if is_own else values

    @model_validator(mode="after")
    def _arrays_are_tokenised(self) -> Self:
        if self.dataset == "imdb" and self.tokenisation != "keras":
            raise ValueError("tokenisation is for texts; the dataset imdb is already tokenised by the rule keras")
        return self
