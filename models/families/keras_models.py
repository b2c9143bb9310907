"""Networks in Keras on PyTorch, exported by Keras itself."""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import Input, Sequential, layers  # noqa: E402


def mlp():
    return Sequential(
        [
            Input((16,)), layers.Dense(16, activation="gelu"), layers.BatchNormalization(),
            layers.Dropout(0.1), layers.Dense(8),
        ]
    )  # fmt: skip


def cnn():
    return Sequential(
        [
            Input((16, 3)),
            layers.Conv1D(8, 3, padding="causal", dilation_rate=2, activation="relu"),
            layers.MaxPooling1D(2), layers.SeparableConv1D(8, 3, padding="same"),
            layers.GlobalMaxPooling1D(), layers.Dense(8),
        ]
    )  # fmt: skip


def image():
    return Sequential(
        [
            Input((12, 12, 1)), layers.Conv2D(4, 3, strides=2, padding="same"),
            layers.PReLU(shared_axes=[1, 2]), layers.UpSampling2D(2), layers.DepthwiseConv2D(3),
            layers.Flatten(), layers.Dense(5, activation="softmax"),
        ]
    )  # fmt: skip


def tokens():
    return Sequential(
        [
            Input((16,), dtype="int32"), layers.Embedding(32, 8),
            layers.Conv1D(8, 3, activation="swish"), layers.GlobalAveragePooling1D(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )  # fmt: skip


CASES = {"mlp_keras": mlp, "cnn_keras": cnn, "image_keras": image, "tokens_keras": tokens}


def export(build, path):
    """Keras wants a network to have been called before it is exported."""
    keras.utils.set_random_seed(7)
    model = build()
    first = model.inputs[0]
    model(np.zeros((1, *first.shape[1:]), first.dtype))
    model.export(str(path), format="onnx", verbose=False)
