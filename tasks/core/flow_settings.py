"""What flows are asked to do: what carries out a run, and what to compare, promote, predict, export, keep house."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import CliPositionalArg

from tasks.core.base_settings import Settings
from tasks.core.data_settings import Delimiter, EncodingName, Quoting
from tasks.core.settings import RunSettings

STDIN = "-"


class RunnerSettings(Settings):
    """What carries out side by side what does not depend on each other."""

    runner: Literal["none", "threads", "processes", "dask", "ray"] = "none"
    """none: one after another; threads or processes: side by side on this machine; dask, ray: on a cluster of theirs"""
    workers: int | None = Field(None, ge=1, le=1024)
    """how many at once, each with its share of this machine's processors (none: two, or as the cluster is wide)"""
    address: str | None = Field(None, min_length=1)
    """of the Dask scheduler (tcp://host:8786) or the Ray cluster (ray://host:10001) that is there already (none: one is
    started on this machine for as long as it takes)"""

    @property
    def place(self) -> str:
        """Where the runner is, in words."""
        return self.address or "this machine"

    @model_validator(mode="after")
    def _only_clusters_have_an_address(self) -> Self:
        if self.address is not None and self.runner not in ("dask", "ray"):
            raise ValueError(
                "address is of a Dask scheduler or a Ray cluster; give runner dask or ray, or leave it out"
            )
        return self


class CompareSettings(RunSettings, RunnerSettings):
    """Which networks to set side by side; what a run has settings for, all of them share."""

    cells: tuple[Literal["simple_rnn", "lstm", "gru"], ...] = ("simple_rnn", "lstm", "gru")
    """the recurrent layers to compare (none: presets alone)"""
    ways: Annotated[tuple[Literal["one", "two"], ...], Field(min_length=1)] = ("one", "two")
    """and in which of these ways each reads a review"""
    presets: tuple[str, ...] = ()
    """presets to compare with them, each with its own words, network and training: names, or TOML files"""
    grid: str | None = None
    """values that a setting takes in turn in every network, as "model.units=32,64"; of several settings, parted by
    spaces, each with each"""
    seeds: int = Field(1, ge=1, le=100)
    """how many times each is trained, from first weights and orders of batches of their own"""

    trials: int = Field(0, ge=0, le=10_000)
    """search beyond the grid with this many trials, those of earlier searches for the same included (0: no search); the
    one with the lowest validation loss is compared"""
    search: str = (
        "model.units=16..128 model.readout=last,max,mean,max_mean model.embedding_dropout=0..0.5 "
        "training.learning_rate=0.0005..0.01"
    )
    """where to search: for each setting a range or values, parted by spaces; all else is as the settings say"""

    @field_validator("cells", mode="before")
    @classmethod
    def _none_is_no_cell(cls, cells: Any) -> Any:
        return () if cells is None or list(cells) in (["none"], [None]) else cells


class PromoteSettings(Settings):
    """A version to make the champion by hand."""

    version: int = Field(ge=1)
    """the version to promote, or to roll back to"""
    registered_model: str | None = Field(None, min_length=1)
    """the model's name in the registry (none: the one that has a champion; of several, imdb-classifier)"""
    reason: str = Field("promoted by hand", min_length=1)
    """what to write beside the decision"""


class PredictSettings(RunnerSettings):
    """What to score, with which model, and by what: the files of a folder may be scored side by side."""

    text: SecretStr | None = None  # Prefect's server is told of the parameters of every run
    """one review to score; Prefect is not told what it says"""
    input: str | None = Field(None, min_length=1)
    """reviews to score: CSV, Parquet, JSON or one review a line (.txt), .gz and .zst too; or a folder of them; or - for
    lines that come in, whose scores go out as JSON lines"""
    output: str | None = Field(None, min_length=1)
    """where to write the scores: a .parquet, .csv or .jsonl file, or for a folder a folder (of Parquet)"""
    text_column: str = Field("text", min_length=1)
    """the column that holds the reviews"""
    encoding: EncodingName = "utf-8"
    """the encoding of CSV, JSON and text, as utf-16 or windows-1252"""
    delimiter: Delimiter | None = None
    """between the fields of CSV (none: the one that the header shows, of comma, semicolon, tab and bar)"""
    quoting: Quoting = "double"
    """how CSV writes a double quote in a quoted field: twice, or after a backslash (none: a quote is a character like
    any other)"""
    model: str | None = Field(None, min_length=1)
    """a version's number, a run folder or a model.keras in the store (none: the champion)"""
    registered_model: str | None = Field(None, min_length=1)
    """the model's name in the registry (none: the one that has a champion; of several, imdb-classifier)"""
    explain: int = Field(0, ge=0, le=100)
    """name this many words that moved the score most"""
    max_drift: float = Field(0.25, gt=0)
    """the population stability index of lengths, unknown words or scores beyond which a warning is given"""
    min_drift_rows: int = Field(200, ge=1)
    """rows below which there are too few to tell"""

    @model_validator(mode="after")
    def _one_thing_to_score(self) -> Self:
        if (self.text is None) == (self.input is None):
            raise ValueError("give either text or input")
        if self.input == STDIN:
            if self.output is not None:
                raise ValueError("the scores of what comes in go out as lines: give no output")
        elif (self.input is None) != (self.output is None):
            raise ValueError("input and output go together")
        return self


class ExportSettings(Settings):
    """Which model to write, and where."""

    output: str = Field(min_length=1)
    """the new folder to write to"""
    format: Literal["saved_model", "onnx"] = "saved_model"
    """saved_model: a TensorFlow graph from text to probability; onnx: the network, from token ids to probability"""
    model: str | None = Field(None, min_length=1)
    """a version's number, a run folder or a model.keras in the store (none: the champion)"""
    registered_model: str | None = Field(None, min_length=1)
    """the model's name in the registry (none: the one that has a champion; of several, imdb-classifier)"""


class HousekeepingSettings(Settings):
    """What to do with the store."""

    action: CliPositionalArg[Literal["list", "verify", "prune"]] = "list"
    """list shows every artifact, verify checks every hash, prune removes what is no longer used"""
    days: int = Field(30, ge=0)
    """prune: keep what a run of the last so many days has used, and the folders of those runs"""
