"""Constants that a partition shares with what stays outside, or with another partition.

ExecuTorch gives each reader but the first a copy of its own, and overlooks readers that have the constant in a list, such as `cat`. So these come
first: they keep the original.
"""

from __future__ import annotations

import torch
from executorch.exir.backend.utils import tag_constant_data
from torch.export.exported_program import ExportedProgram


def _reads_in_a_list(user: torch.fx.Node, constant: torch.fx.Node) -> bool:
    arguments = (*user.args, *user.kwargs.values())
    return any(isinstance(argument, (list, tuple)) and constant in argument for argument in arguments)


def tag_constants(program: ExportedProgram) -> None:
    """Gives constants to the partitions that read them. To be called once the calls are tagged."""
    tag_constant_data(program)
    for node in program.graph.nodes:
        if node.op != "placeholder" or "delegation_tag" not in node.meta:
            continue
        users = sorted(node.users, key=lambda user: not _reads_in_a_list(user, node))
        tags = {user.meta.get("delegation_tag") for user in users}
        if len(tags) > 1 and _reads_in_a_list(users[0], node):
            node.users.clear()
            node.users.update(dict.fromkeys(users))
            # The original goes where its readers in lists are; outside has no tag.
            tag = users[0].meta.get("delegation_tag")
            if tag is not None:
                node.meta["delegation_tag"] = tag
