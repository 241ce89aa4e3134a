"""What a run is: the settings of every step, their defaults (the case study's) and what each may hold."""

from typing import Literal, Self

from pydantic import Field, model_validator

from tasks.core.base_settings import Seed, Settings, Share
from tasks.core.data_settings import DataSettings

Activation = Literal["tanh", "sigmoid", "relu", "linear", "hard_sigmoid", "softsign", "elu"]


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
    min_steps: int = Field(0, ge=0)
    """batches that all epochs have together at least: few texts get more epochs (0: as many as epochs gives)"""
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


class MetricsSettings(ThresholdSettings):
    """How scores are judged: what `judge` and `report` read."""

    calibration_bins: int = Field(15, ge=2, le=1000)
    """bins of equal width for the expected calibration error"""


class SliceSettings(Settings):
    """By which parts of the test reviews the network is judged too: what `divide` reads."""

    slice_column: str | None = Field(None, min_length=1)
    """own reviews: report the accuracy by value of this column too, as a film (none: do not)"""
    min_slice_rows: int = Field(30, ge=2)
    """the test reviews that a value must have; those of rarer values are judged together"""


class EvaluationSettings(SliceSettings, MetricsSettings, ScoringSettings):
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
