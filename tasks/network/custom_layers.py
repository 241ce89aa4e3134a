"""Custom layers, in keras.ops only, so that exports keep them. This module imports Keras: import it in functions."""

from typing import Any

import keras
from keras import ops


class PhraseTable(keras.layers.Layer):
    """The base of layers that find the one- to three-word phrases of a text, and the numbers of each phrase.

    A binary search in stock operations finds them, because exports do not keep a hash table.
    """

    def __init__(self, phrases: int, vocabulary_size: int, longest: int, numbers: int, **kwargs: Any) -> None:
        """Create an empty table; `set_weights` fills it: codes in order, and numbers with a last row of zeros.

        Args:
            phrases: rows of the table, without the row of zeros at its end; at least 1.
            vocabulary_size: v; a phrase's code is a number in base v + 1 with one digit, id + 1, per word.
            longest: words of the longest phrase.
        """
        super().__init__(**kwargs)
        self.phrases, self.vocabulary_size, self.longest, self.numbers = phrases, vocabulary_size, longest, numbers
        self.codes = self.add_weight((phrases,), "zeros", dtype="int64", trainable=False, name="codes")
        self.table = self.add_weight((phrases + 1, numbers), "zeros", trainable=False, name="table")

    def rows(self, tokens: Any) -> list[Any]:
        """Return the rows of the phrases that end at each of (batch, length) tokens, for one word, two, three."""
        base = self.vocabulary_size + 1
        digits = ops.cast(tokens, "int64") + 1
        code, rows = digits, []
        for size in range(1, self.longest + 1):
            rows.append(self.find(code))
            if size < self.longest:
                # The word `size` positions earlier; before the first word is padding, which is in no known phrase.
                earlier = ops.pad(digits, ((0, 0), (size, 0)), constant_values=1)[:, : ops.shape(digits)[1]]
                code = code + earlier * base**size
        return rows

    def find(self, code: Any) -> Any:
        """Return the int32 row of the table for each code; for unknown codes the last, which is zeros."""
        row = ops.zeros_like(code, dtype="int32")
        step = 1 << max(0, (self.phrases - 1).bit_length() - 1)
        while step:
            further = ops.minimum(row + step, self.phrases - 1)
            row = ops.where(ops.take(self.codes, further, axis=0) <= code, further, row)
            step //= 2
        return ops.where(ops.equal(ops.take(self.codes, row, axis=0), code), row, self.phrases)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        own = {name: getattr(self, name) for name in ("phrases", "vocabulary_size", "longest", "numbers")}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("imdb_pipeline")
class PhraseNumbers(PhraseTable):
    """The numbers of the phrases that end at each token; zeros for unknown phrases."""

    @property
    def width(self) -> int:
        """Numbers per token."""
        return self.longest * self.numbers

    def call(self, tokens: Any) -> Any:
        """(batch, length) int32 ids -> (batch, length, numbers * longest) float32: r1 r2 r3 w1 w2 w3."""
        joined = ops.stack([ops.take(self.table, rows, axis=0) for rows in self.rows(tokens)], axis=-1)
        return ops.reshape(joined, (*ops.shape(joined)[:2], self.width))


@keras.saving.register_keras_serializable("imdb_pipeline")
class PhraseLogits(PhraseTable):
    """Linear models of phrases, one per column of the table: the sum over a text's different phrases, and a bias."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Create an empty table; `set_weights([codes, table, bias])` fills it."""
        super().__init__(*args, **kwargs)
        self.bias = self.add_weight((self.numbers,), "zeros", trainable=False, name="bias")

    def call(self, tokens: Any) -> Any:
        """(batch, length) int32 ids -> (batch, numbers) float32 logits."""
        rows = ops.sort(ops.concatenate(self.rows(tokens), axis=1), axis=1)
        # In order, a phrase that occurs again follows itself.
        is_again = ops.equal(rows[:, 1:], rows[:, :-1])
        rows = ops.where(ops.pad(is_again, ((0, 0), (1, 0))), self.phrases, rows)
        return ops.sum(ops.take(self.table, rows, axis=0), axis=1) + self.bias


@keras.saving.register_keras_serializable("imdb_pipeline")
class OneVsRest(keras.layers.Layer):
    """The probability of label 1 from its logit, or those of all labels, each against the rest, that add up to 1.

    `scale` divides by a temperature.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = self.add_weight((1,), "ones", trainable=False, name="scale")

    def call(self, logits: Any) -> Any:
        """(batch, 1) -> (batch, 1), or (batch, labels) -> (batch, labels)."""
        if logits.shape[-1] == 1:
            return ops.sigmoid(self.scale * logits)
        return ops.softmax(self.scale * ops.log_sigmoid(logits))  # scale 1: the sigmoids over their sum


@keras.saving.register_keras_serializable("imdb_pipeline")
class WordDropout(keras.layers.Layer):
    """In training, set a share `rate` of the words to 0 with all their numbers, without scaling the others."""

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate, self.seed = rate, seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return (batch, length, dim) inputs; in training some of the words are 0."""
        if not training or not self.rate:
            return inputs
        kept = keras.random.uniform(ops.shape(inputs)[:2], seed=self.seed_generator) >= self.rate
        return inputs * ops.cast(kept, inputs.dtype)[..., None]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
