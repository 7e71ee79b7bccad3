"""What changes the place of elements: shapes, slices, concatenation, repetition."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from coremltools.converters.mil.mil import Var

from executorch_coreml.engine.networks.layer import (
    MANY,
    Layer,
    axis_of,
    extents,
    integers,
    known_integers,
    known_numbers,
    limited,
    mb,
    rank_of,
    reshaped,
    translates,
    with_rank_4,
)
from executorch_coreml.engine.networks.layers_elementwise import broadcast

_CHANNEL_LAST = 1


@translates("flatten")
def _flatten(layer: Layer) -> Var:
    shape = extents(layer.x)
    rank = rank_of(layer.x, 3)
    x = layer.x
    if layer.params.mode == _CHANNEL_LAST:
        x = mb.transpose(x=x, perm=[*range(rank - 3), rank - 2, rank - 1, rank - 3])
    return reshaped(x, (*shape[:-3], math.prod(shape[-3:]), 1, 1))


@translates("reshape")
def _reshape(layer: Layer) -> Var:
    """Of rank 5; of a target of three extents the sequence stays, or is what is left."""
    shape = extents(layer.x)
    rank_of(layer.x, 5)
    target = [int(extent) for extent in layer.params.targetShape]
    if len(target) not in (3, 4):
        raise ValueError(f"the target shape is {target}")
    image = target[-3:]
    size = math.prod(image)
    if min(image) < 1 or math.prod(shape) % (size * shape[1]):
        raise ValueError(f"{list(shape)} has no values for {target}")
    sequence = math.prod(shape) // (size * shape[1])
    if len(target) == 4 and target[0] != sequence:
        raise ValueError(f"{list(shape)} has {sequence} and not {target[0]} times {image}")
    if layer.params.mode != _CHANNEL_LAST:
        return reshaped(layer.x, (sequence, shape[1], *image))
    x = mb.transpose(x=layer.x, perm=[0, 1, 3, 4, 2])
    y = reshaped(x, (sequence, shape[1], image[1], image[2], image[0]))
    return mb.transpose(x=y, perm=[0, 1, 4, 2, 3])


@translates("permute")
def _permute(layer: Layer) -> Var:
    """Of [sequence, channels, height, width] within rank 5, whose second axis stays."""
    rank_of(layer.x, 4)
    order = _permutation(layer.params.axis, 4)
    if layer.x.rank == 4:
        return mb.transpose(x=layer.x, perm=order)
    places = (0, 2, 3, 4)
    permuted = [places[axis] for axis in order]
    return mb.transpose(x=layer.x, perm=[permuted[0], 1, *permuted[1:]])


def _permutation(axes: Sequence[int], rank: int) -> list[int]:
    order = [int(axis) for axis in axes]
    if sorted(order) != list(range(rank)):
        raise ValueError(f"{order} is not an order of {rank} axes")
    return order


@translates("transpose")
def _transpose(layer: Layer) -> Var:
    return mb.transpose(x=layer.x, perm=_permutation(layer.params.axes, layer.x.rank))


@translates("reorganizeData")
def _reorganize(layer: Layer) -> Var:
    block = int(layer.params.blockSize)
    if not 1 <= block < 1 << 16:
        raise ValueError(f"the block has the size {block}")

    def reorganize(x: Var) -> Var:
        n, c, h, w = extents(x)
        if layer.params.mode == 0:
            if h % block or w % block:
                raise ValueError(f"{h} x {w} is not made of blocks of {block}")
            y = reshaped(x, (n * c, h // block, block, w // block, block))
            y = mb.transpose(x=y, perm=[0, 2, 4, 1, 3])
            y = reshaped(y, (n, c, block * block, h // block * (w // block)))
            return reshaped(mb.transpose(x=y, perm=[0, 2, 1, 3]), (n, c * block * block, h // block, w // block))
        if c % (block * block):
            raise ValueError(f"{c} channels are not made of blocks of {block} x {block}")
        out = c // (block * block)
        y = reshaped(x, (n, block * block, out, h * w) if layer.params.mode == 1 else (n, out, block * block, h * w))
        if layer.params.mode == 1:
            y = mb.transpose(x=y, perm=[0, 2, 1, 3])
        y = mb.transpose(x=reshaped(y, (n * out, block, block, h, w)), perm=[0, 3, 1, 4, 2])
        return reshaped(y, (n, out, h * block, w * block))

    rank_of(layer.x, 3)
    return with_rank_4(layer.x, reorganize)


@translates("slice")
def _slice(layer: Layer) -> Var:
    params = layer.params
    axis = axis_of((-3, -2, -1)[params.axis], layer.x.rank)
    size = extents(layer.x)[axis]
    chosen = range(*slice(params.startIndex, params.endIndex, max(1, params.stride)).indices(size))
    return _sliced(layer.x, {axis: chosen})


def _sliced(x: Var, chosen: dict[int, range]) -> Var:
    """The elements of some axes in a range. ValueError where one is empty."""
    shape = extents(x)
    begin, end, stride = [0] * len(shape), list(shape), [1] * len(shape)
    end_mask = [True] * len(shape)
    for axis, indices in chosen.items():
        if not indices:
            raise ValueError(f"the slice of the axis {axis} is empty")
        begin[axis], stride[axis] = indices[0], indices.step
        stop = indices[-1] + (1 if indices.step > 0 else -1)
        # Before the first element is no number but its absence.
        end[axis], end_mask[axis] = max(0, stop), stop < 0
    return mb.slice_by_index(x=x, begin=begin, end=end, stride=stride, end_mask=end_mask)


@translates("sliceStatic", "sliceDynamic", inputs=(1, 7))
def _slice_nd(layer: Layer) -> Var:
    params = layer.params
    names = ("beginIds", "endIds", "strides", "beginMasks", "endMasks", "squeezeMasks")
    given: dict[str, list[int]] = {}
    for place, name in enumerate(names, start=1):
        if place < len(layer.inputs):
            given[name] = known_integers(layer.inputs[place])
        else:
            given[name] = [int(value) for value in getattr(params, name, [])]
    shape = extents(layer.x)
    rank = len(shape)
    defaults = {"strides": 1}
    for name in names:
        given[name] = given[name] or [defaults.get(name, 0)] * rank
        if len(given[name]) != rank:
            raise ValueError(f"{name} has {len(given[name])} numbers for a value of rank {rank}")
    chosen = {}
    squeezed = [axis for axis in range(rank) if given["squeezeMasks"][axis]]
    for axis, size in enumerate(shape):
        step = given["strides"][axis]
        if step == 0:
            raise ValueError("a stride is 0")
        if axis in squeezed:
            at = given["beginIds"][axis]
            if not -size <= at < size:
                raise ValueError(f"the index {at} is none of {size}")
            chosen[axis] = range(at % size, at % size + 1)
            continue
        begin = None if given["beginMasks"][axis] else given["beginIds"][axis]
        end = None if given["endMasks"][axis] else given["endIds"][axis]
        chosen[axis] = range(*slice(begin, end, step).indices(size))
    y = _sliced(layer.x, chosen)
    if not squeezed:
        return y
    kept = [len(chosen[axis]) for axis in range(rank) if axis not in squeezed]
    return reshaped(y, kept or [1])


@translates("sliceBySize", inputs=2)
def _slice_by_size(layer: Layer) -> Var:
    shape = extents(layer.x)
    axis, size = axis_of(layer.params.axis, len(shape)), int(layer.params.size)
    if not 1 <= size <= shape[axis]:
        raise ValueError(f"a slice of {size} of {shape[axis]} elements")
    start = reshaped(layer.inputs[1], (1,))
    indices = mb.add(x=integers(start), y=np.arange(size, dtype=np.int32))
    return mb.gather(x=layer.x, indices=indices, axis=axis)


@translates("concat", inputs=(1, MANY))
def _concat(layer: Layer) -> Var:
    axis = -5 if layer.params.sequenceConcat else -3
    axis_of(axis, layer.x.rank)
    return mb.concat(values=layer.inputs, axis=axis)


@translates("concatND", inputs=(1, MANY))
def _concat_nd(layer: Layer) -> Var:
    axis = axis_of(layer.params.axis, layer.x.rank)
    if not layer.params.interleave:
        return mb.concat(values=layer.inputs, axis=axis)
    shape = extents(layer.x)
    if any(extents(x) != shape for x in layer.inputs):
        raise ValueError("values of different shapes cannot be interleaved")
    y = mb.stack(values=layer.inputs, axis=axis + 1)
    return reshaped(y, (*shape[:axis], shape[axis] * len(layer.inputs), *shape[axis + 1 :]))


@translates("stack", inputs=(1, MANY))
def _stack(layer: Layer) -> Var:
    return mb.stack(values=layer.inputs, axis=axis_of(layer.params.axis, layer.x.rank + 1))


@translates("split", "splitND")
def _split(layer: Layer) -> list[Var]:
    params = layer.params
    rank = layer.x.rank
    axis = axis_of(-3 if layer.kind == "split" else params.axis, rank)
    sizes = [] if layer.kind == "split" else [int(size) for size in params.splitSizes]
    size = extents(layer.x)[axis]
    if not sizes:
        if size % layer.output_count:
            raise ValueError(f"{size} elements cannot be split into {layer.output_count} parts")
        sizes = [size // layer.output_count] * layer.output_count
    if len(sizes) != layer.output_count or sum(sizes) != size or min(sizes) < 1:
        raise ValueError(f"{size} elements cannot be split into {sizes} for {layer.output_count} outputs")
    if len(sizes) == 1:
        return [layer.x]
    return list(mb.split(x=layer.x, split_sizes=sizes, axis=axis))


@translates("sequenceRepeat")
def _sequence_repeat(layer: Layer) -> Var:
    rank_of(layer.x, 5)
    return _tiled(layer.x, [layer.params.nRepetitions, 1, 1, 1, 1])


def _tiled(x: Var, reps: Sequence[int]) -> Var:
    shape = extents(x)
    reps = [1] * (len(shape) - len(reps)) + [int(r) for r in reps]
    if len(reps) != len(shape) or min(reps) < 1:
        raise ValueError(f"{list(shape)} is not repeated {reps} times")
    limited([extent * r for extent, r in zip(shape, reps, strict=True)])
    return mb.tile(x=x, reps=reps)


@translates("tile", inputs=(1, 2))
def _tile(layer: Layer) -> Var:
    return _tiled(layer.x, known_integers(layer.inputs[1]) if len(layer.inputs) == 2 else layer.params.reps)


@translates("reverse")
def _reverse(layer: Layer) -> Var:
    chosen = list(layer.params.reverseDim)
    if len(chosen) != layer.x.rank:
        raise ValueError(f"reverseDim has {len(chosen)} values for a value of rank {layer.x.rank}")
    axes = [axis for axis, is_reversed in enumerate(chosen) if is_reversed]
    return mb.reverse(x=layer.x, axes=axes) if axes else mb.identity(x=layer.x)


@translates("reverseSeq", inputs=2)
def _reverse_sequence(layer: Layer) -> Var:
    batch, sequence = axis_of(layer.params.batchAxis, layer.x.rank), axis_of(layer.params.sequenceAxis, layer.x.rank)
    lengths = integers(reshaped(layer.inputs[1], (extents(layer.x)[batch],)))
    return mb.reverse_sequence(x=layer.x, lengths=lengths, seq_axis=sequence, batch_axis=batch)


@translates("squeeze")
def _squeeze(layer: Layer) -> Var:
    shape = extents(layer.x)
    axes = {axis for axis, extent in enumerate(shape) if extent == 1}
    if not layer.params.squeezeAll:
        asked = {axis_of(axis, len(shape)) for axis in layer.params.axes}
        if asked - axes:
            raise ValueError(f"an axis of {sorted(asked)} of {list(shape)} is longer than 1")
        axes = asked
    # A network has no values of rank 0.
    return reshaped(layer.x, [extent for axis, extent in enumerate(shape) if axis not in axes] or [1])


@translates("expandDims")
def _expand_dims(layer: Layer) -> Var:
    rank = layer.x.rank + len(layer.params.axes)
    axes = sorted({axis_of(axis, rank) for axis in layer.params.axes})
    if len(axes) != len(layer.params.axes):
        raise ValueError(f"an axis appears twice in {list(layer.params.axes)}")
    rest = iter(extents(layer.x))
    return reshaped(layer.x, [1 if axis in axes else next(rest) for axis in range(rank)])


@translates("flattenTo2D")
def _flatten_to_2d(layer: Layer) -> Var:
    shape = extents(layer.x)
    axis = layer.params.axis + (len(shape) if layer.params.axis < 0 else 0)
    if not 0 <= axis <= len(shape):
        raise ValueError(f"the axis {layer.params.axis} does not exist in a value of rank {len(shape)}")
    return reshaped(layer.x, (math.prod(shape[:axis]), math.prod(shape[axis:])))


def _to_shape(x: Var, target: Sequence[int], *, zero_keeps: bool = True) -> Var:
    """To a shape in which one extent may be -1, and 0 keeps that of the input."""
    shape = extents(x)
    made = [int(extent) for extent in target]
    if zero_keeps:
        if 0 in made and len(made) > len(shape) and any(extent == 0 for extent in made[len(shape) :]):
            raise ValueError(f"{made} keeps an extent that {list(shape)} has not")
        made = [shape[axis] if extent == 0 else extent for axis, extent in enumerate(made)]
    known = math.prod(extent for extent in made if extent != -1)
    if made.count(-1) == 1 and known > 0 and math.prod(shape) % known == 0:
        made[made.index(-1)] = math.prod(shape) // known
    if not made or min(made) < 0 or math.prod(made) != math.prod(shape):
        raise ValueError(f"{list(shape)} does not become {list(target)}")
    return reshaped(x, made)


@translates("reshapeStatic", "rankPreservingReshape")
def _reshape_static(layer: Layer) -> Var:
    return _to_shape(layer.x, layer.params.targetShape)


@translates("reshapeLike", inputs=2)
def _reshape_like(layer: Layer) -> Var:
    return _to_shape(layer.x, extents(layer.inputs[1]))


@translates("reshapeDynamic", inputs=2)
def _reshape_dynamic(layer: Layer) -> Var:
    return _to_shape(layer.x, known_integers(layer.inputs[1]))


@translates("getShape")
def _get_shape(layer: Layer) -> Var:
    return mb.const(val=np.array(extents(layer.x), np.float32))


@translates("loadConstant", "loadConstantND", inputs=0)
def _load_constant(layer: Layer) -> Var:
    shape = limited(layer.params.shape)
    if layer.kind == "loadConstant":
        if len(shape) != 3:
            raise ValueError(f"the constant has the shape {shape}")
        shape = [1, 1, *shape]
    return mb.const(val=layer.weights("data", shape))


def _filled(layer: Layer, shape: Sequence[int]) -> Var:
    return mb.fill(shape=limited(shape), value=np.float32(layer.params.value))


@translates("fillStatic", inputs=0)
def _fill_static(layer: Layer) -> Var:
    return _filled(layer, layer.params.targetShape)


@translates("fillLike")
def _fill_like(layer: Layer) -> Var:
    return _filled(layer, extents(layer.x))


@translates("fillDynamic")
def _fill_dynamic(layer: Layer) -> Var:
    return _filled(layer, known_integers(layer.x))


def _broadcast_to(x: Var, shape: Sequence[int]) -> Var:
    made = limited(shape)
    if tuple(np.broadcast_shapes(extents(x), tuple(made))) != tuple(made):
        raise ValueError(f"{list(extents(x))} cannot be broadcast to {made}")
    return broadcast(x, tuple(made))


@translates("broadcastToStatic")
def _broadcast_static(layer: Layer) -> Var:
    return _broadcast_to(layer.x, layer.params.targetShape)


@translates("broadcastToLike", inputs=2)
def _broadcast_like(layer: Layer) -> Var:
    return _broadcast_to(layer.x, extents(layer.inputs[1]))


@translates("broadcastToDynamic", inputs=2)
def _broadcast_dynamic(layer: Layer) -> Var:
    return _broadcast_to(layer.x, known_integers(layer.inputs[1]))


@translates("rangeStatic", "rangeDynamic", inputs=(0, 3))
def _range(layer: Layer) -> Var:
    params = layer.params
    numbers = [params.endValue if layer.kind == "rangeStatic" else 0.0, params.startValue, params.stepSizeValue]
    for place, x in enumerate(layer.inputs):
        numbers[place] = known_numbers(x)[0]
    end, start, step = numbers
    if not all(map(math.isfinite, numbers)) or step == 0 or not 0 < (end - start) / step < 1 << 28:
        raise ValueError(f"the range from {start} to {end} by {step} is empty or infinite")
    return mb.const(val=np.arange(start, end, step, dtype=np.float32))


@translates("constantPad", inputs=(1, 2))
def _constant_pad(layer: Layer) -> Var:
    shape = extents(layer.x)
    amounts = known_integers(layer.inputs[1]) if len(layer.inputs) == 2 else [int(amount) for amount in layer.params.padAmounts]
    if len(amounts) != 2 * len(shape) or min(amounts) < 0:
        raise ValueError(f"{len(amounts)} amounts cannot pad a value of rank {len(shape)}")
    if layer.params.padToGivenOutputSizeMode:
        # Of each axis one of both is the size that it is to have, on the side where it grows.
        amounts = [max(0, amount - shape[i // 2]) for i, amount in enumerate(amounts)]
    limited([extent + amounts[2 * i] + amounts[2 * i + 1] for i, extent in enumerate(shape)])
    value = np.float32(layer.params.value)
    y = layer.x
    # One axis at a time: what pads more has other limits of rank.
    for axis in range(len(shape)):
        before, after = amounts[2 * axis : 2 * axis + 2]
        parts = []
        for amount in (before, after):
            blank = list(extents(y))
            blank[axis] = amount
            parts.append(mb.fill(shape=blank, value=value) if amount else None)
        values = [part for part in (parts[0], y, parts[1]) if part is not None]
        y = mb.concat(values=values, axis=axis) if len(values) > 1 else y
    return y


@translates("slidingWindows")
def _sliding_windows(layer: Layer) -> Var:
    shape = extents(layer.x)
    rank_of(layer.x, 1, 4)
    axis, size, step = axis_of(layer.params.axis, len(shape)), int(layer.params.windowSize), int(layer.params.step)
    if not 1 <= size <= shape[axis] or step < 1:
        raise ValueError(f"windows of {size} by {step} in {shape[axis]} elements")
    limited([*shape[:axis], (shape[axis] - size) // step + 1, size, *shape[axis + 1 :]])
    return mb.sliding_windows(x=layer.x, axis=axis, size=size, stride=step)
