"""Settings of the commands: train, compare, promote, predict, export and housekeeping, and of runners."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import CliPositionalArg

from tasks.core.base_settings import ModelName, Settings
from tasks.core.data_settings import Delimiter, EncodingName, Quoting, is_address
from tasks.core.run_settings import RunSettings

STDIN = "-"


def without_address(place: str) -> str:
    """Return a path, or refuse an address."""
    if is_address(place):
        raise ValueError("is an address, expected a path on this machine; copy the files (aws s3 sync) or mount them")
    return place


LocalPath = Annotated[str, Field(min_length=1), AfterValidator(without_address)]


class RunnerSettings(Settings):
    """What runs independent tasks in parallel."""

    runner: Literal["none", "threads", "processes", "dask", "ray"] = "none"
    """none: one after another; threads or processes: in parallel on this machine; dask or ray: on a cluster"""
    workers: int | None = Field(None, ge=1, le=1024)
    """how many at once, each with its share of this machine's processors (none: two, or the cluster's size)"""
    address: str | None = Field(None, min_length=1)
    """address of a running Dask scheduler (tcp://host:8786) or Ray cluster (ray://host:10001) (none: start one)"""

    @model_validator(mode="after")
    def _only_clusters_have_an_address(self) -> Self:
        if self.address is not None and self.runner not in ("dask", "ray"):
            raise ValueError("address is for the runners dask and ray; give one of these, or leave it out")
        if self.workers is not None and self.runner == "none":
            raise ValueError("workers needs a runner, such as processes")
        return self


class CompareSettings(RunSettings, RunnerSettings):
    """Which networks to compare; they share all other settings of a run."""

    cells: tuple[Literal["simple_rnn", "lstm", "gru"], ...] = ("simple_rnn", "lstm", "gru")
    """the recurrent layers to compare (none: presets alone)"""
    ways: Annotated[tuple[Literal["one", "two"], ...], Field(min_length=1)] = ("one", "two")
    """directions in which each layer reads a text: one (unidirectional) or two (bidirectional)"""
    presets: tuple[str, ...] = ()
    """presets to compare too, each with its own vocabulary, network and training, named as by --preset"""
    seeds: int = Field(1, ge=1, le=100)
    """how many times to train each, with different initial weights and batch orders"""

    trials: int = Field(0, ge=0, le=10_000)
    """number of trials of a search, earlier ones included (0: no search); the best one is compared"""
    search: str = (
        "model.units=16..128 model.readout=last,max,mean,max_mean model.embedding_dropout=0..0.5 "
        "training.learning_rate=0.0005..0.01"
    )
    """settings to search, separated by spaces, each with a range or values"""

    @model_validator(mode="after")
    def _a_space_needs_trials(self) -> Self:
        if self.search != type(self).model_fields["search"].default and not self.trials:
            raise ValueError("search needs trials, the number of trials")
        return self

    @field_validator("cells", mode="before")
    @classmethod
    def _none_is_no_cell(cls, cells: Any) -> Any:
        return () if cells is None or list(cells) in (["none"], [None]) else cells


class NamedModel(Settings):
    """A registered model's name."""

    registered_model: ModelName | None = None
    """the model's name in the registry (none: the one that has a champion; of several, imdb-classifier)"""


class ModelChoice(NamedModel):
    """Which model scores or is written."""

    model: str | None = Field(None, min_length=1)
    """a version's number or a run folder (none: the champion)"""

    @model_validator(mode="after")
    def _a_run_folder_has_one_model(self) -> Self:
        if self.model is not None and not self.model.isdecimal() and self.registered_model is not None:
            raise ValueError("registered_model is for versions, and the model is a run folder; leave one of them out")
        return self


class PromoteSettings(NamedModel):
    """A version to make the champion by hand, or the champions so far."""

    version: int | None = Field(None, ge=1)
    """the version to promote, or to roll back to"""
    back: bool = False
    """return to the previous champion"""
    list: bool = False
    """list the champions so far: since when, why, and with which test accuracy"""
    reason: str | None = Field(None, min_length=1, max_length=1000)
    """the reason to record with the decision (none: promoted by hand, or rolled back by hand)"""

    @model_validator(mode="after")
    def _one_thing_to_do(self) -> Self:
        if [self.version is not None, self.back, self.list].count(True) != 1:
            raise ValueError("give a version (--version N), --back or --list")
        if self.reason is not None and self.list:
            raise ValueError("reason is for --version and --back; leave it out")
        return self


class PredictSettings(RunnerSettings, ModelChoice):
    """What to score, and with which model; the files of a folder may be scored in parallel."""

    text: SecretStr | None = None  # Prefect's server stores the parameters of every run
    """one text to score; Prefect does not see it"""
    input: LocalPath | None = None
    """texts to score: CSV, Parquet, JSON or one text per line (.txt), .gz and .zst too; a folder of them, or of a
    folder of .txt files per label if output is a file; or - for the lines of standard input, whose scores are printed
    as JSON lines"""
    output: LocalPath | None = None
    """where to write the scores: a .parquet, .csv or .jsonl file; a folder if the input is one"""
    text_column: str = Field("text", min_length=1)
    """the column of the texts"""
    encoding: EncodingName = "utf-8"
    """the encoding of CSV, JSON and text, such as utf-16 or windows-1252"""
    delimiter: Delimiter | None = None
    """the CSV delimiter (none: detected in the header among comma, semicolon, tab and bar)"""
    quoting: Quoting = "double"
    """how CSV writes a double quote in a quoted field: twice, or after a backslash (none: quotes have no meaning)"""
    explain: int = Field(0, ge=0, le=100)
    """return this many of the words that changed the score most"""
    max_drift: float = Field(0.25, gt=0)
    """the population stability index above which to warn, beyond chance"""
    min_drift_rows: int = Field(200, ge=1)
    """rows needed to measure drift"""

    @model_validator(mode="after")
    def _one_thing_to_score(self) -> Self:
        if (self.text is None) == (self.input is None):
            raise ValueError("give either text or input")
        if self.input == STDIN:
            if self.output is not None:
                raise ValueError("the scores of standard input are printed as lines; leave output out")
        elif (self.input is None) != (self.output is None):
            raise ValueError("input and output go together")
        return self


class ExportSettings(ModelChoice):
    """Which model to write, and where."""

    output: LocalPath
    """the new folder to write to"""
    format: Literal["saved_model", "onnx"] = "saved_model"
    """saved_model: a TensorFlow graph from text to probability; onnx: the network, from token ids to probability"""


class HousekeepingSettings(Settings):
    """What to do with the store."""

    action: CliPositionalArg[Literal["list", "verify", "prune"]] = "list"
    """list shows every artifact, verify checks every hash, prune removes what is no longer used"""
    days: int = Field(30, ge=0)
    """prune: remove artifacts unused for this many days, and runs and comparisons this old"""
