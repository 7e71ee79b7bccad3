"""Compression of weights after conversion, without calibration: what the three `op_..._config` compile specs ask for.

    op_linear_quantizer_config   coremltools.optimize.coreml.OpLinearQuantizerConfig
    op_palettizer_config         coremltools.optimize.coreml.OpPalettizerConfig
    op_pruner_config             OpMagnitudePrunerConfig, or OpThresholdPrunerConfig when it has "threshold"

Each is the fields of that class as a dictionary. Pruning may be combined with one of the others (iOS 18): what is left of the weights is then
quantized or palettized.

What is compressed are weights: constants in the places of `_WEIGHTS`. Without this choice coremltools takes every constant that is large
enough, biases and folded values among them, and finds rows and columns for them where there are none: an addend of shape (1, 128, 384) got
one scale for 32 x 384 values "per block of 32".
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import attrs
import coremltools as ct
import coremltools.optimize.coreml as cto
from coremltools.converters.mil import mil
from coremltools.converters.mil.mil import Block, Operation
from coremltools.optimize.coreml import _quantization_passes

from executorch_coreml.compiler import progress
from executorch_coreml.compiler.coremltools_driver import Model, compress

PrunerConfig: TypeAlias = cto.OpMagnitudePrunerConfig | cto.OpThresholdPrunerConfig


def parse(name: str, kind: Any, fields: dict[str, Any]) -> Any:
    """A coremltools configuration from its fields. name: the compile spec's, for messages.

    Raises ValueError for a field that does not exist, or a value that it cannot have.
    """
    known = [field.name for field in attrs.fields(kind) if field.init and field.name != "lut_function"]
    for field in fields:
        if field not in known:
            near = difflib.get_close_matches(field, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known)}"
            raise ValueError(f"{name} has no field {field!r}; {hint}")
    if str(fields.get("mode", "")).lower() == "custom":
        raise ValueError(
            f"{name}: mode 'custom' needs a function, which a compile spec cannot carry; use 'kmeans', 'uniform' or 'unique'"
        )
    try:
        return kind._from_dict(fields)
    except Exception as error:  # cattrs groups what went wrong, field by field.
        causes = "; ".join(str(cause) for cause in getattr(error, "exceptions", [error]))
        raise ValueError(f"{name} {fields} is not a {kind.__name__}: {causes}") from error


def parse_pruner(name: str, fields: dict[str, Any]) -> PrunerConfig:
    kind = cto.OpThresholdPrunerConfig if "threshold" in fields else cto.OpMagnitudePrunerConfig
    config: PrunerConfig = parse(name, kind, fields)
    return config


def check(
    quantizer: cto.OpLinearQuantizerConfig | None,
    palettizer: cto.OpPalettizerConfig | None,
    pruner: PrunerConfig | None,
    target: ct.target | None,
) -> None:
    """Refuses compression that contradicts itself or its deployment target.

    Without a target coremltools raises it to iOS 16 by itself, for what that has.
    Raises ValueError, which names the option to change.
    """
    if quantizer is not None and palettizer is not None:
        raise ValueError("op_linear_quantizer_config and op_palettizer_config both replace the weights: leave out one of them")
    needs = []
    if quantizer is not None:
        packed = quantizer.dtype.get_bitwidth() < 8 or str(quantizer.granularity).lower().endswith("per_block")
        needs.append((ct.target.iOS18 if packed else ct.target.iOS16, "op_linear_quantizer_config"))
    if palettizer is not None:
        fine = palettizer.nbits == 3 or not str(palettizer.granularity).lower().endswith("per_tensor")
        newer = fine or (palettizer.cluster_dim or 1) > 1 or palettizer.enable_per_channel_scale
        needs.append((ct.target.iOS18 if newer else ct.target.iOS16, "op_palettizer_config"))
    if pruner is not None:
        needs.append((ct.target.iOS16, "op_pruner_config"))
    if len(needs) > 1:
        needs.append((ct.target.iOS18, " with ".join(name for _, name in needs)))
    for needed, name in needs:
        if needed > (target or ct.target.iOS16):
            given = f"minimum_deployment_target is {target.name}" if target else "none is set, so iOS15 is used"
            raise ValueError(
                f"The weights that {name} requests need minimum_deployment_target {needed.name}, and {given}: pass "
                f"minimum_deployment_target=ct.target.{needed.name} to CoreMLBackend.generate_compile_specs"
            )


# MIL op -> its inputs that are weights. Tables of embeddings are the `x` of a gather.
_RECURRENT = ("weight_ih", "weight_hh", "weight_ih_back", "weight_hh_back")
_WEIGHTS: dict[str, tuple[str, ...]] = {
    "conv": ("weight",),
    "conv_transpose": ("weight",),
    "linear": ("weight",),
    "matmul": ("x", "y"),
    "einsum": ("values",),
    "lstm": _RECURRENT,
    "gru": _RECURRENT,
    "rnn": _RECURRENT,
    "gather": ("x",),
}


class _WithoutBar:
    """For coremltools' passes: what they do with each constant, without the bar that they draw whether or not somebody looks at a terminal.

    Inner blocks come first, as there. coremltools' own checks of the deployment target are left out: check() has made them.
    """

    is_valid_op: Callable[[Operation], bool]
    transform_op: Callable[[Operation], None]

    def apply(self, program: mil.Program) -> None:
        for function in program.functions.values():
            self._apply_to(function)

    def _apply_to(self, block: Block) -> None:
        with block:
            chosen = []
            for op in list(block.operations):
                for inner in op.blocks:
                    self._apply_to(inner)
                if self.is_valid_op(op):
                    chosen.append(op)
            for op in progress.bar(chosen, f"Running compression pass {type(self).__name__.lstrip('_')}", "ops"):
                self.transform_op(op)


class _Pruning(_WithoutBar, _quantization_passes.prune_weights):
    pass


class _Quantization(_WithoutBar, _quantization_passes.linear_quantize_weights):
    pass


class _Palettization(_WithoutBar, _quantization_passes.palettize_weights):
    """coremltools' pass, which leaves a weight alone that it cannot palettize.

    With scales for each channel it divides the weight in place before it knows: such a weight is put back.
    """

    def transform_op(self, op: Operation) -> None:
        config = self.config._get_const_op_config(op)
        if config is None or not config.enable_per_channel_scale or op.op_type != "const":
            super().transform_op(op)
            return
        value = op.outputs[0].val
        before = value.copy()
        super().transform_op(op)
        if op.enclosing_block is not None:
            value[...] = before


def prune(model: Model, config: PrunerConfig, package: Path) -> Model:
    """Zeroes small weights and stores the others. Each of these writes a package, in the place of the model's."""
    return compress(model, lambda program: _Pruning(_of_weights(program, config, tables=True)), package)


def quantize(model: Model, config: cto.OpLinearQuantizerConfig, package: Path, *, pruned: bool) -> Model:
    """Stores weights as integers, tables of embeddings only when they are also the weight of another op."""

    def quantization(program: mil.Program) -> _Quantization:
        made = _Quantization(_of_weights(program, config, tables=False))
        made.joint_compression = pruned
        return made

    return compress(model, quantization, package)


def palettize(model: Model, config: cto.OpPalettizerConfig, package: Path, *, pruned: bool) -> Model:
    """Replaces weights by indices into look-up tables."""

    def palettization(program: mil.Program) -> _Palettization:
        made = _Palettization(_of_weights(program, config, tables=True))
        made.joint_compression = pruned
        return made

    return compress(model, palettization, package)


def _of_weights(program: mil.Program, config: Any, *, tables: bool) -> cto.OptimizationConfig:
    """`config` for every constant that is a weight, nothing for the others. tables: whether those of embeddings are weights.

    By name, since coremltools refuses a constant whose consumers are configured differently. A name that two functions share is compressed in
    both when it is a weight in one.
    """
    weights: dict[str, bool] = {}
    for block in _blocks(program):
        for op in block.operations:
            if op.op_type == "const":
                weights[op.name] = weights.get(op.name, False) or _is_weight(op.outputs[0], tables)
    return cto.OptimizationConfig(op_name_configs={name: config if is_weight else None for name, is_weight in weights.items()})


def _blocks(program: Any) -> Iterator[Any]:
    """Every block of a MIL program, those of conditions and loops included."""
    pending = list(program.functions.values())
    while pending:
        block = pending.pop()
        yield block
        pending += [inner for op in block.operations for inner in op.blocks]


def _is_weight(constant: Any, tables: bool) -> bool:
    for op in constant.child_ops:
        # What an earlier compression made of a constant stands for it.
        if op.op_type.startswith("constexpr_"):
            if _is_weight(op.outputs[0], tables):
                return True
        elif op.op_type != "gather" or tables:
            for name in _WEIGHTS.get(op.op_type, ()):
                value = op.inputs.get(name)
                if value is constant or (isinstance(value, (list, tuple)) and any(v is constant for v in value)):
                    return True
    return False
