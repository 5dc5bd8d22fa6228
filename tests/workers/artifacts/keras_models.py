"""Benign Keras models of many kinds of layers, small, with the rows that they take."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

TEXTS = ["hello world", "some more words", "world", "unknown", ""]


def keras() -> Any:
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    return keras


def adapted_words() -> Any:
    """A vocabulary that was learnt, so that it is kept in a file of the archive; two layers of the class."""
    k = keras()
    text = k.Input((1,), dtype="string")
    words = k.layers.TextVectorization(output_mode="int", output_sequence_length=4)
    words.adapt(TEXTS[:3])
    counts = k.layers.TextVectorization(output_mode="tf_idf")
    counts.adapt(TEXTS[:3])
    embedded = k.layers.Flatten()(k.layers.Embedding(20, 3)(words(text)))
    counted = k.layers.Flatten()(counts(text))
    return k.Model(text, k.layers.Dense(2)(k.layers.Concatenate()([embedded, counted])))


def adapted_lookups() -> Any:
    k = keras()
    text, number = k.Input((1,), dtype="string"), k.Input((1,), dtype="int64")
    strings, integers = k.layers.StringLookup(output_mode="one_hot"), k.layers.IntegerLookup(output_mode="one_hot")
    strings.adapt(["a", "b", "ü", "os.system('x')"])
    integers.adapt([[1], [5], [-9]])
    return k.Model([text, number], k.layers.Dense(2)(k.layers.Concatenate()([strings(text), integers(number)])))


def nested_lookup() -> Any:
    k = keras()
    lookup = k.layers.StringLookup(mask_token="")
    lookup.adapt(["a", "b"])
    inner = k.Sequential([k.Input((1,), dtype="string"), lookup, k.layers.Embedding(9, 2)])
    text = k.Input((1,), dtype="string")
    return k.Model(text, k.layers.Dense(1)(k.layers.Flatten()(inner(text))))


def given_words() -> Any:
    """A vocabulary that was given, so that it is kept in the config; and hashing."""
    k = keras()
    text = k.Input((1,), dtype="string")
    looked_up = k.layers.StringLookup(vocabulary=["hello", "world"], output_mode="one_hot")(text)
    hashed = k.layers.Hashing(8, salt=[1, 2], output_mode="one_hot")(text)
    return k.Model(text, k.layers.Dense(2)(k.layers.Concatenate()([looked_up, hashed])))


def preprocessing() -> Any:
    k = keras()
    numbers = k.Input((3,))
    normalised, binned = k.layers.Normalization(), k.layers.Discretization(num_bins=4)
    sample = np.random.default_rng(1).random((20, 3))
    normalised.adapt(sample)
    binned.adapt(sample)
    encoded = k.layers.CategoryEncoding(num_tokens=5, output_mode="multi_hot")(binned(numbers))
    parts = [normalised(numbers), k.layers.Rescaling(0.5)(numbers), encoded]
    return k.Model(numbers, k.layers.Dense(2)(k.layers.Concatenate()(parts)))


def attention_and_recurrence() -> Any:
    k = keras()
    rows = k.Input((6, 8))
    hidden = k.layers.MultiHeadAttention(2, 4)(rows, rows)
    hidden = k.layers.GroupQueryAttention(4, 4, 2)(hidden, hidden)
    hidden = k.layers.Bidirectional(k.layers.LSTM(3, return_sequences=True))(hidden)
    hidden = k.layers.RNN([k.layers.GRUCell(3), k.layers.LSTMCell(4)], return_sequences=True)(hidden)
    hidden = k.layers.GRU(4, return_sequences=True)(hidden)
    hidden = k.layers.TimeDistributed(k.layers.Dense(2))(hidden)
    return k.Model(rows, k.layers.SimpleRNN(2)(hidden))


def augmented_images() -> Any:
    k = keras()
    augmentation = [
        k.layers.RandomFlip(),
        k.layers.RandomErasing(seed=1),
        k.layers.Solarization(value_range=(0, 1)),
        k.layers.RandAugment(value_range=(0, 1)),
    ]
    return k.Sequential([k.Input((8, 8, 3)), *augmentation, k.layers.Flatten(), k.layers.Dense(2)])


def images() -> Any:
    k = keras()
    layers = [
        k.Input((8, 8, 3)),
        k.layers.SeparableConv2D(4, 3, activation="swish", depthwise_regularizer="l2"),
        k.layers.GroupNormalization(2),
        k.layers.DepthwiseConv2D(3),
        k.layers.GlobalMaxPooling2D(),
        k.layers.Dense(3, activation="softmax"),
    ]
    model = k.Sequential(layers)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def shared_layers() -> Any:
    k = keras()
    left, right = k.Input((4,), name="left"), k.Input((4,), name="right")
    shared = k.layers.Dense(3, activation="tanh", name="shared")
    inner = k.Sequential([k.Input((3,)), k.layers.Dense(3)], name="inner")
    joined = k.layers.Add()([inner(shared(left)), inner(inner(shared(right)))])
    model = k.Model([left, right], k.layers.Dense(2)(joined))
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def mixed_precision() -> Any:
    k = keras()
    rows = k.Input((4,))
    hidden = k.layers.Dense(3, dtype="mixed_float16")(rows)
    hidden = k.layers.Dense(3, dtype="bfloat16")(hidden)
    return k.Model(rows, k.layers.Dense(2, dtype="float32")(k.layers.Dense(2, dtype="float16")(hidden)))


def quantised(mode: str) -> Callable[[], Any]:
    def build() -> Any:
        k = keras()
        rows = k.Input((16,))
        model = k.Model(rows, k.layers.Dense(2)(k.layers.Dense(8)(rows)))
        model.quantize(mode)
        return model

    build.__name__ = mode
    return build


def operations() -> Any:
    k = keras()
    rows = k.Input((4, 4))
    hidden = k.ops.relu(k.layers.Dense(4)(rows) * 2 + rows)[:, -1]
    return k.Model(rows, k.layers.Dense(2)(k.ops.cast(k.ops.mean(hidden, axis=1, keepdims=True), "float32")))


def adapted_low_rank() -> Any:
    k = keras()
    rows, dense = k.Input((8,)), k.layers.Dense(6)
    model = k.Model(rows, k.layers.Dense(2)(dense(rows)))
    dense.enable_lora(2)
    return model


#: Saved and loaded by Keras in every one of its formats.
EVERYWHERE = [given_words, preprocessing, attention_and_recurrence, images, shared_layers, quantised("int8")]

#: Saved and loaded as ``.keras``; a legacy ``.h5`` has no place for vocabularies, bfloat16 and float8.
AS_KERAS = [
    *EVERYWHERE,
    augmented_images,
    adapted_words,
    adapted_lookups,
    nested_lookup,
    mixed_precision,
    adapted_low_rank,
    operations,
    quantised("int4"),
    quantised("float8"),
]


def rows_for(model: Any) -> Any:
    """Return five rows for each input of a model."""
    import tensorflow as tf

    generator = np.random.default_rng(2)
    rows = []
    for tensor in model.inputs:
        shape = (5, *tensor.shape[1:])
        if tensor.dtype == "string":
            rows.append(tf.constant(np.array(TEXTS).reshape(shape)))
        else:
            rows.append(tf.constant(generator.integers(0, 9, shape).astype(tensor.dtype)))
    return rows if len(rows) > 1 else rows[0]
