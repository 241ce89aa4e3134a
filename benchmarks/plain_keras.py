"""The case study as a plain Keras script, without cache or length buckets: the reference for the benchmarks.

python benchmarks/plain_keras.py --data PATH/imdb.npz
"""

import argparse
import json
import time

import numpy as np

NUM_WORDS, MAXLEN, BATCH_SIZE = 10_000, 256, 128


def load_and_pad(path):
    """Return padded training and test reviews with their labels, as keras.datasets.imdb.load_data orders them."""
    import keras

    with np.load(path, allow_pickle=True) as arrays:  # a plain script trusts its file
        splits = {name: arrays[name] for name in ("x_train", "y_train", "x_test", "y_test")}
    rng = np.random.RandomState(113)
    padded = []
    for split in ("train", "test"):
        order = np.arange(len(splits[f"y_{split}"]))
        rng.shuffle(order)
        reviews = [[1] + [word + 3 for word in splits[f"x_{split}"][row]] for row in order]
        reviews = [[word if word < NUM_WORDS else 2 for word in review] for review in reviews]
        padded += [keras.utils.pad_sequences(reviews, maxlen=MAXLEN), splits[f"y_{split}"][order]]
    return padded


def predict_texts(model, texts, ranks):
    """Return the probability of each text: tokenised word by word, padded to 256, scored with Keras's defaults."""
    import keras

    to_space = str.maketrans(dict.fromkeys('!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n', " "))
    reviews = []
    for text in texts:
        known = (ranks[word] + 3 for word in text.lower().translate(to_space).split() if word in ranks)
        reviews.append([1] + [word if word < NUM_WORDS else 2 for word in known])
    return model.predict(keras.utils.pad_sequences(reviews, maxlen=MAXLEN), verbose=0)[:, 0]


def make_model():
    """Return the case study's network, compiled."""
    import keras
    from keras import layers

    model = keras.Sequential(
        [
            keras.Input((MAXLEN,)),
            layers.Embedding(NUM_WORDS, 128),
            layers.Bidirectional(layers.LSTM(64)),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dropout(0.3),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    metrics = ["accuracy", keras.metrics.Precision(name="precision"), keras.metrics.Recall(name="recall")]
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=metrics)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="imdb.npz")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=113)
    parser.add_argument("--reviews", type=int, help="use only this many of each split")
    arguments = parser.parse_args()

    started = time.perf_counter()
    import keras

    keras.utils.set_random_seed(arguments.seed)
    seconds = {"import": time.perf_counter() - started}

    started = time.perf_counter()
    x_train, y_train, x_test, y_test = (part[: arguments.reviews] for part in load_and_pad(arguments.data))
    seconds["load_and_pad"] = time.perf_counter() - started

    started = time.perf_counter()
    model = make_model()
    model.fit(x_train, y_train, epochs=arguments.epochs, batch_size=BATCH_SIZE, validation_split=0.2, verbose=2)
    seconds["fit"] = time.perf_counter() - started

    started = time.perf_counter()
    scores = model.evaluate(x_test, y_test, verbose=0, return_dict=True)
    seconds["evaluate"] = time.perf_counter() - started
    print(json.dumps({"test": scores, "seconds": seconds}))


if __name__ == "__main__":
    main()
