"""Train: fit the network epoch by epoch, with a checkpoint after each, so that an interrupted run resumes."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from tasks.core.errors import PipelineError, TrainingError
from tasks.core.run_settings import Metric, TrainingSettings
from tasks.evaluation.predictions import Scores
from tasks.evaluation.selection_metric import as_cost, measure
from tasks.evaluation.training_history import Epoch, best_epoch, write_training
from tasks.linear.phrase_tables import PhraseReader, read_phrases
from tasks.network.batches import batches_an_epoch, bucketed_dataset
from tasks.network.checkpoint import Checkpoint, resumable
from tasks.network.keras_files import MODEL, learner_of, load_model, save_model
from tasks.network.tensorflow_setup import training_device
from tasks.reporting.prefect_ui import Advance, showing_progress
from tasks.store.artifact import Resume
from tasks.store.leases import LeaseLostError
from tasks.store.step import run_logger, step
from tasks.texts.padded import PaddedFile, padded_file

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

EPOCH_STEPS = 20  # of few texts: an epoch's validation and checkpoint take longer than a short batch


def seed_dropout(model: "keras.Model", *numbers: int) -> None:
    """Set the state of every random generator in `model` from `numbers` and the generator's position.

    A .keras file does not keep that state. If it is set before each epoch from the seed and the epoch, resumed training
    equals uninterrupted training.
    """
    for position, state in enumerate(random_states(model)):
        state.assign(np.random.SeedSequence([*numbers, position]).generate_state(2, np.uint32))


def random_states(model: "keras.Model") -> list[Any]:
    """Return the state of every random generator in a model, recurrent cells included: (2,) uint32 variables."""
    # Keras counts a generator's state among a layer's variables, but not among its weights.
    weights = {id(weight) for weight in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]


def compile_model(model: "keras.Model", settings: TrainingSettings, steps: int) -> None:
    """Compile with Adam, cross-entropy and accuracy; with two labels also precision and recall at 0.5.

    `steps` is the number of batches of the whole training, after which a falling step size is 0.
    """
    import keras

    rate: Any = settings.learning_rate
    if settings.learning_rate_decay == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, steps)
    metrics: list[Any]
    if model.output_shape[-1] == 1:
        loss = keras.losses.BinaryCrossentropy()
        named = keras.metrics.Precision(name="precision"), keras.metrics.Recall(name="recall")
        metrics = [keras.metrics.BinaryAccuracy(name="accuracy"), *named]
    else:
        loss = keras.losses.SparseCategoricalCrossentropy()
        metrics = [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
    optimizer = keras.optimizers.Adam(rate, beta_2=settings.beta_2, clipnorm=settings.clipnorm)
    model.compile(optimizer=optimizer, loss=loss, metrics=metrics)
    # Otherwise the first batch creates its moments, and the training step is traced twice.
    optimizer.build(model.trainable_variables)


def balanced_weights(train: PaddedFile) -> dict[int, float]:
    """Return weights that make all labels count the same: n / (labels * texts of the label) (King and Zeng, 2001)."""
    counts = np.bincount(np.concatenate(train.column("label")))
    return dict(enumerate((counts.sum() / (len(counts) * counts)).tolist()))


def measure_validation(model: "keras.Model", held_out: "tf.data.Dataset", metric: Metric) -> float:
    """Return a metric on validation batches, at the threshold 0.5."""
    probabilities = model.predict(held_out, verbose=0)
    labels = np.concatenate([its[:, 0] for _inputs, its in held_out.as_numpy_iterator()]).astype(np.int16)
    scores = Scores(labels, probabilities[:, 0] if probabilities.shape[1] == 1 else probabilities)
    return measure(metric, labels, scores.verdicts(0.5), scores.probabilities)


@dataclass(frozen=True)
class Trainer:
    """Fits a network epoch by epoch.

    Attributes:
        phrases: the phrase features of `train`, if the network reads them.
        metric: what the cost of an epoch is measured by; None for the validation loss.
        log: called with each line about the training.
        advance: called after each batch.
    """

    train: PaddedFile
    validation: PaddedFile
    settings: TrainingSettings
    log: Callable[[str], None]
    advance: Advance = lambda share, description: None
    phrases: PhraseReader | None = None
    metric: Metric | None = None

    def fit(self, built: Path, checkpoint: Checkpoint) -> tuple["keras.Model", list[Epoch]]:
        """Fit the trainable part of the model in `built`, after the last usable epoch in `checkpoint`.

        Returns:
            That part with the weights to keep, and its epochs.
        """
        settings = self.settings
        state = checkpoint.read(warn=self.log, is_usable=lambda its: not goes_beyond(its.history, settings))
        if state:
            history, model = state.history, load_model(checkpoint.folder / state.last)
            self.log(f"Going on after epoch {history[-1].epoch}, from {checkpoint.folder}")
        else:
            history, model = [], learner_of(load_model(built))
            _passes, batches = plan_epoch(self.train, settings)
            compile_model(model, settings, settings.epochs * batches)
        self.log(f"Training on {training_device()}")
        while not is_done(history, settings):
            state = checkpoint.write(model, self.fit_epoch(model, len(history) + 1))
            history = state.history
            pa.default_memory_pool().release_unused()  # of TensorFlow, too: both use the C library's
            self.log(describe(history, settings))
        if settings.keep_best and state and state.best != state.last:
            model = load_model(checkpoint.folder / state.best)
        return model, history

    def fit_epoch(self, model: "keras.Model", epoch: int) -> Epoch:
        """Fit one epoch, from 1, of a compiled model and validate; raise TrainingError if the loss is not a number.

        The order of the batches and dropout follow from (seed, epoch) alone, not from the epochs before.
        """
        import keras

        started = time.perf_counter()
        settings, phrases, bucketing = self.settings, self.phrases, self.settings.bucketing
        seed_dropout(model, settings.seed, epoch)
        rng = np.random.default_rng([settings.seed, epoch])
        weights = balanced_weights(self.train) if settings.class_weight == "balanced" else None
        passes, count = plan_epoch(self.train, settings)
        batches = bucketed_dataset(
            self.train, settings.batch_size, bucketing=bucketing, rng=rng, phrases=phrases, passes=passes
        )
        its_phrases = phrases.for_others(self.validation.rows) if phrases else None
        size = max(settings.batch_size, 256)
        held_out = bucketed_dataset(self.validation, size, bucketing=bucketing, phrases=its_phrases)

        def show(batch: int, logs: Any) -> None:
            self.advance((epoch - 1 + (batch + 1) / count) / settings.epochs, f"epoch {epoch}/{settings.epochs}")

        callbacks = [keras.callbacks.TerminateOnNaN(), keras.callbacks.LambdaCallback(on_train_batch_end=show)]
        logs = model.fit(
            batches, validation_data=held_out, verbose=0, callbacks=callbacks, shuffle=False, class_weight=weights
        )
        numbers = {name: float(values[-1]) for name, values in logs.history.items()}
        if self.metric:
            value = measure_validation(model, held_out, self.metric)
            numbers |= {f"val_{self.metric}": value, "cost": as_cost(self.metric, value)}
        if not all(math.isfinite(value) for value in numbers.values()):
            raise TrainingError(
                f"epoch {epoch}: the loss is {numbers['loss']}; the last sound epoch is kept. "
                f"Lower --training.learning-rate (it is {settings.learning_rate})"
            )
        return Epoch.model_validate({"epoch": epoch, **numbers, "seconds": round(time.perf_counter() - started, 3)})


def is_done(history: list[Epoch], settings: TrainingSettings) -> bool:
    """Return whether training has all its epochs, or stops early."""
    if len(history) >= settings.epochs:
        return True
    patience = settings.early_stopping_patience
    return bool(history) and patience is not None and len(history) - best_epoch(history) >= patience


def goes_beyond(history: list[Epoch], settings: TrainingSettings) -> bool:
    """Return whether training would have stopped before the last of these epochs."""
    return any(is_done(history[:count], settings) for count in range(1, len(history)))


def describe(history: list[Epoch], settings: TrainingSettings) -> str:
    """Return a line about the last epoch and the time left."""
    last = history[-1].model_dump(exclude={"epoch", "seconds", "cost"})
    pace = sum(epoch.seconds for epoch in history) / len(history)
    left = pace * (settings.epochs - len(history))
    trained = ", ".join(f"{name} {value:.4f}" for name, value in last.items() if not name.startswith("val_"))
    return (
        f"Epoch {history[-1].epoch}/{settings.epochs}: {trained}; validation loss {last['val_loss']:.4f}, accuracy "
        f"{last['val_accuracy']:.4f}; {history[-1].seconds:.1f} s, at most {left:.0f} s left"
    )


def another_try_may_help(_task: Any, _run: Any, state: Any) -> bool:
    """Return whether to retry a failed training: not if the user has to fix something first."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, LeaseLostError) or not isinstance(error, PipelineError)


def plan_epoch(train: PaddedFile, settings: TrainingSettings) -> tuple[int, int]:
    """Return how often an epoch reads the texts, and its number of batches.

    It reads them more than once if few texts have to give `min_steps` batches.
    """
    batches = batches_an_epoch(train, settings.batch_size, bucketing=settings.bucketing)
    passes = max(1, min(settings.min_steps, EPOCH_STEPS) // batches)
    return passes, passes * batches


def with_enough_epochs(settings: TrainingSettings, batches: int) -> TrainingSettings:
    """Return the settings with as many epochs of `batches` batches as `min_steps` needs."""
    needed = math.ceil(settings.min_steps / batches)
    return settings.model_copy(update={"epochs": max(settings.epochs, needed)})


def settings_of_epochs(settings: TrainingSettings) -> TrainingSettings:
    """Return the settings without those that only decide when training stops and which epoch is kept.

    Trainings that differ only in these share their epochs, unless the step size depends on the number of epochs.
    """
    when_to_stop: dict[str, Any] = {"early_stopping_patience": None, "keep_best": False}
    if settings.learning_rate_decay == "none":
        when_to_stop |= {"epochs": 1, "min_steps": min(settings.min_steps, EPOCH_STEPS)}
    return settings.model_copy(update=when_to_stop)


@step(
    resumes_on=settings_of_epochs,
    retries=2,
    retry_delay_seconds=5,
    retry_condition_fn=another_try_may_help,
)
def train(
    *,
    built: Path,
    padded: Path,
    learned: Path | None,
    settings: TrainingSettings,
    resume: Resume,
    folder: Path,
    metric: Metric | None = None,
) -> dict[str, Any]:
    """Write model.keras, without its optimizer, and training.json; continue after the last complete epoch.

    The best epoch, and early stopping, go by the validation loss, or by `metric` if there is one.

    Returns:
        {"seconds": of each epoch, "epochs": how many were planned, "passes": over the texts in each}.
    """
    texts, held_out = (PaddedFile(padded_file(padded, split)) for split in ("train", "validation"))
    phrases = read_phrases(learned, int(texts.metadata["vocabulary_size"])) if learned else None
    passes, batches = plan_epoch(texts, settings)
    settings = with_enough_epochs(settings, batches)
    with (
        resumable(resume) as checkpoint,
        showing_progress("imdb-pipeline-training", f"{settings.epochs} epochs") as advance,
    ):
        trainer = Trainer(texts, held_out, settings, run_logger().info, advance, phrases, metric)
        model, history = trainer.fit(built / MODEL, checkpoint)
        bare = load_model(built / MODEL)
        learner_of(bare).set_weights(model.get_weights())
        save_model(bare, folder / MODEL)
        write_training(folder, history, bucketing=settings.bucketing, keep_best=settings.keep_best)
    return {"seconds": [epoch.seconds for epoch in history], "epochs": settings.epochs, "passes": passes}
