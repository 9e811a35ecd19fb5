"""The order of stored voxels, against a Morton code that is spelt out."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from braindata.pack.order import voxel_order

SHAPES = st.tuples(*[st.integers(1, 9)] * 3)


def random_mask(shape: tuple[int, int, int], seed: int) -> NDArray[np.bool_]:
    return np.random.default_rng(seed).random(shape) < 0.6


def spelt_out(x: int, y: int, z: int) -> str:
    return "".join("".join(bits) for bits in zip(*(f"{n:08b}" for n in (x, y, z)), strict=True))


@given(shape=SHAPES, seed=st.integers(0, 99))
def test_voxels_lie_along_mortons_curve(shape: tuple[int, int, int], seed: int) -> None:
    mask = random_mask(shape, seed)
    order = voxel_order(mask)
    stored = np.column_stack(np.unravel_index(order.voxels, shape)).tolist()
    assert stored == sorted(np.argwhere(mask).tolist(), key=lambda voxel: spelt_out(*voxel))


@given(shape=SHAPES, seed=st.integers(0, 99))
def test_positions_and_file_order(shape: tuple[int, int, int], seed: int) -> None:
    mask = random_mask(shape, seed)
    order = voxel_order(mask)
    everywhere = order.positions(np.arange(mask.size))
    assert np.array_equal(everywhere >= 0, mask.ravel())
    inside = everywhere[everywhere >= 0]
    assert sorted(inside.tolist()) == list(range(len(order.voxels)))
    assert np.array_equal(order.positions(order.voxels), np.arange(len(order.voxels)))
    # A volume as NIfTI has it on disk.
    volume = np.arange(mask.size).reshape(shape)
    assert np.array_equal(volume.ravel(order="F")[order.fortran], volume.ravel()[order.voxels])


def test_neighbours_share_chunks() -> None:
    order = voxel_order(np.ones((64, 64, 64), bool))
    block = np.indices((4, 8, 8)).reshape(3, -1) + np.array([[12], [40], [16]])
    positions = order.positions(np.ravel_multi_index(tuple(block), (64, 64, 64)))
    assert np.ptp(positions) == 255
