"""Methods of one program that keep one state: a prefill and a decode work on one cache, whoever keeps it."""

from __future__ import annotations

from pathlib import Path

import coremltools as ct
import executorch.backends.apple.coreml.runtime as delegate
import pytest
import torch
from executorch.backends.apple.coreml.compiler import CoreMLBackend
from executorch.backends.apple.coreml.compiler.coreml_preprocess import MULTIMETHOD_WEIGHT_SHARING_STRATEGY
from executorch.backends.apple.coreml.partition import CoreMLPartitioner
from executorch.exir import ExecutorchBackendConfig, to_edge_transform_and_lower
from executorch.exir.passes import MemoryPlanningPass
from executorch.runtime import Runtime

LENGTH, WIDTH = 12, 4


class Cache(torch.nn.Module):
    """Rows are written at positions; the result is a projection of the sum of all rows there are."""

    def __init__(self, *, length: int = LENGTH, start: float = 0.5, name: str = "cache") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.name = name
        self.register_buffer(name, torch.full((length, WIDTH), start))
        self.linear = torch.nn.Linear(WIDTH, 3)

    def forward(self, rows: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        cache = getattr(self, self.name)
        cache[positions] = rows
        return self.linear(cache.sum(0))


class Stateless(Cache):
    """A method beside them that keeps nothing."""

    def forward(self, rows: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        return self.linear(rows[positions - positions].sum(0))


def inputs(values: list[float], position: int) -> tuple[torch.Tensor, torch.Tensor]:
    rows = torch.tensor(values).unsqueeze(1) * torch.arange(1.0, WIDTH + 1)
    return rows, torch.arange(position, position + len(values))


def lower(methods: dict[str, tuple[torch.nn.Module, int]], *, states: bool = True, blob_format: str | None = None) -> bytes:
    """The .pte of {method: (module, rows of a call)}."""
    options = {"blob_format": blob_format} if blob_format else {}
    specs = CoreMLBackend.generate_compile_specs(minimum_deployment_target=ct.target.iOS18, **options)
    strategy = MULTIMETHOD_WEIGHT_SHARING_STRATEGY.POSITIONAL
    specs.append(CoreMLBackend.generate_multimethod_weight_sharing_strategy_compile_spec(strategy))
    programs = {name: torch.export.export(module.eval(), inputs([1.0] * count, 0)) for name, (module, count) in methods.items()}
    partitioner = CoreMLPartitioner(compile_specs=specs, take_over_mutable_buffer=states)
    edge = to_edge_transform_and_lower(programs, partitioner=[partitioner])
    planning = MemoryPlanningPass(share_mutable_buffers=not states)
    return bytes(edge.to_executorch(ExecutorchBackendConfig(memory_planning_pass=planning)).buffer)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pte") / "cache.pte"
    path.write_bytes(lower({"prefill": (Cache(), 4), "decode": (Cache(), 1), "stateless": (Stateless(), 2)}))
    return path


def close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(actual.float(), expected.float(), rtol=2e-3, atol=2e-2)


def test_methods_of_one_program_work_on_one_state(path: Path) -> None:
    program = Runtime.get().load_program(path)
    prefill, decode = program.load_method("prefill"), program.load_method("decode")
    eager = Cache()
    calls = [(prefill, [1, 2, 3, 4], 0), (decode, [5], 4), (decode, [6], 5), (prefill, [-1, -2, -3, -4], 4), (decode, [7], 8)]
    # Twice: going back writes over what is there.
    for method, values, position in [*calls, *calls]:
        given = inputs([float(v) for v in values], position)
        close(method.execute(given)[0], eager(*given))

    # Reset through one method, seen by both: the buffer's own value, in every row that is not written.
    delegate.reset_states("decode")
    eager = Cache()
    for method, values, position in [(prefill, [1, 1, 1, 1], 2), (decode, [2], 7)]:
        given = inputs([float(v) for v in values], position)
        close(method.execute(given)[0], eager(*given))


def test_another_load_of_the_program_has_a_state_of_its_own(path: Path) -> None:
    one, two = (Runtime.get().load_program(path) for _ in range(2))
    prefill, decode = one.load_method("prefill"), two.load_method("decode")
    given = inputs([8.0, 8, 8, 8], 0)
    close(prefill.execute(given)[0], Cache()(*given))
    given = inputs([3.0], 1)
    close(decode.execute(given)[0], Cache()(*given))


def test_a_method_without_states_stands_beside_them(path: Path) -> None:
    program = Runtime.get().load_program(path)
    given = inputs([2.0, 3.0], 0)
    close(program.load_method("stateless").execute(given)[0], Stateless()(*given))


def test_a_state_outlives_the_method_that_began_it(path: Path) -> None:
    program = Runtime.get().load_program(path)
    eager = Cache()
    prefill = program.load_method("prefill")
    given = inputs([1.0, 2, 3, 4], 0)
    close(prefill.execute(given)[0], eager(*given))
    decode = program.load_method("decode")
    del prefill
    given = inputs([5.0], 4)
    close(decode.execute(given)[0], eager(*given))


def test_buffers_outside_are_shared_by_executorch(tmp_path: Path) -> None:
    """ExecuTorch's own way: the buffers stay outside Core ML, at one place in memory that is planned for all methods."""
    path = tmp_path / "outside.pte"
    path.write_bytes(lower({"prefill": (Cache(start=0.0), 4), "decode": (Cache(start=0.0), 1)}, states=False))
    program = Runtime.get().load_program(path)
    prefill, decode = program.load_method("prefill"), program.load_method("decode")
    eager = Cache(start=0.0)
    for method, values, position in [(prefill, [1, 2, 3, 4], 0), (decode, [5], 4), (decode, [6], 5), (prefill, [0, 1, 0, 1], 6)]:
        given = inputs([float(v) for v in values], position)
        close(method.execute(given)[0], eager(*given))


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (
            Cache(name="lines"),
            r"Only the method 'decode' changes the buffer 'cache': .* so 'decode' and 'prefill' must change the same",
        ),
        (Cache(length=LENGTH + 1), r"The buffer 'cache' has the shape \(12, 4\) in 'decode' and \(13, 4\) in 'prefill'"),
        (Cache(start=0.25), r"The buffer 'cache' starts with other values in 'decode' than in 'prefill'"),
    ],
)
def test_methods_with_states_that_differ_are_refused_when_they_are_lowered(other: Cache, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        lower({"decode": (Cache(), 1), "prefill": (other, 4)})


def test_the_stock_format_shares_none() -> None:
    methods: dict[str, tuple[torch.nn.Module, int]] = {"decode": (Cache(start=0.0), 1), "prefill": (Cache(start=0.0), 4)}
    with pytest.raises(ValueError, match=r"Method 'decode' has mutable buffers, and in the stock format"):
        lower(methods, blob_format="inmemoryfs")


def test_the_lowering_says_that_the_stock_runtime_would_keep_the_states_apart(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING"):
        lower({"decode": (Cache(start=0.0), 1), "prefill": (Cache(start=0.0), 4)})
    assert "its methods share states with prefill, which the stock runtime keeps apart" in caplog.text
