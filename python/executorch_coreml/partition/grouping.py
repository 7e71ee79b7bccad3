"""Groups of calls that can each become one partition: as few as possible, in time linear in the size of the graph.

A group may not depend on itself by way of a call outside: what is in between would have to run both before it and after it. So calls are put on
levels, counted from the end of the program. A call that is taken is on the level of what it feeds, and one further up where a call outside is in
between; all calls of one level are one group. A row of calls that alternates between inside and outside needs as many groups in any way of
grouping, so there are no fewer; and each call is as late as can be, beside what needs its result.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator

import torch

# The calls of one partition, in the order of the graph.
Group = dict[torch.fx.Node, None]

# The level of what leads to no group.
_NONE = -1


def whole_call(node: torch.fx.Node) -> torch.fx.Node:
    """The call whose result a `getitem` takes apart; any other node itself."""
    while node.target is operator.getitem and isinstance(node.args[0], torch.fx.Node):
        node = node.args[0]
    return node


def parts(node: torch.fx.Node) -> Iterator[torch.fx.Node]:
    """The `getitem` calls that take the result of a call apart, and those that take these apart."""
    for user in node.users:
        if user.target is operator.getitem:
            yield user
            yield from parts(user)


def _levels(graph: torch.fx.Graph, is_taken: Callable[[torch.fx.Node], bool]) -> dict[torch.fx.Node, int]:
    """The level of every call that is taken. Levels have no gaps; 0 is the last group to run."""
    levels: dict[torch.fx.Node, int] = {}
    # The highest level that what uses a call outside is on.
    reached: dict[torch.fx.Node, int] = {}
    for node in reversed(graph.nodes):
        if node.op != "call_function":
            continue
        if is_taken(whole_call(node)):
            if node.target is operator.getitem:
                continue  # Gets its level with the call whose result it takes apart, which comes later in this order.
            members = dict.fromkeys((node, *parts(node)))
            users = [user for member in members for user in member.users if user not in members]
            # In the same group as users that are taken, before those behind a call outside.
            level = max((levels[u] if u in levels else reached.get(u, _NONE) + 1 for u in users), default=0)
            levels.update((member, level) for member in members)
        else:
            reached[node] = max((levels.get(u, reached.get(u, _NONE)) for u in node.users), default=_NONE)
    return levels


def group(graph: torch.fx.Graph, is_taken: Callable[[torch.fx.Node], bool]) -> list[Group]:
    """The groups of the calls that are taken, in the order of their first calls.

    A `getitem` is with the call whose result it takes apart. An attribute of the graph, a constant or the branch of a call of control flow, is
    with its users where those are one group.
    """
    levels = _levels(graph, is_taken)
    for node in graph.nodes:
        if node.op == "get_attr" and node.users and all(user in levels for user in node.users):
            found = {levels[user] for user in node.users}
            if len(found) == 1:
                levels[node] = found.pop()
    groups: dict[int, Group] = {}
    for node in graph.nodes:
        if node in levels:
            groups.setdefault(levels[node], {})[node] = None
    order = {node: index for index, node in enumerate(graph.nodes)}
    return sorted(groups.values(), key=lambda calls: min(order[node] for node in calls if node.op == "call_function"))
