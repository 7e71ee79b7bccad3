"""cond, while_loop, lists, states, random numbers."""

import numpy as np
import pytest
from coremltools.converters.mil.mil import types
from op_testing import IOS15, IOS17, IOS18, EngineError, _engine, check, mb, run, save_program


def f(*values):
    return np.float32(values)


# --- cond


@pytest.mark.parametrize("flag", [0, 1])
def test_cond_takes_one_branch_and_sees_outer_values(flag):
    x = f(1, -2, 3)

    def build(x, flag):
        doubled = mb.mul(x=x, y=np.float32(2))
        chosen = mb.cond(
            pred=mb.cast(x=mb.squeeze(x=flag), dtype="bool"),
            _true_fn=lambda: mb.add(x=doubled, y=np.float32(1)),
            _false_fn=lambda: mb.relu(x=x),
        )
        return mb.sub(x=chosen, y=np.float32(0.5))

    check(build, {"x": x, "flag": np.int32([flag])}, (2 * x + 1 if flag else np.maximum(x, 0)) - 0.5)


@pytest.mark.parametrize("flag", [0, 1])
def test_cond_with_several_results_and_dynamic_shapes(flag):
    x = f(1, -2, 3)

    def build(x, flag):
        return mb.cond(
            pred=mb.cast(x=mb.squeeze(x=flag), dtype="bool"),
            _true_fn=lambda: (mb.add(x=x, y=np.float32(1)), mb.abs(x=x)),
            _false_fn=lambda: (mb.relu(x=x), mb.identity(x=x)),
        )

    expected = [x + 1, np.abs(x)] if flag else [np.maximum(x, 0), x]
    check(build, {"x": x, "flag": np.int32([flag])}, expected, dynamic=["x"])


@pytest.mark.parametrize("a, b", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_nested_cond(a, b):
    x = f(4)

    def build(x, a, b):
        p, q = (mb.cast(x=mb.squeeze(x=v), dtype="bool") for v in (a, b))
        return mb.cond(
            pred=p,
            _true_fn=lambda: mb.cond(
                pred=q, _true_fn=lambda: mb.add(x=x, y=np.float32(1)), _false_fn=lambda: mb.add(x=x, y=np.float32(2))
            ),
            _false_fn=lambda: mb.add(x=x, y=np.float32(3)),
        )

    check(build, {"x": x, "a": np.int32([a]), "b": np.int32([b])}, x + (3 if not a else 1 if b else 2))


# --- while_loop


@pytest.mark.parametrize("rounds", [0, 1, 5])
def test_while_loop_counts_from_zero_rounds_on(rounds):
    x = f(1, 2)

    def build(x, n):
        limit = mb.squeeze(x=n)
        _, total = mb.while_loop(
            _cond=lambda i, total: mb.less(x=i, y=limit),
            _body=lambda i, total: (mb.add(x=i, y=np.int32(1)), mb.mul(x=total, y=np.float32(3))),
            loop_vars=(mb.sub(x=limit, y=limit), mb.identity(x=x)),
        )
        return total

    check(build, {"x": x, "n": np.int32([rounds])}, x * 3.0**rounds)


def test_while_loop_condition_on_floats_and_outer_values():
    x, step = f(1), f(0.75)

    def build(x, step):
        (value,) = (
            mb.while_loop(
                _cond=lambda v: mb.less(x=mb.squeeze(x=v), y=np.float32(10)),
                _body=lambda v: mb.add(x=v, y=step),
                loop_vars=(x,),
            ),
        )
        return mb.identity(x=value[0] if isinstance(value, (list, tuple)) else value)

    check(build, {"x": x, "step": step}, f(10))


WEIGHT = (np.arange(64, dtype=np.float32).reshape(8, 8) % 7 - 3) / 8


@pytest.mark.parametrize(
    "body, reference",
    [
        (lambda x, h: mb.add(x=x, y=mb.matmul(x=h, y=WEIGHT)), lambda x, h: x + h @ WEIGHT),
        (lambda x, h: mb.add(x=mb.matmul(x=h, y=WEIGHT), y=h), lambda x, h: h @ WEIGHT + h),
        (lambda x, h: mb.relu(x=mb.add(x=mb.linear(x=h, weight=WEIGHT), y=x)), lambda x, h: np.maximum(h @ WEIGHT.T + x, 0)),
    ],
    ids=["x+hW", "hW+h", "relu(linear+x)"],
)
@pytest.mark.parametrize("dynamic", [False, True])
def test_while_loop_whose_state_is_a_sum_with_a_product(rng, body, reference, dynamic):
    """OpenVINO adds such products in place: neither the variable nor the outer value may be overwritten."""
    x, h = (rng.normal(size=(4, 8)).astype(np.float32) for _ in range(2))

    def build(x, h):
        _, last = mb.while_loop(
            _cond=lambda i, h: mb.less(x=i, y=np.int32(3)),
            _body=lambda i, h: (mb.add(x=i, y=np.int32(1)), body(x, h)),
            loop_vars=(mb.const(val=np.int32(0)), h),
        )
        return mb.add(x=last, y=x)

    expected = h.astype(np.float64)
    for _ in range(3):
        expected = reference(x.astype(np.float64), expected)
    check(build, {"x": x, "h": h}, expected + x, dynamic=["x", "h"] if dynamic else ())


def test_while_loop_that_grows_a_tensor():
    x = f(1, 2)

    def build(x, n):
        limit = mb.squeeze(x=n)
        zero = mb.sub(x=limit, y=limit)
        _, rows = mb.while_loop(
            _cond=lambda i, rows: mb.less(x=i, y=limit),
            _body=lambda i, rows: (mb.add(x=i, y=np.int32(1)), mb.concat(values=[rows, x], axis=0)),
            loop_vars=(zero, mb.identity(x=x)),
        )
        return rows

    check(build, {"x": x, "n": np.int32([3])}, np.tile(x, 4))


def test_cond_inside_while_loop():
    """Collatz: the number of steps to 1."""
    start = 27
    steps, value = 0, start
    while value != 1:
        value = 3 * value + 1 if value % 2 else value // 2
        steps += 1

    def build(n):
        first = mb.squeeze(x=n)

        def body(value, count):
            is_odd = mb.equal(x=mb.mod(x=value, y=np.int32(2)), y=np.int32(1))
            next_value = mb.cond(
                pred=is_odd,
                _true_fn=lambda: mb.add(x=mb.mul(x=value, y=np.int32(3)), y=np.int32(1)),
                _false_fn=lambda: mb.floor_div(x=value, y=np.int32(2)),
            )
            return next_value, mb.add(x=count, y=np.int32(1))

        _, count = mb.while_loop(
            _cond=lambda value, count: mb.not_equal(x=value, y=np.int32(1)),
            _body=body,
            loop_vars=(first, mb.sub(x=first, y=first)),
        )
        return mb.expand_dims(x=count, axes=[0])

    check(build, {"n": np.int32([start])}, np.int32([steps]))


# --- Lists


def test_list_write_read_gather_scatter_length():
    x = f(1, 2, 3)

    def build(x):
        ls = mb.make_list(init_length=2, elem_shape=(3,), dynamic_length=True)
        ls = mb.list_write(ls=ls, index=0, value=x)
        ls = mb.list_write(ls=ls, index=3, value=mb.mul(x=x, y=np.float32(2)))
        ls = mb.list_scatter(ls=ls, indices=[1, 2], value=mb.stack(values=[mb.add(x=x, y=x), mb.relu(x=x)], axis=0))
        return [
            mb.list_read(ls=ls, index=3),
            mb.list_gather(ls=ls, indices=[0, 1, 2]),
            mb.expand_dims(x=mb.list_length(ls=ls), axes=[0]),
        ]

    check(build, {"x": x}, [2 * x, np.stack([x, 2 * x, x]), np.int32([4])])


def test_list_written_in_a_loop():
    x = np.arange(12, dtype=np.float32).reshape(4, 3)

    def build(x, n):
        limit = mb.squeeze(x=n)
        ls = mb.make_list(init_length=1, elem_shape=(3,), dynamic_length=True)

        def body(i, ls):
            row = mb.squeeze(x=mb.gather(x=x, indices=mb.expand_dims(x=i, axes=[0]), axis=0), axes=[0])
            return mb.add(x=i, y=np.int32(1)), mb.list_write(ls=ls, index=i, value=mb.mul(x=row, y=np.float32(10)))

        _, ls = mb.while_loop(_cond=lambda i, ls: mb.less(x=i, y=limit), _body=body, loop_vars=(mb.sub(x=limit, y=limit), ls))
        return mb.list_gather(ls=ls, indices=mb.range_1d(start=np.int32(0), end=limit, step=np.int32(1)))

    check(build, {"x": x, "n": np.int32([4])}, 10 * x)


# --- States


def stateful(folder, opset=IOS18, dtype=types.fp16):
    """cache[index] = x; returns the sum of the cache."""
    import coremltools as ct

    @mb.program(
        input_specs=[
            mb.TensorSpec((1, 4), types.fp16),
            mb.TensorSpec((1,), types.int32),
            mb.StateTensorSpec((3, 4), types.fp16),
        ],
        opset_version=opset,
    )
    def program(x, index, cache):
        before = mb.read_state(input=cache)
        end = mb.add(x=index, y=np.int32(1))
        begins = mb.concat(values=[index, np.int32([0])], axis=0)
        ends = mb.concat(values=[end, np.int32([4])], axis=0)
        after = mb.slice_update(x=before, update=x, begin=begins, end=ends, end_mask=[False, True])
        now = mb.coreml_update_state(state=cache, value=after)
        return mb.reduce_sum(x=now, axes=[0])

    model = ct.convert(program, minimum_deployment_target=opset, pass_pipeline=ct.PassPipeline.EMPTY, skip_model_load=True)
    path = str(folder / "stateful.mlpackage")
    model.save(path)
    return path


@pytest.mark.parametrize("mode", ["float32", "float16"])
def test_state_is_read_written_and_kept(tmp_path, mode):
    model = _engine.load(stateful(tmp_path), numeric_mode=mode)
    names = [i["name"] for i in model.description["inputs"]]
    output = model.description["outputs"][0]["name"]
    state = model.make_state()
    other = model.make_state()
    reference = np.zeros((3, 4), np.float16)
    for index in (0, 2, 0, 1):
        x = (np.arange(4).reshape(1, 4) + 10 * index + 0.5).astype(np.float16)
        reference[index] = x
        result = model.predict(dict(zip(names, [x, np.int32([index])])), state=state)[output]
        np.testing.assert_array_equal(result, reference.sum(0))
        np.testing.assert_array_equal(state.read("cache"), reference)
    np.testing.assert_array_equal(other.read("cache"), np.zeros((3, 4)))
    copied = state.copy()
    state.reset()
    np.testing.assert_array_equal(state.read("cache"), np.zeros((3, 4)))
    np.testing.assert_array_equal(copied.read("cache"), reference)


# --- Random numbers


def draw(build, tmp_path, count=3):
    x = np.zeros(1, np.float32)
    path = save_program(lambda x: mb.add(x=build(), y=x), {"x": x}, tmp_path)
    model = _engine.load(path)
    return [next(iter(model.predict({"x": x}).values())).copy() for _ in range(count)]


def test_a_seed_gives_the_same_numbers_each_time(tmp_path):
    first, second, third = draw(lambda: mb.random_uniform(shape=[1000], low=-1.0, high=3.0, seed=5), tmp_path)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, third)
    assert first.min() >= -1 and first.max() < 3 and abs(first.mean() - 1) < 0.15
    assert len(np.unique(first)) > 990


def test_no_seed_gives_new_numbers_each_time(tmp_path):
    first, second, _ = draw(lambda: mb.random_uniform(shape=[1000]), tmp_path)
    assert (first != second).mean() > 0.9


def test_normal_and_bernoulli_moments(tmp_path):
    (normal,) = draw(lambda: mb.random_normal(shape=[50, 1000], mean=2.0, stddev=3.0, seed=7), tmp_path, 1)
    assert abs(normal.mean() - 2) < 0.05 and abs(normal.std() - 3) < 0.05
    folder = tmp_path / "b"
    folder.mkdir()
    (coin,) = draw(lambda: mb.random_bernoulli(shape=[50, 1000], prob=0.3, seed=7), folder, 1)
    assert set(np.unique(coin)) == {0, 1} and abs(coin.mean() - 0.3) < 0.01


@pytest.mark.parametrize("mode", ["logits", "probs"])
def test_categorical_follows_the_distribution(mode):
    p = f(0.1, 0.2, 0.7)
    x = np.stack([p, p[::-1]])
    x = np.log(x) + 5 if mode == "logits" else x
    (samples,) = run(lambda x: mb.random_categorical(x=x, mode=mode, size=20000, seed=3), {"x": x.astype(np.float32)})
    frequencies = np.stack([np.bincount(row.astype(int), minlength=3) / 20000 for row in samples])
    np.testing.assert_allclose(frequencies, np.stack([p, p[::-1]]), atol=0.02)


# --- Refusals


def test_unknown_operation_names_itself_its_output_and_the_opset(tmp_path):
    import coremltools as ct
    from coremltools import proto

    path = save_program(lambda x: mb.relu(x=x, name="the_output"), {"x": f(1)}, tmp_path, opset=IOS17)
    spec_path = next((tmp_path / "program.mlpackage").rglob("model.mlmodel"))
    model = proto.Model_pb2.Model()
    model.ParseFromString(spec_path.read_bytes())
    block = model.mlProgram.functions["main"].block_specializations["CoreML7"]
    (relu,) = [op for op in block.operations if op.type == "relu"]
    relu.type = "frobnicate"
    spec_path.write_bytes(model.SerializeToString())
    with pytest.raises(EngineError) as error:
        _engine.load(path)
    assert error.value.code == "unsupported"
    for part in ("frobnicate", "the_output", "CoreML7"):
        assert part in str(error.value)
    assert ct is not None and IOS15 is not None
