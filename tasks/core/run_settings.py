"""The settings of a run, by step; the defaults are the case study's."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, model_validator

from tasks.core.base_settings import ModelName, Seed, Settings, Share
from tasks.core.data_settings import DataSettings

Metric = Literal["accuracy", "f1_macro", "f1", "balanced_accuracy", "mcc", "log_loss", "roc_auc", "average_precision"]
Activation = Literal["tanh", "sigmoid", "relu", "linear", "hard_sigmoid", "softsign", "elu"]
Considered = Literal["best", "network"]
LabelName = Annotated[str, Field(coerce_numbers_to_str=True)]


class PhraseSettings(Settings):
    """The phrase features: what `phrases` reads."""

    folds: int = Field(4, ge=2, le=100)
    """parts of the training texts, each with features learned from the others; a group stays in one part"""
    min_documents: int = Field(2, ge=1)
    """minimum number of training texts with a phrase"""
    inverse_penalty: float = Field(0.2, gt=0)
    """inverse penalty of the linear model's weights: scikit-learn's C"""
    iterations: int = Field(20, ge=1, le=1000)
    """steps of the linear model's descent"""
    vector_dim: int = Field(64, ge=1, le=4096)
    """width of a word vector"""
    seed: Seed = 1
    """seed of the folds and of the vectors"""


class ModelSettings(Settings):
    """The network: what `build` reads."""

    cell: Literal["simple_rnn", "lstm", "gru"] = "lstm"
    """the recurrent layer"""
    bidirectional: bool = True
    """read each text in both directions"""
    units: int = Field(64, ge=1, le=4096)
    """width of the recurrent state, per direction"""
    layers: int = Field(1, ge=1, le=8)
    """recurrent layers, stacked through return_sequences"""
    activation: Activation = "tanh"
    """activation of the state"""
    recurrent_activation: Activation | None = None
    """activation of the gates (none: the cell's own, sigmoid); simple_rnn has no gates"""
    readout: Literal["last", "max", "mean", "max_mean", "state"] = "last"
    """input of the classifier: the last output, the max or mean over time or both, or the state (an LSTM's c too)"""
    phrases: bool = False
    """read, with each word, features of the one- to three-word phrases that end there"""
    word_vectors: bool = False
    """use fixed word vectors, learned from the training texts, instead of a trained embedding"""
    vector_tuning: Share = 0.0
    """scale of a trained correction that is added to each word vector (0: none)"""
    embedding_dim: int = Field(128, ge=0, le=4096)
    """width of the trained embedding (0: none, for a network that reads phrases only)"""
    embedding_dropout: Share = 0.0
    """share of the embedding's channels dropped, for a whole text"""
    word_dropout: Share = 0.0
    """share of the words dropped, with their phrase features"""
    dropout: Share = 0.0
    """share of the recurrent layer's inputs dropped"""
    recurrent_dropout: Share = 0.0
    """share of the recurrent state dropped at each step"""
    dense_units: int = Field(64, ge=0, le=65_536)
    """width of the dense layer (0: none)"""
    dense_dropout: Share = 0.3
    """share of the dense layer's outputs dropped, or of the readout's without a dense layer"""
    seed: Seed = 113
    """seed of the initial weights"""

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        if self.cell == "simple_rnn" and self.recurrent_activation is not None:
            raise ValueError("recurrent_activation is for the gates of lstm and gru; simple_rnn has none")
        if not (self.embedding_dim or self.phrases or self.word_vectors):
            raise ValueError("embedding_dim is 0, so there is nothing to read; add phrases or word_vectors")
        if self.vector_tuning and not self.word_vectors:
            raise ValueError("vector_tuning needs word_vectors; add these, or leave it out")
        return self


class TrainingSettings(Settings):
    """How the network is fitted: what `train` reads."""

    epochs: int = Field(5, ge=1, le=10_000)
    """passes over the training texts"""
    min_steps: int = Field(0, ge=0)
    """minimum number of batches in all epochs together: small data is read more often (0: no minimum)"""
    batch_size: int = Field(128, ge=1)
    """texts per step"""
    learning_rate: float = Field(0.001, gt=0, le=10)
    """Adam's step size"""
    learning_rate_decay: Literal["none", "cosine"] = "none"
    """how the step size falls: not at all, or to 0 at the end of the last epoch along a cosine"""
    beta_2: float = Field(0.999, gt=0, lt=1)
    """how long Adam remembers the size of gradients"""
    clipnorm: float | None = Field(None, gt=0)
    """maximum norm of each weight's gradient (none: no limit)"""
    bucketing: bool = True
    """batch texts of similar length, padded to the next multiple of 32 only (no: all to maxlen)"""
    early_stopping_patience: int | None = Field(None, ge=1)
    """stop after this many epochs without a better one, by evaluation.metric (none: never)"""
    class_weight: Literal["none", "balanced"] = "none"
    """weight of the labels: none, by their frequency; balanced, all equal"""
    keep_best: bool = False
    """keep the weights of the best epoch, by evaluation.metric, not of the last one"""
    seed: Seed = 113
    """seed of the order of batches and of dropout"""


class ScoringSettings(Settings):
    """How texts are scored: what `score` reads."""

    batch_size: int = Field(8, ge=1)
    """texts per batch, on each processor"""
    calibrate: bool = False
    """divide the logits by a temperature fitted on the validation texts; no label changes at a threshold of 0.5"""


class ThresholdSettings(Settings):
    """The decision thresholds: what `package` reads."""

    threshold: float = Field(0.5, gt=0, lt=1)
    """probability from which a text counts as positive"""
    cost: tuple[tuple[LabelName, LabelName, PositiveFloat], ...] = ()
    """costs of mistakes, as [predicted, true, cost]: [["spam", "ham", 9]]; others cost 1; the threshold follows"""
    abstain_error: float | None = Field(None, gt=0, lt=0.5)
    """mark less certain texts as unanswered, so that of the others at most this share is wrong (none: answer all)"""

    @model_validator(mode="after")
    def _costs_give_the_threshold(self) -> Self:
        if self.cost and self.threshold != 0.5:
            raise ValueError("the threshold follows from cost; leave one of them out")
        if len({mistake[:2] for mistake in self.cost}) < len(self.cost):
            raise ValueError("cost has a mistake twice; give each once")
        return self


class MetricsSettings(ThresholdSettings):
    """How scores are evaluated: what `evaluate` and `figures` read."""

    metric: Metric | None = None
    """decides: the epoch that is kept, early stopping, the choice between networks, promotion (none: the
    validation loss decides, and accuracy promotes)"""
    calibration_bins: int = Field(15, ge=2, le=1000)
    """bins of equal width for the expected calibration error"""


class EvaluationSettings(MetricsSettings, ScoringSettings):
    """How the network is scored and evaluated."""

    label_issues: bool | None = None
    """rank the texts whose labels are probably wrong, in label_issues.csv (none: of your texts)"""


class BaselineSettings(Settings):
    """The linear baseline, a logistic regression on phrases scaled by naive Bayes: what `baseline` reads."""

    min_documents: int = Field(2, ge=1)
    """minimum number of training texts with a phrase"""
    inverse_penalty: float | None = Field(None, gt=0)
    """inverse penalty of the weights: scikit-learn's C (none: 0.2, or 1 for short texts if validation prefers it)"""


class TrackingSettings(Settings):
    """What `track` logs in MLflow, which lives in the store or at $MLFLOW_TRACKING_URI."""

    enabled: bool = True
    """log the run and register its model"""
    experiment: str = Field("imdb-pipeline", min_length=1, max_length=500)
    """MLflow's experiment"""
    registered_model: ModelName | None = None
    """the name to register the model under (none: the dataset's name and -classifier)"""
    texts: bool = True
    """log the report too, which quotes the worst mistakes (no: only figures and numbers)"""


class PromotionSettings(Settings):
    """Which model is registered, and when it becomes the champion: what `promote` reads."""

    candidates: Considered | None = None
    """network: register the network; best: the linear model, if the network is not better on validation texts by more
    than a standard error (none: best for your texts and the presets fast, tuned and auto, otherwise network)"""
    min_accuracy: float | None = Field(None, ge=0, le=1)
    """the test accuracy that a champion must have (none: better than always predicting the most frequent label)"""
    alpha: float = Field(0.05, gt=0, lt=1)
    """probability that chance alone replaces a champion, over all its challengers"""


class AutoSettings(Settings):
    """How long to look for the best model: what `--preset auto` reads."""

    minutes: float | None = Field(None, gt=0)
    """try the linear model, the presets fast and tuned, and a search around the better one, within so many minutes; the
    best on the validation texts is taken, by evaluation.metric, else accuracy (none: the model of the settings)"""


class RunSettings(Settings):
    """Everything that defines a run."""

    data: DataSettings = DataSettings()
    """the texts"""
    model: ModelSettings = ModelSettings()
    """the network"""
    phrases: PhraseSettings = PhraseSettings()
    """phrase features, if the network reads them"""
    training: TrainingSettings = TrainingSettings()
    """how the network is fitted"""
    evaluation: EvaluationSettings = EvaluationSettings()
    """how the network is evaluated"""
    baseline: BaselineSettings = BaselineSettings()
    """the linear baseline"""
    tracking: TrackingSettings = TrackingSettings()
    """what is logged in MLflow"""
    promotion: PromotionSettings = PromotionSettings()
    """when the model becomes the champion"""
    auto: AutoSettings = AutoSettings()
    """how long to look for the best model"""

    @property
    def candidates(self) -> Considered:
        """Which models may be registered."""
        return self.promotion.candidates or ("best" if self.data.is_own else "network")

    @property
    def checks_labels(self) -> bool:
        """Whether the labels are checked."""
        asked = self.evaluation.label_issues
        return self.data.is_own if asked is None else asked
