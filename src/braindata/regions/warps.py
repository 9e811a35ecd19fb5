"""ITK transforms: displacement fields, affines and composites, applied to points.

ITK counts mm to the left and to the back (LPS), NIfTI and all else here to the right and to the
front (RAS). A transform from A to B, as its file name has it (``from-A_to-B_mode-image_xfm``),
resamples images of A onto a grid in B: it maps points of B to points of A.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from braindata.errors import UsageError
from braindata.files import sha256_file
from braindata.regions.volumes import damaged, open_nifti

FloatArray = NDArray[np.float64]
Warp = Callable[[FloatArray], FloatArray]

_FLIP = np.array([-1.0, -1.0, 1.0])
# NIfTI's intent of displacement vectors, as ITK writes it.
_VECTOR = 1007
_GROUP = "TransformGroup"


@lru_cache(maxsize=2)
def read_warp(path: Path, sha256: str) -> Warp:
    """Read a transform.

    Parameters
    ----------
    path : Path
        A displacement field as NIfTI (5D, vectors in LPS, as ITK and ANTs write it), or ITK's
        HDF5 (``.h5``), as TemplateFlow distributes it.
    sha256 : str
        Hash of its contents.

    Returns
    -------
    callable
        Maps points (n_points, 3), in mm to the right, front and top (RAS), of the space to which
        the transform carries images, to points of the space from which it carries them.

    Raises
    ------
    UsageError
        When it is no such transform.
    DamageError
        When the contents are not those of the hash.
    """
    steps = _read_h5(path, sha256) if path.suffix.lower() == ".h5" else [_read_field(path, sha256)]

    def warp(points: FloatArray) -> FloatArray:
        mapped = points * _FLIP
        for step in steps:
            mapped = step(mapped)
        flipped: FloatArray = mapped * _FLIP
        return flipped

    return warp


def _read_field(path: Path, sha256: str) -> Warp:
    image = open_nifti(path, sha256)
    shape = image.shape
    if len(shape) != 5 or shape[3:] != (1, 3) or int(image.header["intent_code"]) != _VECTOR:
        raise UsageError(
            f"this is no displacement field: its shape is {' × '.join(map(str, shape))}",
            file=path,
            hint="ITK's have the shape x × y × z × 1 × 3 and the intent of vectors (1007)",
        )
    affine = np.diag([*_FLIP, 1.0]) @ np.array(image.affine, np.float64)
    vectors = np.asarray(image.dataobj, np.float32)[..., 0, :]
    return _displacement(vectors, affine, path)


def _read_h5(path: Path, sha256: str) -> list[Warp]:
    # These are large: hashed on disk, and fields are kept in single precision.
    if sha256_file(path) != sha256:
        raise damaged(path)
    try:
        with h5py.File(path, "r") as file:
            group = file[_GROUP]
            steps = []
            for number in sorted(group, key=int):
                one = group[number]
                kind = one["TransformType"][0].decode()
                if kind.startswith("CompositeTransform"):
                    continue
                # ITK wrote these names without an s for years, and reads both.
                fixed = _numbers(one, "TransformFixedParameters", "TranformFixedParameters")
                own = _numbers(one, "TransformParameters", "TranformParameters")
                steps.append(_step(kind, fixed, own, path))
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise UsageError(f"this is no ITK transform ({error})", file=path) from error
    # The one that was added last is applied first.
    return steps[::-1]


def _numbers(group: h5py.Group, *names: str) -> NDArray[Any]:
    name = next((name for name in names if name in group), None)
    return np.array([]) if name is None else np.asarray(group[name][()]).ravel()


def _step(kind: str, fixed: NDArray[Any], own: NDArray[Any], path: Path) -> Warp:
    name = kind.partition("_")[0]
    if name == "IdentityTransform":
        return lambda points: points
    if name == "TranslationTransform":
        return lambda points: points + own
    if name in ("AffineTransform", "MatrixOffsetTransformBase"):
        matrix, center = own[:9].reshape(3, 3), fixed[:3]
        offset = own[9:12] + center - matrix @ center
        return lambda points: points @ matrix.T + offset
    if name == "DisplacementFieldTransform":
        size = fixed[:3].astype(int)
        affine = np.eye(4)
        affine[:3, :3] = fixed[9:18].reshape(3, 3) * fixed[6:9]
        affine[:3, 3] = fixed[3:6]
        # x runs fastest, and the three components lie together.
        vectors = own.astype(np.float32).reshape(*size[::-1], 3).transpose(2, 1, 0, 3)
        return _displacement(vectors, affine, path)
    raise UsageError(
        f"it holds a {name}, which is not known here",
        file=path,
        hint="known: displacement fields, affine and translation; a displacement field can be "
        "made from any transform (ANTs' `antsApplyTransforms -o [field.nii.gz,1]`)",
    )


def _displacement(vectors: NDArray[np.float32], affine: FloatArray, path: Path) -> Warp:
    """Return what adds the vectors of a field (LPS), interpolated linearly, to points (LPS)."""
    if abs(np.linalg.det(affine[:3, :3])) < 1e-9 or not np.isfinite(vectors).all():
        raise UsageError("the displacement field holds NaN, or its affine is no grid", file=path)
    inverse = np.linalg.inv(affine)
    last = np.array(vectors.shape[:3])[:, None] - 0.5

    def warp(points: FloatArray) -> FloatArray:
        indices = (points @ inverse[:3, :3].T + inverse[:3, 3]).T
        moved = np.stack(
            [
                ndimage.map_coordinates(
                    vectors[..., axis],
                    indices,
                    np.float64,
                    order=1,
                    mode="nearest",
                    prefilter=False,
                )
                for axis in range(3)
            ],
            axis=1,
        )
        # Beyond the outer faces of its voxels the field says nothing: there ITK moves nothing.
        inside = ((indices >= -0.5) & (indices < last)).all(axis=0)
        return points + np.where(inside[:, None], moved, 0.0)

    return warp
