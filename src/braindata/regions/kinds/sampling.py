"""From the images of atlases and masks to the voxels of a grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from braindata.errors import EmptyRegionError, UsageError
from braindata.regions.files import RegionFiles
from braindata.regions.kinds.atlas import Atlas
from braindata.regions.kinds.images import ImageKind
from braindata.regions.kinds.mask import Mask
from braindata.regions.points import Points
from braindata.regions.volumes import Volume, read_volume

Weighted = tuple[NDArray[np.int64], NDArray[np.float64]]


def atlas_weights(atlas: Atlas, points: Points) -> Weighted:
    """Return the voxels of an atlas' parcels: nearest label, or linear between probabilities.

    Raises
    ------
    EmptyRegionError
        When a parcel holds no voxel of the grid.
    UsageError
        When the image is not what the definition says, or a parcel is not in it.
    """
    volume = _volume(atlas, points.placing.files)
    maps = parcel_maps(atlas, points.placing.files)
    if volume.data.ndim == 3:
        return _labels(volume, maps, points)
    found: dict[int, float] = {}
    for name, number in maps.items():
        voxels, weights = _map(volume, atlas.threshold, points, number)
        _require(len(voxels), name)
        for voxel, weight in zip(voxels.tolist(), weights.tolist(), strict=True):
            found[voxel] = max(found.get(voxel, 0.0), weight)
    kept = np.array(sorted(found), np.int64)
    weights = np.array([found[voxel] for voxel in kept.tolist()])
    return kept, weights if atlas.weights else np.ones(len(kept))


def mask_weights(mask: Mask, points: Points) -> Weighted:
    """Return the voxels of a mask: the nearest voxel's where it is binary, else linear.

    Raises
    ------
    EmptyRegionError
        When it holds no voxel of the grid.
    UsageError
        When the image is no mask.
    """
    volume = _volume(mask, points.placing.files)
    path = points.placing.files.path(mask.hash_of_image)
    if volume.data.ndim != 3:
        raise UsageError(
            f"a mask has three dimensions, this image has {volume.data.ndim}",
            file=path,
            hint="choose one of its maps, or use `kind: atlas` with a label table",
        )
    if mask.weights and (volume.data < 0).any():
        raise UsageError("weights below 0 mean nothing in a mean", file=path, hint="set them to 0")
    if mask.weights or mask.threshold is not None:
        voxels, weights = _map(volume, mask.threshold, points, None)
    else:
        voxels, weights = _nearest(volume, volume.data != 0, points)
    _require(len(voxels), None)
    return voxels, weights if mask.weights else np.ones(len(voxels))


def parcel_maps(atlas: Atlas, files: RegionFiles) -> dict[str, int]:
    """Return each parcel's number in the image: its label, or of a 4D image the index of its map.

    Raises
    ------
    UsageError
        When the image does not have such maps or labels.
    """
    volume = _volume(atlas, files)
    numbers = atlas.numbers(files)
    path = files.path(atlas.hash_of_image)
    if volume.data.ndim == 3:
        if atlas.threshold is not None or atlas.weights:
            raise UsageError(
                "this atlas has one number per voxel, so no threshold and no weights",
                file=path,
                hint="leave them out; one map of probabilities is a region of `kind: mask`",
            )
        if volume.data.dtype.kind == "f":
            raise UsageError(
                "this image holds no labels: its values are no whole numbers",
                file=path,
                hint="one map of probabilities is a region of `kind: mask`",
            )
        return numbers
    if volume.data.ndim != 4:
        raise UsageError(
            f"an atlas has three or four dimensions, this image has {volume.data.ndim}", file=path
        )
    if atlas.threshold is None and not atlas.weights:
        raise UsageError(
            "this atlas holds probabilities, one map per parcel",
            file=path,
            hint="state `threshold: 0.25`, or another, or `weights: true`",
        )
    first = atlas.first_index(files)
    if first not in (0, 1):
        raise UsageError(
            f"the numbers of the maps begin at {first} in the label table",
            file=path,
            hint="the table must name all maps of the image, and count from 0 or from 1",
        )
    maps = {name: number - first for name, number in numbers.items()}
    n_maps = volume.data.shape[3]
    beyond = [name for name, number in maps.items() if not 0 <= number < n_maps]
    if beyond:
        raise UsageError(
            f"the image has {n_maps} maps, none is that of {', '.join(beyond)}",
            file=path,
            hint="is it the label table of this image?",
        )
    return maps


def parcel_centers(atlas: Atlas, files: RegionFiles) -> dict[str, tuple[float, float, float]]:
    """Return the centre of mass of each parcel in the atlas' own image, in mm.

    Raises
    ------
    UsageError
        When a parcel is not in the image.
    """
    volume = _volume(atlas, files)
    maps = parcel_maps(atlas, files)
    if volume.data.ndim == 4:
        centers = {name: volume.center_of_mass(number) for name, number in maps.items()}
        _refuse_absent([name for name, center in centers.items() if center is None])
        return {name: center for name, center in centers.items() if center is not None}
    _require_labels(volume, maps)
    # One pass over the image, however many parcels there are.
    everywhere = np.ones(volume.data.shape, bool)
    found = ndimage.center_of_mass(everywhere, volume.data, list(maps.values()))
    places = np.array(found) @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    return {name: (x, y, z) for name, (x, y, z) in zip(maps, places.tolist(), strict=True)}


def _volume(definition: ImageKind, files: RegionFiles) -> Volume:
    sha256 = definition.hash_of_image
    return read_volume(files.path(sha256), sha256)


def _labels(volume: Volume, numbers: dict[str, int], points: Points) -> Weighted:
    _require_labels(volume, numbers)
    wanted = list(numbers.values())
    voxels, positions = points.within(*volume.box(np.isin(volume.data, wanted)))
    values = volume.sample(positions, order=0)
    there = set(np.unique(values).tolist())
    for name, number in numbers.items():
        _require(int(number in there), name)
    kept = voxels[np.isin(values, wanted)]
    return kept, np.ones(len(kept))


def _require_labels(volume: Volume, numbers: dict[str, int]) -> None:
    there = set(np.unique(volume.data).tolist())
    _refuse_absent([name for name, number in numbers.items() if number not in there])


def _refuse_absent(absent: list[str]) -> None:
    if absent:
        raise UsageError(
            f"no voxel of the image belongs to the parcel {', '.join(absent)}",
            hint="is it the label table of this image?",
        )


def _nearest(volume: Volume, inside: NDArray[np.bool_], points: Points) -> Weighted:
    voxels, positions = points.within(*volume.box(inside))
    kept = voxels[volume.sample(positions, order=0) != 0]
    return kept, np.ones(len(kept))


def _map(
    volume: Volume, threshold: float | None, points: Points, map_index: int | None
) -> Weighted:
    data = volume.data if map_index is None else volume.data[..., map_index]
    if not (data > 0).any():
        return np.array([], np.int64), np.array([])
    voxels, positions = points.within(*volume.box(data > 0))
    values = volume.sample(positions, order=1, map_index=map_index)
    kept = values > (threshold or 0.0)
    return voxels[kept], values[kept]


def _require(n_voxels: int, parcel: str | None) -> None:
    if not n_voxels:
        what = "the mask" if parcel is None else f"the parcel {parcel}"
        raise EmptyRegionError(
            f"{what} holds no voxel of the image grid",
            hint="its grid may not overlap with that of the images: compare their affines; or it "
            "is smaller than a voxel, or nothing of it is above the threshold",
        )
