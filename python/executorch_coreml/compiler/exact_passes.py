"""coremltools' passes where 9.0 changes what is computed, or raises on a program that is right: each with what it overlooks mended.

A fusion is for programs that mean the fused operation, and those say its constants to the last bits that their dtype has. A pass that gains little and
is hard to mend is left out (`DROPPED`). passes.py says which replaces which.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from coremltools.converters.mil.experimental.passes.generic_pass_infrastructure import Pattern, fuse_all_blocks
from coremltools.converters.mil.mil import Block, ListVar, Operation, Program, Var, types
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil.passes.defs import (
    optimize_activation,
    optimize_conv,
    optimize_elementwise_binary,
    optimize_linear,
    optimize_repeat_ops,
    optimize_state,
    optimize_tensor_operation,
)
from coremltools.converters.mil.mil.passes.defs.cleanup import const_deduplication as deduplication
from coremltools.converters.mil.mil.passes.defs.cleanup import fuse_reduce_mean as reduce_mean
from coremltools.converters.mil.mil.passes.graph_pass import AbstractGraphPass
from coremltools.converters.mil.mil.types.symbolic import is_symbolic

# Passes that run nowhere.
DROPPED = frozenset(
    {
        # sqrt(x ** 2) is not x where x is negative.
        "mil_backend::fuse_pow2_sqrt",
        # An index outside of the classes is a row of zeros in a one_hot, and any row of the table in a gather.
        "common::fuse_onehot_matmul_to_gather",
        # Takes concat(x, x, x[-3:-2]) for a padding, and raises.
        "common::use_reflection_padding",
        # Raise where a value on the way is also a result of the program.
        "common::concat_to_pixel_shuffle",
        "common::replace_stack_reshape",
    }
)


def _is(var: Var | None, value: float) -> bool:
    """Whether a var is a constant scalar that stands for a number: it, or its neighbours in the var's dtype, as it was rounded on the way."""
    if var is None or var.val is None or np.size(var.val) != 1:
        return False
    actual = np.asarray(var.val).reshape(())
    if actual.dtype.kind != "f":
        return bool(actual == value)
    spacing = np.spacing(np.abs(actual.dtype.type(value)))
    return bool(abs(float(actual) - value) <= 2 * float(spacing))


def _has(op: Operation, value: float) -> bool:
    return _is(op.x, value) or _is(op.y, value)


def _operand(op: Operation) -> Var | None:
    """What an elementwise operation with a constant computes with; None where its result has another type, by broadcasting."""
    var = op.x if op.x.val is None else op.y
    return var if types.is_float(var.dtype) and var.sym_type == op.outputs[0].sym_type else None


def _multiplies_by(op: Operation, value: float) -> bool:
    """Whether an operation has no constant, or just this one, and its operands have its type."""
    constants = [var for var in (op.x, op.y) if var.val is not None]
    if not constants:
        return bool(op.x.sym_type == op.y.sym_type)
    return len(constants) == 1 and _is(constants[0], value) and _operand(op) is not None


def _only_child(op: Operation) -> Operation | None:
    children = op.outputs[0].child_ops
    return children[0] if len(children) == 1 else None


class divide_to_multiply(AbstractGraphPass):
    """A division by a constant becomes a multiplication where that gives the same bits: by powers of two.

    Given:  real_div(x, 49)
    Result: the same. coremltools makes mul(x, 1 / 49) of it, which is 0.99999994 for 49, whose floor is 0; and 1e-6 has four bits in float16.
    """

    def apply(self, prog: Program) -> None:
        for function in prog.functions.values():
            self._apply(function)

    def _apply(self, block: Block) -> None:
        with block:
            for op in list(block.operations):
                for inner in op.blocks:
                    self._apply(inner)
                if op.op_type == "real_div" and types.is_float(op.x.dtype) and self._has_exact_inverse(op.y):
                    inverse = np.array(1.0, dtype=op.y.val.dtype) / op.y.val
                    product = mb.mul(x=op.x, y=inverse, name=f"_inversed_{op.name}", before_op=op)
                    block.replace_uses_of_var_after_op(anchor_op=op, old_var=op.outputs[0], new_var=product)
                    block.remove_ops([op])

    @staticmethod
    def _has_exact_inverse(var: Var) -> bool:
        if var.val is None:
            return False
        mantissa, exponent = np.frexp(np.asarray(var.val, np.float64))
        # The inverses of these are normal numbers of float16.
        return bool(np.all((np.abs(mantissa) == 0.5) & (exponent <= 15) & (exponent >= -14)))


class select_optimization(optimize_elementwise_binary.select_optimization):
    """select by a constant condition that is the same everywhere goes.

    Given:  select(mask, -inf, x)
    Result: the same. coremltools makes add(x, select(mask, -inf, 0)) of it: NaN where x is NaN or plus infinity.
    """

    @staticmethod
    def try_to_transform_inf_const_selection(
        select_op: Operation, cond_val: np.ndarray, a_val: np.ndarray, b_val: np.ndarray
    ) -> Var | None:
        return None


class fuse_reduce_mean(reduce_mean):
    """A sum divided by the number of its terms is a mean.

    Given:  mul(reduce_sum(x), 0.0010009), 1,000 terms
    Result: the same. coremltools compares with a tolerance of 1e-6, and gives a mean.
    """

    @staticmethod
    def _try_to_transform(reduce_sum_op: Operation, block: Block) -> bool:
        scaled = _only_child(reduce_sum_op)
        axes = reduce_sum_op.axes.val if reduce_sum_op.axes is not None else None
        if scaled is None or axes is None or scaled.op_type not in ("mul", "real_div") or _operand(scaled) is None:
            return False
        extents = [reduce_sum_op.x.shape[axis] for axis in axes]
        if any(is_symbolic(extent) for extent in extents):
            return False
        count = float(np.prod(extents, dtype=np.int64))
        if count == 0 or not (_is(scaled.y, count) if scaled.op_type == "real_div" else _has(scaled, 1 / count)):
            return False
        return bool(reduce_mean._try_to_transform(reduce_sum_op, block))


class fuse_matmul_weight_bias(optimize_linear.fuse_matmul_weight_bias):
    """A product with a weight, plus or minus a bias, is a linear.

    Given:  sub(bias, matmul(x, weight)), and add(matmul(x, weight), bias) with a bias of more dimensions than the product
    Result: the same. coremltools subtracts the bias, and loses the dimensions.
    """

    def _try_to_transform(self, matmul_op: Operation, add_op: Operation, block: Block) -> bool:
        if matmul_op.x.val is not None or _operand(add_op) is None or (add_op.op_type == "sub" and add_op.x.val is not None):
            return False
        return bool(super()._try_to_transform(matmul_op, add_op, block))


class fuse_linear_bias(optimize_linear.fuse_linear_bias):
    """A linear plus or minus a constant is a linear, where the constant leaves the type. coremltools loses the constant's dimensions."""

    @staticmethod
    def _try_to_transform(linear_op: Operation, add_or_sub_op: Operation, block: Block) -> bool:
        if _operand(add_or_sub_op) is None:
            return False
        return bool(optimize_linear.fuse_linear_bias._try_to_transform(linear_op, add_or_sub_op, block))


class fuse_conv_scale(optimize_conv.fuse_conv_scale):
    """A convolution times or by a constant is a convolution.

    Given:  real_div(2, conv(x))
    Result: the same. coremltools takes it for a division by 2.
    """

    @staticmethod
    def _try_to_transform(conv_op: Operation, scale_op: Operation) -> bool:
        if _operand(scale_op) is None or (scale_op.op_type == "real_div" and scale_op.y.val is None):
            return False
        return bool(optimize_conv.fuse_conv_scale._try_to_transform(conv_op, scale_op))


class fuse_gelu_exact(optimize_activation.fuse_gelu_exact):
    """0.5 * x * (1 + erf(x / sqrt(2))) is a gelu, where the constants are these. coremltools takes others, up to 1e-3 away."""

    @staticmethod
    def _try_to_transform(op: Operation, block: Block) -> bool:
        erf = _only_child(op)
        root = _operand(op)
        if root is None or erf is None or erf.op_type != "erf" or not (_has(op, 2**-0.5) or _is(op.y, 2**0.5)):
            return False
        plus_one = _only_child(erf)
        if plus_one is None or plus_one.op_type != "add" or not _has(plus_one, 1) or _operand(plus_one) is None:
            return False
        product = _only_child(plus_one)
        if product is None or product.op_type != "mul":
            return False
        around = [product, _only_child(product), product.x.op, product.y.op]
        for mul in around:
            if mul is not None and mul.op_type == "mul" and not _multiplies_by(mul, 0.5):
                return False
        return bool(optimize_activation.fuse_gelu_exact._try_to_transform(op, block))


class fuse_gelu_tanh_approximation(optimize_activation.fuse_gelu_tanh_approximation):
    """0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x ** 3))) is a gelu, where the constants are these."""

    @staticmethod
    def is_var_constraint_satisifed(pattern: Pattern) -> bool:
        constants = {"mul": 0.5, "pow": 3.0, "mul_1": 0.044715, "mul_2": (2 / np.pi) ** 0.5, "add_1": 1.0}
        for name, value in constants.items():
            op = getattr(pattern, name)
            if not _has(op, value) or _operand(op) is None:
                return False
        return bool(_is(pattern.pow.y, 3.0))


class fuse_leaky_relu(optimize_activation.fuse_leaky_relu):
    """max(alpha * x, x) is a leaky_relu of floats, where alpha makes nothing larger. coremltools does not ask, and raises."""

    @staticmethod
    def _try_to_transform(mul_op: Operation, block: Block) -> bool:
        return _operand(mul_op) is not None and bool(optimize_activation.fuse_leaky_relu._try_to_transform(mul_op, block))


class fuse_prelu(optimize_activation.fuse_prelu):
    """a * relu(-x) + relu(x) is a prelu, where x has as many channels as a, and -1 is -1 and not up to 1e-3 away."""

    def apply(self, prog: Program) -> None:
        for pattern in (optimize_activation.FusePreluPattern1, optimize_activation.FusePreluPattern2):

            def is_prelu(found: Pattern, pattern: Any = pattern) -> bool:
                ops = (found.neg, found.alpha_mul)
                return (
                    _has(found.neg, -1)
                    and all(_operand(op) is not None for op in ops)
                    and pattern.is_var_constraint_satisifed(found)
                )

            fuse_all_blocks(
                ops_arrangement=pattern.get_prelu_pattern(),
                var_constraints=is_prelu,
                transform_pattern=pattern.transform_pattern,
                prog=prog,
            )


class fuse_elementwise_to_batchnorm(optimize_elementwise_binary.fuse_elementwise_to_batchnorm):
    """mul and add of a number for each channel are a batch_norm, of floats, where both leave the shape. coremltools raises for others."""

    @staticmethod
    def _try_to_transform(mul_op: Operation, add_op: Operation, block: Block) -> bool:
        if _operand(mul_op) is None or _operand(add_op) is None:
            return False
        constants = [np.size((op.x if op.x.val is not None else op.y).val) for op in (mul_op, add_op)]
        if constants[0] != constants[1]:
            return False
        return bool(optimize_elementwise_binary.fuse_elementwise_to_batchnorm._try_to_transform(mul_op, add_op, block))


class merge_consecutive_paddings(optimize_repeat_ops.merge_consecutive_paddings):
    """Two paddings become one, where the first is no result of the program. coremltools raises otherwise."""

    def _match_pattern(self, block: Block, padding_op: Operation) -> bool:
        if padding_op.op_type != "pad" or padding_op.outputs[0] in block.outputs:
            return False
        child = _only_child(padding_op)
        if child is None or child.op_type != "pad" or child.enclosing_block is not block:
            return False
        if padding_op.pad.val is None or child.pad.val is None or child.x is not padding_op.outputs[0]:
            return False
        return bool(super()._match_pattern(block, padding_op))


class rank0_expand_dims_swap(optimize_elementwise_binary.rank0_expand_dims_swap):
    """An operation on numbers whose result is expanded expands its operands, where nothing else reads the result.

    coremltools builds other readers anew, and raises for those that take lists or have several results.
    """

    @staticmethod
    def _try_to_transform(op: Operation, block: Block) -> bool:
        if _only_child(op) is None:
            return False
        return bool(optimize_elementwise_binary.rank0_expand_dims_swap._try_to_transform(op, block))


class fuse_stack_split(optimize_tensor_operation.fuse_stack_split):
    """A stack that is split and squeezed again goes, where each part has a squeeze and nothing else. coremltools raises otherwise."""

    @staticmethod
    def _try_to_transform(block: Block, stack_op: Operation) -> None:
        for split in stack_op.outputs[0].child_ops:
            if split.op_type != "split":
                continue
            for part in split.outputs:
                child = part.child_ops[0] if len(part.child_ops) == 1 else None
                if child is None or child.op_type != "squeeze" or child.axes is None or child.enclosing_block is not block:
                    return
        optimize_tensor_operation.fuse_stack_split._try_to_transform(block, stack_op)


class const_deduplication(deduplication):
    """Constants with the same bytes are one. coremltools takes small ones for equal that differ by up to 1e-12, and 6e-8 in float16."""

    @staticmethod
    def find_constants(blocks: Iterable[Block]) -> dict[Var, list[Var]]:
        first: dict[tuple[object, ...], Var] = {}
        duplicates: dict[Var, list[Var]] = {}
        for block in blocks:
            for op in block.operations:
                if op.op_type != "const":
                    continue
                var = op.outputs[0]
                if isinstance(var, ListVar) or not deduplication.should_be_deduplicated(var.val):
                    continue
                content = np.ascontiguousarray(var.val)
                digest = hashlib.sha256(content.reshape(-1).view(np.uint8).data).digest()
                key = (getattr(op, "weight_key", None), var.dtype, tuple(var.shape), content.dtype.str, digest)
                if key in first:
                    duplicates[first[key]].append(var)
                else:
                    first[key] = var
                    duplicates[var] = []
        return duplicates


class canonicalize_inplace_pattern(optimize_state.canonicalize_inplace_pattern):
    """A state is written as soon as its value is there, which saves a copy, but not before what reads or writes it first."""

    def _try_match_and_transform_pattern(self, op: Operation, block: Block, block_operation_list: list[Operation]) -> None:
        operations = list(block.operations)
        place = operations.index(op)
        for update in self._try_find_child_coreml_update_state_ops(op):
            if update.enclosing_block is not block:
                return
            for between in operations[place + 1 : operations.index(update)]:
                if between.op_type == "read_state" and between.input is update.state:
                    return
                if between.op_type == "coreml_update_state" and between.state is update.state:
                    return
        super()._try_match_and_transform_pattern(op, block, block_operation_list)


class reduce_transposes(optimize_repeat_ops.reduce_transposes):
    """Transposes that take each other back go, and what reads a value both ways goes on reading it both ways.

    Given:  v = transpose(x); y = transpose(v); matmul(x, v); relu(y)
    Result: v = transpose(x); matmul(x, v); relu(x). coremltools hands v to both operands of the matmul: it replaces x by name.
    """

    def apply(self, prog: Program) -> None:
        for function in prog.functions.values():
            copies = self._copied(function)
            with function:
                self._reduce_transposes_block(function)
                for copy in copies:
                    function.replace_uses_of_var_after_op(
                        anchor_op=copy, old_var=copy.outputs[0], new_var=copy.x, no_check_var_types=True
                    )
                    function.remove_ops([copy])

    @staticmethod
    def _copied(block: Block) -> list[Operation]:
        """Gives each operation that reads a transposed value and another a name of its own for each of them."""
        copies = []
        with block:
            for op in list(block.operations):
                read = [var for var in op.get_flattened_inputs() if var.val is None]
                if len(set(read)) < 2 or op.blocks or not any(var.op is not None and var.op.op_type == "transpose" for var in read):
                    continue
                for var in dict.fromkeys(read):
                    if isinstance(var, ListVar) or types.is_state(var.sym_type):
                        continue
                    copy = mb.identity(x=var, before_op=op)
                    block.replace_uses_of_var_after_op(anchor_op=copy.op, end_op=op, old_var=var, new_var=copy)
                    copies.append(copy.op)
        return copies


PASSES = (
    canonicalize_inplace_pattern,
    const_deduplication,
    divide_to_multiply,
    fuse_conv_scale,
    fuse_elementwise_to_batchnorm,
    fuse_gelu_exact,
    fuse_gelu_tanh_approximation,
    fuse_leaky_relu,
    fuse_linear_bias,
    fuse_matmul_weight_bias,
    fuse_prelu,
    fuse_reduce_mean,
    fuse_stack_split,
    merge_consecutive_paddings,
    rank0_expand_dims_swap,
    reduce_transposes,
    select_optimization,
)
