"""Recurrent layers of networks, against PyTorch."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest
import torch
from network_testing import RNN, TOLERANCE, network, normal, run, t, w

SIZE, OUT = 5, 3


def gate(rows: int, columns: int | None = None) -> np.ndarray:
    return normal(rows) * np.float32(0.5) if columns is None else normal(rows, columns) * np.float32(0.5)


SIGMOID, TANH = {"sigmoid": {}}, {"tanh": {}}


def lstm_weights() -> tuple[dict[str, Any], torch.nn.LSTM]:
    """The same in the format's words and in torch's, whose gates are i, f, g, o."""
    names = ("inputGate", "forgetGate", "blockInput", "outputGate")
    matrices = [(gate(OUT, SIZE), gate(OUT, OUT), gate(OUT)) for _ in names]
    fields = {}
    for name, (weight, recursion, bias) in zip(names, matrices):
        fields |= {f"{name}WeightMatrix": w(weight), f"{name}RecursionMatrix": w(recursion), f"{name}BiasVector": w(bias)}
    theirs = torch.nn.LSTM(SIZE, OUT)
    with torch.no_grad():
        for parameter, place in ((theirs.weight_ih_l0, 0), (theirs.weight_hh_l0, 1), (theirs.bias_ih_l0, 2)):
            parameter.copy_(t(np.concatenate([matrix[place] for matrix in matrices])))
        theirs.bias_hh_l0.zero_()
    return fields, theirs


@pytest.mark.parametrize("is_reversed", [False, True])
@pytest.mark.parametrize("is_sequence", [False, True])
def test_lstm(is_sequence: bool, is_reversed: bool, tmp_path: pathlib.Path) -> None:
    fields, theirs = lstm_weights()
    h, c = normal(1, 3, OUT), normal(1, 3, OUT)
    message = network(
        [("uniDirectionalLSTM", {"inputVectorSize": SIZE, "outputVectorSize": OUT, "activations": [SIGMOID, TANH, TANH], "weightParams": fields,
          "reverseInput": is_reversed, "params": {"hasBiasVectors": True, "sequenceOutput": is_sequence}}, ["x", "h", "c"], ["y", "h_out", "c_out"])],
        {"x": RNN.shape, "h": (1, 3, OUT, 1, 1), "c": (1, 3, OUT, 1, 1)},
        ["y", "h_out", "c_out"],
    )  # fmt: skip
    found = run(message, tmp_path, {"x": RNN, "h": h[..., None, None], "c": c[..., None, None]})
    with torch.no_grad():
        y, (h, c) = theirs(t(RNN[::-1, ..., 0, 0] if is_reversed else RNN[..., 0, 0]), (t(h), t(c)))
    y = y.flip(0) if is_reversed else y
    np.testing.assert_allclose(found["y"][..., 0, 0], y if is_sequence else h, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(found["h_out"][..., 0, 0], h, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(found["c_out"][..., 0, 0], c, rtol=0, atol=TOLERANCE)


def test_bidirectional_lstm(tmp_path: pathlib.Path) -> None:
    (forward, f), (backward, b) = lstm_weights(), lstm_weights()
    fields = {
        "inputVectorSize": SIZE, "outputVectorSize": OUT, "activationsForwardLSTM": [SIGMOID, TANH, TANH],
        "activationsBackwardLSTM": [SIGMOID, TANH, TANH], "weightParams": [forward, backward],
        "params": {"hasBiasVectors": True, "sequenceOutput": True},
    }  # fmt: skip
    message = network([("biDirectionalLSTM", fields, ["x"], ["y"])], {"x": RNN.shape}, ["y"])
    found = run(message, tmp_path, {"x": RNN})["y"][..., 0, 0]
    with torch.no_grad():
        expected = torch.cat([f(t(RNN[..., 0, 0]))[0], b(t(RNN[::-1, ..., 0, 0]))[0].flip(0)], 2)
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


def test_lstm_with_everything(tmp_path: pathlib.Path) -> None:
    """Peepholes, coupled gates, a forget bias and clipped cells, step by step."""
    fields, _ = lstm_weights()
    peepholes = {name: gate(OUT) for name in ("inputGate", "forgetGate", "outputGate")}
    fields |= {f"{name}PeepholeVector": w(values) for name, values in peepholes.items()}
    matrix = {name: np.float32(value["floatValue"]) for name, value in fields.items()}
    for coupled in (False, True):
        options = {"hasBiasVectors": True, "sequenceOutput": True, "forgetBias": True, "hasPeepholeVectors": True, "cellClipThreshold": 0.4,
                   "coupledInputAndForgetGate": coupled}  # fmt: skip
        layer = {
            "inputVectorSize": SIZE,
            "outputVectorSize": OUT,
            "activations": [SIGMOID, TANH, TANH],
            "weightParams": fields,
            "params": options,
        }
        message = network([("uniDirectionalLSTM", layer, ["x"], ["y"])], {"x": RNN.shape}, ["y"])
        found = run(message, tmp_path, {"x": RNN})["y"][..., 0, 0]
        y, c = np.zeros((3, OUT)), np.zeros((3, OUT))

        def sum_of(name: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
            return (
                x @ matrix[f"{name}WeightMatrix"].reshape(OUT, SIZE).T
                + y @ matrix[f"{name}RecursionMatrix"].reshape(OUT, OUT).T
                + matrix[f"{name}BiasVector"]
            )

        def sigmoid(z: np.ndarray) -> np.ndarray:
            return 1 / (1 + np.exp(-z))

        for step, x in enumerate(RNN[..., 0, 0]):
            i = sigmoid(sum_of("inputGate", x, y) + peepholes["inputGate"] * c)
            f = 1 - i if coupled else sigmoid(sum_of("forgetGate", x, y) + 1 + peepholes["forgetGate"] * c)
            c = np.clip(f * c + i * np.tanh(sum_of("blockInput", x, y)), -0.4, 0.4)
            o = sigmoid(sum_of("outputGate", x, y) + peepholes["outputGate"] * c)
            y = o * np.tanh(c)
            np.testing.assert_allclose(found[step], y, rtol=0, atol=TOLERANCE)


def test_gru_and_simple_recurrence(tmp_path: pathlib.Path) -> None:
    names = ("updateGate", "resetGate", "outputGate")
    matrices = {name: (gate(OUT, SIZE), gate(OUT, OUT), gate(OUT)) for name in names}
    fields: dict[str, Any] = {
        "inputVectorSize": SIZE,
        "outputVectorSize": OUT,
        "activations": [SIGMOID, TANH],
        "sequenceOutput": True,
        "hasBiasVectors": True,
    }
    for name, (weight, recursion, bias) in matrices.items():
        fields |= {f"{name}WeightMatrix": w(weight), f"{name}RecursionMatrix": w(recursion), f"{name}BiasVector": w(bias)}
    found = run(network([("gru", fields, ["x"], ["y", "h"])], {"x": RNN.shape}, ["y", "h"]), tmp_path, {"x": RNN})
    y = np.zeros((3, OUT))
    for step, x in enumerate(RNN[..., 0, 0]):
        z, r = (1 / (1 + np.exp(-(x @ m[0].T + y @ m[1].T + m[2]))) for m in (matrices["updateGate"], matrices["resetGate"]))
        m = matrices["outputGate"]
        y = (1 - z) * np.tanh(x @ m[0].T + (y * r) @ m[1].T + m[2]) + z * y
        np.testing.assert_allclose(found["y"][step, :, :, 0, 0], y, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(found["h"][0, :, :, 0, 0], y, rtol=0, atol=TOLERANCE)
    weight, recursion, bias = matrices["updateGate"]
    simple = {"inputVectorSize": SIZE, "outputVectorSize": OUT, "activation": TANH, "hasBiasVector": True, "weightMatrix": w(weight),
              "recursionMatrix": w(recursion), "biasVector": w(bias), "reverseInput": True}  # fmt: skip
    found = run(network([("simpleRecurrent", simple, ["x"], ["y"])], {"x": RNN.shape}, ["y"]), tmp_path, {"x": RNN})
    y = np.zeros((3, OUT))
    for x in RNN[::-1, ..., 0, 0]:
        y = np.tanh(x @ weight.T + y @ recursion.T + bias)
    np.testing.assert_allclose(found["y"][0, :, :, 0, 0], y, rtol=0, atol=TOLERANCE)
