"""Layers of our own, in keras.ops alone, so that every export keeps them. It imports Keras: import it in functions."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("imdb_pipeline")
class PhraseNumbers(keras.layers.Layer):
    """What is known of the one- to three-word phrases that end at each token; zeros for unknown phrases.

    The codes are searched by halving, in steps of stock operations: no hash table has to survive an export.
    """

    def __init__(self, phrases: int, vocabulary_size: int, longest: int, numbers: int, **kwargs: Any) -> None:
        """Make an empty table; `set_weights([codes, table])` fills it.

        Args:
            phrases: rows of the table, without the row of zeros at its end; at least 1.
            vocabulary_size: v; a phrase is a number of as many digits id + 1 to the base v + 1 as it has words.
            longest: words of the longest phrase.
            numbers: of a phrase.
            kwargs: Keras's own.
        """
        super().__init__(**kwargs)
        self.phrases, self.vocabulary_size, self.longest, self.numbers = phrases, vocabulary_size, longest, numbers
        self.codes = self.add_weight((phrases,), "zeros", dtype="int64", trainable=False, name="codes")
        self.table = self.add_weight((phrases + 1, numbers), "zeros", trainable=False, name="table")

    @property
    def width(self) -> int:
        """Numbers beside a token."""
        return self.longest * self.numbers

    def call(self, tokens: Any) -> Any:
        """Return (batch, length, numbers * longest) float32 of (batch, length) int32 ids: r1 r2 r3 w1 w2 w3."""
        base = self.vocabulary_size + 1
        digits = ops.cast(tokens, "int64") + 1
        code, found = digits, []
        for size in range(1, self.longest + 1):
            found.append(ops.take(self.table, self.find(code), axis=0))
            if size < self.longest:
                # The word `size` places earlier; before the first stands padding, with which no phrase is known.
                earlier = ops.pad(digits, ((0, 0), (size, 0)), constant_values=1)[:, : ops.shape(digits)[1]]
                code = code + earlier * base**size
        joined = ops.stack(found, axis=-1)
        return ops.reshape(joined, (*ops.shape(joined)[:2], self.width))

    def find(self, code: Any) -> Any:
        """Return the row of the table of each code, the last one, of zeros, for unknown codes: int32."""
        place = ops.zeros_like(code, dtype="int32")
        step = 1 << max(0, (self.phrases - 1).bit_length() - 1)
        while step:
            further = ops.minimum(place + step, self.phrases - 1)
            place = ops.where(ops.take(self.codes, further, axis=0) <= code, further, place)
            step //= 2
        return ops.where(ops.equal(ops.take(self.codes, place, axis=0), code), place, self.phrases)

    def compute_output_shape(self, shape: Any) -> Any:
        """Return the shape of what `call` returns."""
        return *shape, self.width

    def get_config(self) -> dict[str, Any]:
        """Return what makes an equal layer."""
        mine = {name: getattr(self, name) for name in ("phrases", "vocabulary_size", "longest", "numbers")}
        return {**super().get_config(), **mine}


@keras.saving.register_keras_serializable("imdb_pipeline")
class WordDropout(keras.layers.Layer):
    """In training, drop whole words, with all that is known of them; what is left is not scaled up."""

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        """Drop words at a rate.

        Args:
            rate: the share of words.
            seed: of the first draw.
            kwargs: Keras's own.
        """
        super().__init__(**kwargs)
        self.rate, self.seed = rate, seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Return (batch, length, dim) inputs, in training with some of the rows of each review 0."""
        if not training or not self.rate:
            return inputs
        kept = keras.random.uniform(ops.shape(inputs)[:2], seed=self.seed_generator) >= self.rate
        return inputs * ops.cast(kept, inputs.dtype)[..., None]

    def compute_output_shape(self, shape: Any) -> Any:
        """Return the shape of what `call` returns."""
        return shape

    def get_config(self) -> dict[str, Any]:
        """Return what makes an equal layer."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
