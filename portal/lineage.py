"""Geometry of the lineage picture: versions in columns from base to bundle, edges between them.

The layout is layered (longest path, then barycentre ordering). Which versions a
reader may see is decided by the caller.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

MAX_NODES, MAX_EDGES = 60, 150
NODE_WIDTH, NODE_HEIGHT, BEND_HEIGHT = 196.0, 48.0, 14.0
GAP_X, GAP_Y, PAD, PORT = 88.0, 18.0, 8.0, 14.0
SWEEPS = 8

Spots = dict[str, tuple[float, float]]
Chains = dict[tuple[str, str], list[str]]


@dataclass(frozen=True)
class Node:
    """One version in the picture. `label` and `sub` are the two printed lines."""

    key: str
    label: str
    sub: str = ""
    tone: str = "neutral"
    url: str = ""


@dataclass(frozen=True)
class Edge:
    """`source` is a component of `target`, in the role `label` names (base, adapter, prompt, tokenizer, member)."""

    source: str
    target: str
    label: str = ""


@dataclass(frozen=True)
class PlacedNode:
    """A node with its upper left corner; `focus` marks the version the page is about."""

    node: Node
    x: float
    y: float
    focus: bool
    width: float = NODE_WIDTH
    height: float = NODE_HEIGHT


@dataclass(frozen=True)
class PlacedEdge:
    """An edge as an SVG path with the place of its label, and its two nodes for the list beside the picture."""

    edge: Edge
    path: str
    label_x: float
    label_y: float
    source: Node
    target: Node


@dataclass(frozen=True)
class Lineage:
    """The whole picture in its own pixels; `hidden` and `hidden_edges` count what is left out."""

    nodes: tuple[PlacedNode, ...]
    edges: tuple[PlacedEdge, ...]
    width: float
    height: float
    hidden: int
    hidden_edges: int


@dataclass(frozen=True)
class Link:
    """A piece of an edge between neighbouring columns; long edges are chains of pieces through bends."""

    source: str
    target: str


def lineage(nodes: Iterable[Node], edges: Iterable[Edge], *, focus: str, limit: int = MAX_NODES) -> Lineage:
    """Lay out the at most `limit` nodes nearest to the focus and 150 edges; loops and doubles are left out."""
    known = {node.key: node for node in nodes}
    usable = {
        (edge.source, edge.target): edge
        for edge in edges
        if edge.source in known and edge.target in known and edge.source != edge.target
    }
    kept = _nearest(list(known), usable, focus, limit)
    rank = {key: place for place, key in enumerate(kept)}
    inside = sorted(
        (pair for pair in usable if pair[0] in rank and pair[1] in rank), key=lambda p: rank[p[0]] + rank[p[1]]
    )
    wanted = {pair: usable[pair] for pair in inside[:MAX_EDGES]}
    layer = _layers(kept, wanted)
    columns, chains = _chain(layer, wanted)
    links = [Link(a, b) for chain in chains.values() for a, b in pairwise(chain)]
    columns = _order(columns, links)
    spots, height = _place(columns, known)
    ports = _ports(links, spots, known)
    placed = tuple(PlacedNode(known[key], *spots[key], key == focus) for key in spots if key in known)
    lines = tuple(_connect(wanted[pair], chain, spots, ports, known) for pair, chain in chains.items())
    width = 2 * PAD + max(0.0, len(columns) * (NODE_WIDTH + GAP_X) - GAP_X)
    return Lineage(
        nodes=placed,
        edges=lines,
        width=width,
        height=height,
        hidden=len(known) - len(kept),
        hidden_edges=len(inside) - len(wanted),
    )


def _nearest(keys: list[str], links: Iterable[tuple[str, str]], focus: str, limit: int) -> list[str]:
    """Return the keys by distance from the focus, ignoring direction, up to the limit; unconnected ones come last."""
    around: dict[str, list[str]] = defaultdict(list)
    for source, target in links:
        around[source].append(target)
        around[target].append(source)
    found = [focus] if focus in keys else []
    seen = set(found)
    for key in found:
        for near in around[key]:
            if near not in seen:
                seen.add(near)
                found.append(near)
    found.extend(key for key in keys if key not in seen)
    return found[:limit]


def _layers(keys: list[str], links: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Return the column of each key by longest path; in a circle of edges the last one found points backwards."""
    after: dict[str, list[str]] = defaultdict(list)
    for source, target in links:
        after[source].append(target)
    order: list[str] = []
    state: dict[str, int] = {}
    backwards: set[tuple[str, str]] = set()
    for root in keys:
        trail = [(root, iter(after[root]))] if root not in state else []
        state.setdefault(root, 1)
        while trail:
            key, rest = trail[-1]
            following = next(rest, None)
            if following is None:
                state[key] = 2
                order.append(key)
                trail.pop()
            elif following not in state:
                state[following] = 1
                trail.append((following, iter(after[following])))
            elif state[following] == 1:
                backwards.add((key, following))
    layer = dict.fromkeys(keys, 0)
    for key in reversed(order):
        for target in after[key]:
            if (key, target) not in backwards:
                layer[target] = max(layer[target], layer[key] + 1)
    return layer


def _chain(layer: dict[str, int], wanted: Iterable[tuple[str, str]]) -> tuple[list[list[str]], Chains]:
    """Return the columns with a bend in every column a long edge crosses, and each edge as its chain of keys."""
    depth = max(layer.values(), default=-1) + 1
    columns: list[list[str]] = [[key for key in layer if layer[key] == index] for index in range(depth)]
    chains: Chains = {}
    for source, target in wanted:
        bends = [f"{source}\n{target}\n{index}" for index in range(layer[source] + 1, layer[target])]
        for index, bend in enumerate(bends, start=layer[source] + 1):
            columns[index].append(bend)
        chains[source, target] = [source, *bends, target]
    return columns, chains


def _order(columns: list[list[str]], links: list[Link]) -> list[list[str]]:
    """Return the columns sorted so that neighbours face each other, sweeping there and back."""
    parents: dict[str, list[str]] = defaultdict(list)
    children: dict[str, list[str]] = defaultdict(list)
    for link in links:
        parents[link.target].append(link.source)
        children[link.source].append(link.target)
    spot = {key: row - len(column) / 2 for column in columns for row, key in enumerate(column)}
    for sweep in range(SWEEPS):
        near = parents if sweep % 2 == 0 else children
        for column in columns if sweep % 2 == 0 else reversed(columns):
            ranks = {key: fmean([spot[other] for other in near[key]] or [spot[key]]) for key in column}
            column.sort(key=ranks.__getitem__)
            spot.update({key: row - len(column) / 2 for row, key in enumerate(column)})
    return columns


def _place(columns: list[list[str]], known: dict[str, Node]) -> tuple[Spots, float]:
    """Return the upper left corner of every node and bend, each column centred, and the height of the picture."""
    sizes = [[NODE_HEIGHT if key in known else BEND_HEIGHT for key in column] for column in columns]
    heights = [sum(column) + GAP_Y * (len(column) - 1) for column in sizes]
    tallest = max(heights, default=0.0)
    spots: Spots = {}
    for index, column in enumerate(columns):
        y = PAD + (tallest - heights[index]) / 2
        for key, size in zip(column, sizes[index], strict=True):
            spots[key] = (PAD + index * (NODE_WIDTH + GAP_X), round(y, 1))
            y += size + GAP_Y
    return spots, 2 * PAD + tallest


def _ports(links: list[Link], spots: Spots, known: dict[str, Node]) -> dict[Link, tuple[float, float]]:
    """Return where each piece leaves its source and enters its target, so that pieces do not meet in one point."""
    leaving: dict[str, list[Link]] = defaultdict(list)
    entering: dict[str, list[Link]] = defaultdict(list)
    for link in links:
        leaving[link.source].append(link)
        entering[link.target].append(link)

    def spread(key: str, mates: list[Link], link: Link, far: Callable[[Link], str]) -> float:
        if key not in known:
            return spots[key][1] + BEND_HEIGHT / 2
        mates = sorted(mates, key=lambda mate: spots[far(mate)][1])
        step = min(PORT, (NODE_HEIGHT - 12) / max(1, len(mates) - 1))
        return round(spots[key][1] + NODE_HEIGHT / 2 + (mates.index(link) - (len(mates) - 1) / 2) * step, 1)

    return {
        link: (
            spread(link.source, leaving[link.source], link, lambda mate: mate.target),
            spread(link.target, entering[link.target], link, lambda mate: mate.source),
        )
        for link in links
    }


def _connect(
    edge: Edge, chain: list[str], spots: Spots, ports: dict[Link, tuple[float, float]], known: dict[str, Node]
) -> PlacedEdge:
    """Return the curve through all bends of an edge; its label stands just before the target."""
    path, x, y = "", 0.0, 0.0
    for source, target in pairwise(chain):
        start, y = ports[Link(source, target)]
        begin, x = spots[source][0] + NODE_WIDTH, spots[target][0]
        bend = max(32.0, (x - begin) / 2)
        path += f"L{begin:g} {start:g}" if path else f"M{begin:g} {start:g}"
        path += f"C{begin + bend:g} {start:g} {x - bend:g} {y:g} {x:g} {y:g}"
    return PlacedEdge(edge, path, x - 8, y - 4, known[edge.source], known[edge.target])
