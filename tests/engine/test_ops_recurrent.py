"""lstm, gru and rnn against step-by-step references in float64."""

import numpy as np
import pytest
from op_testing import IOS15, IOS18, _engine, check, mb, save_program


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


ACTIVATIONS = {
    "tanh": np.tanh,
    "scaled_tanh": np.tanh,
    "sigmoid": sigmoid,
    "relu": lambda x: np.maximum(x, 0),
    "hard_sigmoid": lambda x: np.clip(np.float64(np.float32(0.2)) * x + 0.5, 0, 1),
    "sigmoid_hard": lambda x: np.clip(np.float64(np.float32(0.2)) * x + 0.5, 0, 1),
    "linear": lambda x: x,
}


def weights(rng, gates, inputs, hidden):
    draw = lambda *shape: rng.uniform(-0.7, 0.7, size=shape).astype(np.float32)  # noqa: E731
    return draw(gates * hidden, inputs), draw(gates * hidden, hidden), draw(gates * hidden)


def lstm_reference(x, h, c, w, r, b, acts=("sigmoid", "tanh", "tanh"), peephole=None, clip=None):
    """Gates in MIL's order: input, forget, output, cell."""
    gate, cell, out = (ACTIVATIONS[a] for a in acts)
    p = np.zeros((3, h.shape[1])) if peephole is None else peephole.reshape(3, -1).astype(np.float64)
    h, c, outputs = h.astype(np.float64), c.astype(np.float64), []
    for step in x.astype(np.float64):
        i, f, o, z = np.split(step @ w.T + h @ r.T + b, 4, axis=-1)
        i, f, z = gate(i + p[0] * c), gate(f + p[1] * c), cell(z)
        c = f * c + i * z
        if clip is not None:
            c = np.clip(c, -clip, clip)
        h = gate(o + p[2] * c) * out(c)
        outputs.append(h)
    return np.stack(outputs), h, c


def gru_reference(x, h, w, r, b, input_bias=None, acts=("sigmoid", "tanh"), reset_after=False):
    """Gates in MIL's order: reset, output, update."""
    gate, act = (ACTIVATIONS[a] for a in acts)
    bi = np.zeros_like(b) if input_bias is None else input_bias
    hidden, h, outputs = h.shape[1], h.astype(np.float64), []
    rr, ro, rz = np.split(r.astype(np.float64), 3)
    br, bo, bz = np.split(b.astype(np.float64), 3)
    for step in x.astype(np.float64):
        xr, xo, xz = np.split(step @ w.T + bi, 3, axis=-1)
        reset, update = gate(xr + h @ rr.T + br), gate(xz + h @ rz.T + bz)
        inner = reset * (h @ ro.T + bo) if reset_after else (reset * h) @ ro.T + bo
        h = (1 - update) * act(xo + inner) + update * h
        outputs.append(h)
    assert h.shape[1] == hidden
    return np.stack(outputs), h


def visible(sequence, last, output_sequence):
    return sequence if output_sequence else last[None]


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("output_sequence", [False, True])
@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("steps, batch", [(5, 1), (4, 3), (1, 2)])
def test_lstm(rng, direction, output_sequence, dynamic, steps, batch):
    w, r, b = weights(rng, 4, 3, 4)
    x = rng.normal(size=(steps, batch, 3)).astype(np.float32)
    h, c = rng.normal(size=(batch, 4)).astype(np.float32), rng.normal(size=(batch, 4)).astype(np.float32)
    sequence, hn, cn = lstm_reference(x[::-1] if direction == "reverse" else x, h, c, w, r, b)
    check(
        lambda x, h, c: mb.lstm(
            x=x,
            initial_h=h,
            initial_c=c,
            weight_ih=w,
            weight_hh=r,
            bias=b,
            direction=direction,
            output_sequence=output_sequence,
        ),
        {"x": x, "h": h, "c": c},
        # A reverse layer's sequence is in the order of processing.
        [visible(sequence, hn, output_sequence), hn, cn],
        dynamic={"x": [0, 1], "h": [0], "c": [0]} if dynamic else (),
    )


@pytest.mark.parametrize("output_sequence", [False, True])
@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("special", [False, True])
def test_lstm_bidirectional(rng, output_sequence, dynamic, special):
    w, r, b = weights(rng, 4, 3, 4)
    wb, rb, bb = weights(rng, 4, 3, 4)
    x = rng.normal(size=(5, 2, 3)).astype(np.float32)
    h, c = rng.normal(size=(2, 8)).astype(np.float32), rng.normal(size=(2, 8)).astype(np.float32)
    extra, forward, backward = {}, {}, {}
    if special:
        p, pb = rng.normal(size=12).astype(np.float32), rng.normal(size=12).astype(np.float32)
        extra = {"peephole": p, "peephole_back": pb, "clip": np.float32(0.4)}
        forward, backward = {"peephole": p, "clip": np.float32(0.4)}, {"peephole": pb, "clip": np.float32(0.4)}
    sf, hf, cf = lstm_reference(x, h[:, :4], c[:, :4], w, r, b, **forward)
    sb, hb, cb = lstm_reference(x[::-1], h[:, 4:], c[:, 4:], wb, rb, bb, **backward)
    hn, cn = np.concatenate([hf, hb], 1), np.concatenate([cf, cb], 1)
    sequence = np.concatenate([sf, sb[::-1]], 2)
    check(
        lambda x, h, c: mb.lstm(
            x=x,
            initial_h=h,
            initial_c=c,
            weight_ih=w,
            weight_hh=r,
            bias=b,
            weight_ih_back=wb,
            weight_hh_back=rb,
            bias_back=bb,
            direction="bidirectional",
            output_sequence=output_sequence,
            **extra,
        ),
        {"x": x, "h": h, "c": c},
        [visible(sequence, hn, output_sequence), hn, cn],
        dynamic={"x": [0, 1], "h": [0], "c": [0]} if dynamic else (),
    )


@pytest.mark.parametrize(
    "acts",
    [
        ("sigmoid", "tanh", "relu"),
        ("hard_sigmoid", "scaled_tanh", "linear"),
        ("tanh", "sigmoid", "hard_sigmoid"),
        ("sigmoid", "tanh", "tanh"),
    ],
)
@pytest.mark.parametrize("peephole", [False, True])
@pytest.mark.parametrize("clip", [None, 0.2])
def test_lstm_variants(rng, acts, peephole, clip):
    w, _, b = weights(rng, 4, 3, 4)
    r = rng.uniform(-0.3, 0.3, size=(16, 4)).astype(np.float32)
    p = rng.normal(size=12).astype(np.float32) if peephole else None
    x = rng.normal(size=(6, 2, 3)).astype(np.float32)
    h, c = np.zeros((2, 4), np.float32), np.zeros((2, 4), np.float32)
    extra = {} if p is None else {"peephole": p}
    if clip is not None:
        extra["clip"] = np.float32(clip)
    sequence, hn, cn = lstm_reference(x, h, c, w, r, b, acts, p, None if clip is None else np.float32(clip))
    check(
        lambda x: mb.lstm(
            x=x,
            initial_h=h,
            initial_c=c,
            weight_ih=w,
            weight_hh=r,
            bias=b,
            output_sequence=True,
            recurrent_activation=acts[0],
            cell_activation=acts[1],
            activation=acts[2],
            **extra,
        ),
        {"x": x},
        [sequence, hn, cn],
        eps=256,
    )


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("acts", [("sigmoid", "tanh"), ("tanh", "sigmoid"), ("hard_sigmoid", "relu")])
@pytest.mark.parametrize("output_sequence", [False, True])
@pytest.mark.parametrize("dynamic", [False, True])
def test_gru(rng, direction, acts, output_sequence, dynamic):
    w, r, b = weights(rng, 3, 3, 4)
    x, h = rng.normal(size=(5, 2, 3)).astype(np.float32), rng.normal(size=(2, 4)).astype(np.float32)
    sequence, hn = gru_reference(x[::-1] if direction == "reverse" else x, h, w, r, b, acts=acts)
    check(
        lambda x, h: mb.gru(
            x=x,
            initial_h=h,
            weight_ih=w,
            weight_hh=r,
            bias=b,
            direction=direction,
            output_sequence=output_sequence,
            recurrent_activation=acts[0],
            activation=acts[1],
        ),
        {"x": x, "h": h},
        [visible(sequence, hn, output_sequence), hn],
        dynamic={"x": [0, 1], "h": [0]} if dynamic else (),
    )


@pytest.mark.parametrize("reset_after", [False, True])
@pytest.mark.parametrize("input_bias", [False, True])
@pytest.mark.parametrize("acts", [("sigmoid", "tanh"), ("sigmoid", "relu")])
def test_gru_ios18(rng, reset_after, input_bias, acts):
    w, r, b = weights(rng, 3, 3, 4)
    bi = rng.normal(size=12).astype(np.float32) if input_bias else None
    x, h = rng.normal(size=(5, 2, 3)).astype(np.float32), rng.normal(size=(2, 4)).astype(np.float32)
    sequence, hn = gru_reference(x, h, w, r, b, bi, acts, reset_after)
    extra = {} if bi is None else {"input_bias": bi}
    check(
        lambda x, h: mb.gru(
            x=x,
            initial_h=h,
            weight_ih=w,
            weight_hh=r,
            bias=b,
            output_sequence=True,
            reset_after=reset_after,
            recurrent_activation=acts[0],
            activation=acts[1],
            **extra,
        ),
        {"x": x, "h": h},
        [sequence, hn],
        opset=IOS18,
    )


def test_gru_reset_after_is_torchs(rng):
    import torch

    torch.manual_seed(0)
    gru = torch.nn.GRU(3, 4).double()
    x, h = rng.normal(size=(5, 2, 3)).astype(np.float32), rng.normal(size=(2, 4)).astype(np.float32)
    expected, last = gru(torch.from_numpy(x).double(), torch.from_numpy(h[None]).double())

    def gates(value):  # torch: reset, update, new
        reset, update, new = np.split(value.detach().numpy().astype(np.float32), 3)
        return np.concatenate([reset, new, update])

    check(
        lambda x, h: mb.gru(
            x=x,
            initial_h=h,
            weight_ih=gates(gru.weight_ih_l0),
            weight_hh=gates(gru.weight_hh_l0),
            bias=gates(gru.bias_hh_l0),
            input_bias=gates(gru.bias_ih_l0),
            reset_after=True,
            output_sequence=True,
        ),
        {"x": x, "h": h},
        [expected.detach().numpy(), last[0].detach().numpy()],
        opset=IOS18,
    )


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid", "sigmoid_hard", "scaled_tanh", "linear"])
@pytest.mark.parametrize("dynamic", [False, True])
def test_rnn(rng, direction, activation, dynamic):
    w, r, b = weights(rng, 1, 3, 4)
    x, h = rng.normal(size=(5, 2, 3)).astype(np.float32), rng.normal(size=(2, 4)).astype(np.float32)
    state, outputs = h.astype(np.float64), []
    for step in x[::-1] if direction == "reverse" else x:
        state = ACTIVATIONS[activation](step.astype(np.float64) @ w.T + state @ r.T + b)
        outputs.append(state)
    check(
        lambda x, h: mb.rnn(
            x=x,
            initial_h=h,
            weight_ih=w,
            weight_hh=r,
            bias=b,
            direction=direction,
            output_sequence=True,
            activation=activation,
        ),
        {"x": x, "h": h},
        [np.stack(outputs), state],
        dynamic={"x": [0, 1], "h": [0]} if dynamic else (),
        opset=IOS15,
    )


@pytest.mark.parametrize("acts", [("sigmoid", "tanh"), ("tanh", "sigmoid")])
@pytest.mark.parametrize("inputs, steps, batch", [(1, 3, 1), (2, 1, 2)])
def test_hidden_size_of_one(rng, acts, inputs, steps, batch):
    w, r, b = weights(rng, 3, inputs, 1)
    x, h = rng.normal(size=(steps, batch, inputs)).astype(np.float32), rng.normal(size=(batch, 1)).astype(np.float32)
    sequence, hn = gru_reference(x, h, w, r, b, acts=acts)
    check(
        lambda x, h: mb.gru(
            x=x,
            initial_h=h,
            weight_ih=w,
            weight_hh=r,
            bias=b,
            output_sequence=True,
            recurrent_activation=acts[0],
            activation=acts[1],
        ),
        {"x": x, "h": h},
        [sequence, hn],
    )


def test_defaults(rng):
    """No bias, forward, only the last state."""
    w, r, _ = weights(rng, 4, 3, 4)
    x, h, c = rng.normal(size=(3, 1, 3)).astype(np.float32), np.zeros((1, 4), np.float32), np.zeros((1, 4), np.float32)
    _, hn, cn = lstm_reference(x, h, c, w, r, np.zeros(16))
    check(lambda x: mb.lstm(x=x, initial_h=h, initial_c=c, weight_ih=w, weight_hh=r), {"x": x}, [hn[None], hn, cn])


@pytest.mark.parametrize("op", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("hidden", [130, 320])
@pytest.mark.parametrize("steps, batch", [(40, 1), (3, 21)])
@pytest.mark.parametrize("half", [False, True])
def test_large_layers(rng, op, hidden, steps, batch, half):
    """Hidden sizes that fill no vector, batches that are divided, weights that float16 holds (and is used for from 2^18 of them on)."""
    gates = {"lstm": 4, "gru": 3, "rnn": 1}[op]
    draw = lambda *shape: rng.uniform(-0.1, 0.1, size=shape).astype(np.float16 if half else np.float32).astype(np.float32)  # noqa: E731
    w, r, b = draw(gates * hidden, 24), draw(gates * hidden, hidden), draw(gates * hidden)
    x = rng.normal(size=(steps, batch, 24)).astype(np.float32)
    h, c = rng.normal(size=(batch, hidden)).astype(np.float32), rng.normal(size=(batch, hidden)).astype(np.float32)
    common = {"weight_ih": w, "weight_hh": r, "bias": b, "output_sequence": True}
    if op == "lstm":
        check(
            lambda x, h, c: mb.lstm(x=x, initial_h=h, initial_c=c, **common),
            {"x": x, "h": h, "c": c},
            list(lstm_reference(x, h, c, w, r, b)),
        )
    elif op == "gru":
        check(
            lambda x, h: mb.gru(x=x, initial_h=h, reset_after=True, **common),
            {"x": x, "h": h},
            list(gru_reference(x, h, w, r, b, reset_after=True)),
            opset=IOS18,
        )
    else:
        state, outputs = h.astype(np.float64), []
        for step in x.astype(np.float64):
            state = np.tanh(step @ w.T + state @ r.T + b)
            outputs.append(state)
        check(lambda x, h: mb.rnn(x=x, initial_h=h, **common), {"x": x, "h": h}, [np.stack(outputs), state])


@pytest.mark.parametrize("mode", ["float32", "float16"])
def test_results_are_the_same_with_two_threads_and_from_a_compiled_folder(rng, mode, tmp_path):
    hidden = 300
    draw = lambda *shape: rng.uniform(-0.1, 0.1, size=shape).astype(np.float32)  # noqa: E731
    sides = {
        f"{name}{suffix}": draw(4 * hidden, *columns)
        for suffix in ("", "_back")
        for name, columns in (("weight_ih", (16,)), ("weight_hh", (hidden,)), ("bias", ()))
    }
    x, state = rng.normal(size=(9, 2, 16)).astype(np.float32), np.zeros((2, 2 * hidden), np.float32)
    package = save_program(
        lambda x: mb.lstm(x=x, initial_h=state, initial_c=state, direction="bidirectional", output_sequence=True, **sides)[0],
        {"x": x},
        tmp_path,
        opset=IOS15,
    )
    (tmp_path / "compiled").mkdir()
    _engine.compile(package, str(tmp_path / "compiled"), numeric_mode=mode)
    models = [
        _engine.load(package, numeric_mode=mode, threads=1),
        _engine.load(package, numeric_mode=mode, threads=2),
        _engine.load_compiled(str(tmp_path / "compiled"), numeric_mode=mode, threads=1),
    ]
    results = [next(iter(model.predict({"x": x}).values())) for model in models]
    assert results[0].shape == (9, 2, 2 * hidden)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])
