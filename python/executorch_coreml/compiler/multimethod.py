"""Several methods of one program, and what their partitions share."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import coremltools as ct
import torch
from executorch.exir._serialize._named_data_store import NamedDataStore
from executorch.exir.backend.backend_details import PreprocessResult
from torch.export.exported_program import ExportedProgram

from executorch_coreml import blob
from executorch_coreml.blob import stock
from executorch_coreml.compiler import control_flow, coremltools_driver, delivery, derived_extents, stock_format
from executorch_coreml.compiler.compile_options import (
    MULTIMETHOD_WEIGHT_SHARING_STRATEGY,
    BlobFormat,
    Options,
)
from executorch_coreml.compiler.conversion import ConvertedModel, convert
from executorch_coreml.compiler.lowering import check_description, describe, finish, lower_partition
from executorch_coreml.compiler.outputs import make_outputs_distinct
from executorch_coreml.compiler.progress import stage
from executorch_coreml.compiler.states import mutated_buffers

logger = logging.getLogger("executorch.backends.apple.coreml.compiler.coreml_preprocess")

Programs = Mapping[str, Sequence[ExportedProgram]]
Results = dict[str, list[PreprocessResult]]


def lower_methods(programs: Programs, options: Mapping[str, Sequence[Options]]) -> Results:
    """Lowers every partition of every method; see MULTIMETHOD_WEIGHT_SHARING_STRATEGY for what is shared."""
    methods = [method for method in programs if programs[method]]
    strategy = options[methods[0]][0].weight_sharing if methods else None
    if len(programs) > 1 and strategy == MULTIMETHOD_WEIGHT_SHARING_STRATEGY.POSITIONAL:
        _warn_of_raised_target(options)
        return _lower_positionally(programs, options)
    separate = strategy == MULTIMETHOD_WEIGHT_SHARING_STRATEGY.DISABLED
    of_method = [(method, index) for method in programs for index in range(len(programs[method]))]
    lowered = [lower_partition(programs[method][index], options[method][index], method=method) for method, index in of_method]
    _log_shared([one for one in lowered if isinstance(one, delivery.Packed)], separate=separate)
    results: Results = {method: [] for method in programs}
    for (method, _), result in zip(of_method, finish(lowered, separate=separate), strict=True):
        results[method].append(result)
    return results


def describe_sharing(packed: Sequence[delivery.Packed]) -> str:
    """What the partitions share, in one line. Weights are shared as whole files, when they are equal to the last byte."""
    sizes: dict[str, int] = {}
    users: dict[str, list[str]] = {}
    for one in packed:
        for key, file in one.weights.files.items():
            sizes[key] = file.size
            users.setdefault(key, []).extend(one.methods)
    shared = {key: methods for key, methods in users.items() if len(methods) > 1}
    if not shared:
        return f"Weight sharing: none of {len(users)} large weight files is equal to another, so nothing is shared."
    saved = sum(sizes[key] * (len(methods) - 1) for key, methods in shared.items())
    by = sorted({method for methods in shared.values() for method in methods})
    return f"Weight sharing: {len(shared)} of {len(users)} weight files serve several partitions of {', '.join(by)}, which saves {saved / 1e6:.1f} MB."


def _log_shared(packed: Sequence[delivery.Packed], *, separate: bool) -> None:
    if len(packed) < 2:
        return
    logger.info("%s", "Weight sharing: disabled, every partition has its own weights." if separate else describe_sharing(packed))


def _warn_of_raised_target(options: Mapping[str, Sequence[Options]]) -> None:
    below = sorted(m for m, given in options.items() if any(not option.targets(ct.target.iOS18) for option in given))
    if below:
        logger.warning(
            "POSITIONAL weight sharing makes multi-function models, which run from iOS 18 on: the methods %s, lowered for less, need it too. "
            "Without a strategy equal weight files are shared at any deployment target.",
            ", ".join(below),
        )


def _check_positions(programs: Programs) -> int:
    first, *others = programs
    count = len(programs[first])
    for method in others:
        if len(programs[method]) != count:
            raise ValueError(
                f"Method '{method}' has {len(programs[method])} partitions, but '{first}' has {count}. POSITIONAL weight sharing "
                "strategy requires all methods to have the same number of partitions. Use "
                "MULTIMETHOD_WEIGHT_SHARING_STRATEGY.DISABLED if methods should be processed independently, or no strategy: equal "
                "weight files are then shared all the same."
            )
    return count


def _lower_positionally(programs: Programs, options: Mapping[str, Sequence[Options]]) -> Results:
    positions: list[dict[str, PreprocessResult] | delivery.Packed] = []
    for position in range(_check_positions(programs)):
        with tempfile.TemporaryDirectory(prefix="coreml_delegate_") as folder:
            positions.append(
                _lower_position(
                    {method: programs[method][position] for method in programs},
                    {method: options[method][position] for method in programs},
                    Path(folder),
                )
            )
    delivered = iter(delivery.deliver([one for one in positions if isinstance(one, delivery.Packed)]))
    results: Results = {method: [] for method in programs}
    for one in positions:
        for method, result in (next(delivered) if isinstance(one, delivery.Packed) else one).items():
            results[method].append(result)
    return results


def _lower_position(
    programs: Mapping[str, ExportedProgram], options: Mapping[str, Options], folder: Path
) -> dict[str, PreprocessResult] | delivery.Packed:
    """One multi-function model out of one partition of every method, in the stock format to the end; each method refers to it by a key of
    the named data."""
    if options[next(iter(programs))].blob_format == BlobFormat.INMEMORYFS:
        _refuse_states(programs)
    check_shared_states({method: mutated_buffers(program) for method, program in programs.items()})
    functions, converted_methods = [], {}
    handles: dict[str, dict[str, tuple[int, ...]] | None] = {}
    state_files: list[blob.File] = []
    for index, (method, program) in enumerate(programs.items()):
        with stage(f"converting {method} ({len(program.graph.nodes)} nodes)"), derived_extents.ranged(program):
            control_flow.prepare(program.graph_module, options[method].guarded)
            converted = convert(program, options[method], folder=folder, name=f"method_{index}")
        check_description(converted.spec)
        function, files = describe(program, converted, options[method], function=method, method=method)
        functions.append(function)
        # Methods with states have the same, with the same values.
        state_files = state_files or files
        converted_methods[method] = converted
        # Of the function: combining them leaves the names as they are.
        handles[method] = delivery.debug_handle_map(converted)
    first = next(iter(programs))
    with stage(f"combining {len(converted_methods)} methods"):
        combined = _combine(converted_methods, first, folder)
    if options[first].blob_format == BlobFormat.INMEMORYFS:
        return _stock_references(combined, functions, options[first], folder, handles)
    weights = delivery.Weights()
    content = delivery.make_blob(combined, functions=functions, state_files=state_files, options=options[first], weights=weights)
    return delivery.Packed(content, weights, options[first], tuple(programs), handles, by_reference=True)


def _refuse_states(programs: Mapping[str, ExportedProgram]) -> None:
    for method, program in programs.items():
        if mutated_buffers(program):
            raise ValueError(
                f"Method '{method}' has mutable buffers, and in the stock format (blob_format inmemoryfs) the functions of one Core ML model do "
                "not share states between methods. Use no MULTIMETHOD_WEIGHT_SHARING_STRATEGY, so that each method keeps its own state, or "
                "take_over_mutable_buffer=False."
            )


def check_shared_states(buffers: Mapping[str, Mapping[str, torch.Tensor]]) -> None:
    """Raises ValueError unless the methods that have mutable buffers have the same ones: they share one state.

    Args:
        buffers: Method -> name and initial value of each buffer that it changes.
    """
    with_states = [method for method, values in buffers.items() if values]
    for method in with_states[1:]:
        first = with_states[0]
        ours, others = buffers[method], buffers[first]
        why = "POSITIONAL weight sharing makes the methods functions of one model that share its states"
        way_on = "Use no MULTIMETHOD_WEIGHT_SHARING_STRATEGY, so that each method keeps its own state, or take_over_mutable_buffer=False."
        if only := sorted(ours.keys() ^ others.keys()):
            holder = method if only[0] in ours else first
            raise ValueError(
                f"Only the method '{holder}' changes the buffer '{only[0]}': {why}, so '{first}' and '{method}' must change the same. {way_on}"
            )
        for name, value in ours.items():
            if value.shape != others[name].shape:
                raise ValueError(
                    f"The buffer '{name}' has the shape {tuple(others[name].shape)} in '{first}' and {tuple(value.shape)} in '{method}': {why}. {way_on}"
                )
            if not torch.equal(value, others[name].to(value.dtype)):
                raise ValueError(f"The buffer '{name}' starts with other values in '{first}' than in '{method}': {why}. {way_on}")


def _combine(methods: Mapping[str, ConvertedModel], default: str, folder: Path) -> ConvertedModel:
    """A package with one function per method, whose equal constants are stored once."""
    models = {name: (converted.spec, converted.weights) for name, converted in methods.items()}
    with coremltools_driver.exclusive():
        combined = coremltools_driver.combine(models, default, folder / "combined.mlpackage")
    make_outputs_distinct(combined.spec)
    return ConvertedModel(spec=combined.spec, package=combined.package, debug_map=None)


def _stock_references(
    combined: ConvertedModel,
    functions: Sequence[blob.Function],
    options: Options,
    folder: Path,
    handles: Mapping[str, dict[str, tuple[int, ...]] | None],
) -> dict[str, PreprocessResult]:
    """The stock exporter's form: the flattened directory as named data, and references to it as processed bytes."""
    root, identifier = stock_format.write_directory(combined, options.model_type, folder)
    methods = {f.name: stock.MethodMetadata([t.name for t in f.inputs], [t.name for t in f.outputs]) for f in functions}
    stock_format.write_metadata(stock.MultifunctionModelMetadata(identifier, methods), root)
    key = f"coreml_{identifier}"
    store = NamedDataStore()
    store.add_named_data(key, stock_format.flatten(root))
    return {
        function.name: PreprocessResult(
            processed_bytes=stock.reference_to_bytes(key, function.name),
            debug_handle_map=handles[function.name],
            data_store_output=store.get_named_data_store_output(),
        )
        for function in functions
    }
