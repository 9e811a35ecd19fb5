"""antspyx and itk-elastix on the head motion that the fMRI bench simulates, where they are there.

Both register volumes to the reference that braindata uses, rigidly, by their usual recipe: three
levels, correlation as the metric, linear interpolation as they have it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from braindata.fmri.images import Image

Array = NDArray[np.float64]
Aligner = Callable[[NDArray[np.float32]], Array]
_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


def peers(reference: Image) -> dict[str, Aligner]:
    """Return what aligns a volume on the reference's grid: reference to volume, mm, RAS+."""
    found = {}
    if find_spec("ants") is not None:
        found["antspyx"] = _ants(reference)
    if find_spec("itk") is not None:
        found["itk-elastix"] = _elastix(reference)
    return found


def timed(aligner: Aligner, volumes: list[NDArray[np.float32]]) -> tuple[Array, float]:
    """Return the transforms of volumes and the CPU seconds that one took."""
    aligner(volumes[0])
    start = time.process_time()
    matrices = np.stack([aligner(volume) for volume in volumes])
    return matrices, (time.process_time() - start) / len(volumes)


def _grid(reference: Image) -> tuple[Array, list[float], list[float]]:
    """Return direction, origin and spacing as ITK has them, in LPS+."""
    lps = _FLIP @ reference.affine
    spacing = reference.zooms
    return lps[:3, :3] / spacing, list(lps[:3, 3]), list(spacing)


def _matrix(rotation: Array, translation: Array, centre: Array) -> Array:
    lps = np.eye(4)
    lps[:3, :3] = rotation
    lps[:3, 3] = translation + centre - rotation @ centre
    return _FLIP @ lps @ _FLIP


def _ants(reference: Image) -> Aligner:
    import ants

    direction, origin, spacing = _grid(reference)

    def image(data: NDArray[np.float32]) -> object:
        return ants.from_numpy(
            np.ascontiguousarray(data), origin=origin, spacing=spacing, direction=direction
        )

    fixed = image(reference.data)

    def align(volume: NDArray[np.float32]) -> Array:
        # As `ants.motion_correction` has it by default.
        result = ants.registration(
            fixed, image(volume), type_of_transform="BOLDRigid", random_seed=1
        )
        transform = ants.read_transform(result["fwdtransforms"][0])
        values = np.array(transform.parameters)
        fixed_values = np.array(transform.fixed_parameters)
        if transform.type == "Euler3DTransform":
            raise ValueError("an Euler transform, where a matrix is due")
        return _matrix(values[:9].reshape(3, 3), values[9:], fixed_values)

    return align


def _elastix(reference: Image) -> Aligner:
    import itk

    direction, origin, spacing = _grid(reference)

    def image(data: NDArray[np.float32]) -> object:
        made = itk.image_from_array(np.ascontiguousarray(data.transpose(2, 1, 0)))
        made.SetOrigin(origin)
        made.SetSpacing(spacing)
        made.SetDirection(itk.matrix_from_array(np.ascontiguousarray(direction)))
        return made

    parameters = itk.ParameterObject.New()
    rigid = parameters.GetDefaultParameterMap("rigid", 3)
    rigid["WriteResultImage"] = ["false"]
    parameters.AddParameterMap(rigid)
    fixed = image(reference.data)

    def align(volume: NDArray[np.float32]) -> Array:
        _, result = itk.elastix_registration_method(
            fixed, image(volume), parameter_object=parameters, number_of_threads=1
        )
        found = result.GetParameterMap(0)
        values = np.array([float(v) for v in found["TransformParameters"]])
        centre = np.array([float(v) for v in found["CenterOfRotationPoint"]])
        rx, ry, rz = values[:3]
        cx, sx, cy, sy, cz, sz = (f(a) for a in (rx, ry, rz) for f in (np.cos, np.sin))
        turns = [
            np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]]),
            np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]]),
            np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]]),
        ]
        # ITK's Euler3DTransform: Rz Rx Ry unless ZYX is asked for.
        return _matrix(turns[2] @ turns[0] @ turns[1], values[3:], centre)

    return align
