"""What ExecuTorch refuses of a program, said before it does: calls that it has no form of, and that no form here has taken apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from executorch.exir import EdgeCompileConfig
from executorch.exir.verification.verifier import EXIRATenDialectVerifier
from torch._export.verifier import SpecViolationError
from torch._ops import OpOverload
from torch.export import ExportedProgram

from executorch_coreml.node_facts import op_name, source_line
from executorch_coreml.partition import composites, torch_decompositions
from executorch_coreml.partition.node_view import computes_no_tensor, graph_modules, tensors

# Of a result whose extents only the elements say, which neither side can make.
_OF_DATA = frozenset(("aten._unique2", "aten.unique_dim", "aten.unique_consecutive", "aten.nonzero_static"))


def _calls(program: ExportedProgram) -> Iterator[tuple[torch.fx.Node, OpOverload]]:
    """Those of which ExecuTorch asks whether they are Core ATen ops; of views it makes copies first."""
    for module in graph_modules(program):
        for node in module.graph.nodes:
            op = node.target
            if not isinstance(op, OpOverload) or op.namespace != "aten" or computes_no_tensor(node):
                continue
            if torch_decompositions.is_functional(op):
                yield node, op


def _verifier(config: EdgeCompileConfig, kept: Iterable[OpOverload]) -> Callable[[OpOverload], bool]:
    """Whether exir's own check of an edge program takes an op."""
    verifier = EXIRATenDialectVerifier(edge_compile_config=config, preserve_ops=list(kept), core_aten_ops_exception_list=[])

    def is_taken(op: OpOverload) -> bool:
        try:
            verifier.check_valid_op(op)
        except SpecViolationError:
            return False
        except RuntimeError:  # Of what is kept, which is not what it looks for.
            return True
        return True

    return is_taken


def refusal(program: ExportedProgram, kept: Iterable[OpOverload], config: EdgeCompileConfig) -> str | None:
    """Why ExecuTorch will refuse a functional ATen program of which it keeps some ops whole, in a sentence; None where nothing is known against it."""
    if not config._check_ir_validity:
        return None
    kept = frozenset(kept)
    is_taken = _verifier(config, kept)
    if not any(_is_suspect(node, op, kept, is_taken) for node, op in _each_form(program) if op not in kept):
        return None
    # What is left in the program that ExecuTorch makes of this one.
    try:
        made = program.run_decompositions(torch_decompositions.table_but(kept))
    except Exception:  # Of torch's own; ExecuTorch, which makes it next, reports it.
        return None
    found = next((node for node, op in _calls(made) if not is_taken(op)), None)
    return None if found is None else _sentence(found)


def _each_form(program: ExportedProgram) -> Iterator[tuple[torch.fx.Node, OpOverload]]:
    """One call of each form, which tells of the others."""
    seen: set[str] = set()
    for node, op in _calls(program):
        form = torch_decompositions.form_of(node)
        if form not in seen:
            seen.add(form)
            yield node, op


def _is_suspect(node: torch.fx.Node, op: OpOverload, kept: frozenset[OpOverload], is_taken: Callable[[OpOverload], bool]) -> bool:
    """Whether something may be left of a call that ExecuTorch does not take; that is cheaper to see than what is left of the program."""
    if op in torch_decompositions.functions() or composites.is_composite(op):
        leaves = torch_decompositions.leaves_of(node, kept)
        return not all(is_taken(leaf) or not torch_decompositions.is_functional(leaf) for leaf in leaves)
    return not is_taken(op)


def _sentence(node: torch.fx.Node) -> str:
    op, source = op_name(node.target), source_line(node)
    where = f" (at {source})" if source else ""
    if any(tensor.is_complex() for call in (node, *node.all_input_nodes) for tensor in tensors(call.meta.get("val"))):
        why = (
            "it reads or makes complex numbers, and only a program that neither takes nor returns such is made one of real numbers"
        )
    elif op.rpartition(".")[0] in _OF_DATA:
        why = "how many elements its result has depends on the data"
    else:
        why = "it is no Core ATen op, and nothing takes it apart to such ops"
    return (
        f"Neither Core ML nor ExecuTorch can run {op}{where}: {why}. Write the call with other ops, or compute it before the model is called. "
        f"If a kernel of yours executes it, lower with compile_config=EdgeCompileConfig(_core_aten_ops_exception_list=[torch.ops.{node.target}])."
    )
