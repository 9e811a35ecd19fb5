"""What a dipole in the brain does to an electrode: the forward model, made once for all montages.

The potential on a boundary element is linear between its corners, so an electrode's lead field is a
mixture of those of the scalp's vertices around it. Those are computed once (`make_lead_fields`) and
kept in a file; a montage then costs a product with a sparse matrix, and no solution of the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from braindata.eeg.head import (
    SKULL_THICKNESS,
    Floats,
    Head,
    Indices,
    Surface,
    head_to_mri,
    mni_to_mri,
    mri_to_head,
    read_head,
    write_surface,
)
from braindata.eeg.scalp import interpolate
from braindata.errors import DamageError
from braindata.files import atomic_path, scratch_folder
from braindata.regions.template import template_grid

Model = Literal["bem", "sphere"]

# Brain, skull and scalp in S/m: the default of mne, whose models these are to be comparable with.
CONDUCTIVITY = (0.3, 0.006, 0.3)
# The head that montages are tried on, see `braindata.eeg.resolution`.
# S/m. Skull and scalp: the weighted means over studies in McCann, Pisano & Beltrachini 2019,
# doi:10.1007/s10548-019-00710-2; brain: between its grey (0.47) and white matter (0.22).
SIMULATED = (0.35, 0.02, 0.41)
# mm by which the grid of simulated sources is moved: no two points are shared.
SIMULATED_SHIFT = 3.0
# m. Sources keep this distance from the inner skull, as mne's volume source spaces do: nearer than
# an element is wide, its solution is not to be trusted.
MINDIST = 0.005
# m, above which vertices of the scalp are kept: electrodes of the cheeks and neck are included.
LOWEST = -0.1
# Share of grey matter from which a point of the template is a source.
GREY_MATTER = 0.3
FORMAT = 1


@dataclass(frozen=True)
class LeadFields:
    """Potentials of the scalp for unit dipoles in the grey matter.

    Attributes
    ----------
    scalp : Surface
        The scalp in mne's head coordinates of fsaverage, in m.
    sources : ndarray, shape (n_sources, 3)
        Where the dipoles are, in mm of MNI152.
    values : ndarray of float32, shape (n_vertices, n_sources, 3)
        V at each vertex of the scalp for 1 A·m to the right, to the front and upwards.
    spacing : float
        mm between neighbouring sources.
    model : {"bem", "sphere"}
        Three layers of fsaverage, or concentric spheres.
    conductivity : tuple of float
        Of brain, skull and scalp in S/m.
    """

    scalp: Surface
    sources: Floats
    values: NDArray[np.float32]
    spacing: float
    model: Model
    conductivity: tuple[float, float, float]

    def at(self, positions: Floats) -> Floats:
        """Return the lead field of electrodes.

        Parameters
        ----------
        positions : ndarray, shape (n_channels, 3)
            Head coordinates of fsaverage in m; each goes to the nearest point of the scalp. See
            `braindata.eeg.scalp.fit_positions` for those of another head.

        Returns
        -------
        ndarray, shape (n_channels, n_sources, 3)
            V for 1 A·m, against infinity: the reference is not applied.
        """
        weights = interpolate(self.scalp, positions)
        flat = self.values.reshape(len(self.values), -1)
        mixed = sum(
            weights.shares[:, corner, np.newaxis] * flat[weights.vertices[:, corner]]
            for corner in range(3)
        )
        return np.asarray(mixed, np.float64).reshape(len(positions), -1, 3)


def grey_matter_grid(spacing: int, shift: float = 0.0) -> Floats:
    """Return the points of a grid that are grey matter of the template.

    Parameters
    ----------
    spacing : int
        mm between neighbours.
    shift : float
        mm by which the grid is moved along each axis, for a grid that shares no point.

    Returns
    -------
    ndarray, shape (n_points, 3)
        In mm of MNI152, sorted.
    """
    template = template_grid(2)
    probability = template.grey_matter
    low = template.affine[:3, 3]
    high = low + template.affine[0, 0] * (np.array(template.shape) - 1)
    axes = [
        np.arange(np.ceil(a / spacing) * spacing + shift, b, spacing)
        for a, b in zip(low, high, strict=True)
    ]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    voxels = np.rint((points - low) / template.affine[0, 0]).astype(np.int64)
    inside = probability[tuple(voxels.T)] >= GREY_MATTER
    chosen: Floats = points[inside]
    return chosen


def make_lead_fields(
    spacing: int = 7,
    *,
    shift: float = 0.0,
    ico: int = 4,
    conductivity: tuple[float, float, float] = CONDUCTIVITY,
    model: Model = "bem",
) -> LeadFields:
    """Compute the lead fields of the template head.

    Parameters
    ----------
    spacing : int
        mm between sources.
    shift : float
        mm by which their grid is moved.
    ico : int
        Fineness of the skull's surfaces, see `read_head`. 4 takes about a CPU minute, 3 ten
        seconds.
    conductivity : tuple of float
        Of brain, skull and scalp in S/m.
    model : {"bem", "sphere"}
        Boundary elements (linear collocation; Mosher, Leahy & Lewis 1999, doi:10.1109/10.748978),
        or spheres (Berg & Scherg 1994, doi:10.1016/0013-4694(94)90113-9) that are fitted to the
        scalp, where a quick model will do.

    Returns
    -------
    LeadFields
        With all sources that are at least `MINDIST` inside the inner skull.
    """
    import mne

    head = read_head(ico)
    conductor = _bem(head, conductivity) if model == "bem" else _sphere(head, conductivity)
    scalp = _above(head.scalp, LOWEST)
    scalp = Surface(mri_to_head(scalp.vertices), scalp.triangles)
    sources = grey_matter_grid(spacing, shift)
    points = mni_to_mri(sources)
    electrodes, to_mri, mindist = scalp.vertices, head_to_mri(), MINDIST
    if model == "sphere":
        # All in head coordinates: mne looks for sources outside a sphere without the transform.
        points, to_mri, mindist = _into_sphere(mri_to_head(points), conductor), np.eye(4), 0.0
        electrodes = _onto_sphere(electrodes, conductor)
    forward = mne.make_forward_solution(
        _electrodes(electrodes),
        mne.transforms.Transform("head", "mri", to_mri),
        mne.setup_volume_source_space(
            pos={"rr": points, "nn": np.tile([0.0, 0.0, 1.0], (len(points), 1))}, verbose="ERROR"
        ),
        conductor,
        meg=False,
        mindist=mindist * 1000,
        verbose="ERROR",
    )
    (space,) = forward["src"]
    kept = space["vertno"]
    # Rows are electrodes, columns the axes of head coordinates for each source.
    in_head = forward["sol"]["data"].reshape(len(scalp.vertices), len(kept), 3)
    values = in_head @ head_to_mri()[:3, :3].T
    return LeadFields(
        scalp=scalp,
        sources=sources[kept],
        values=values.astype(np.float32),
        spacing=float(spacing),
        model=model,
        conductivity=conductivity,
    )


def write_lead_fields(fields: LeadFields, path: Path) -> None:
    """Write lead fields to an HDF5 file; the same ones give the same bytes."""
    arrays = {
        "vertices": fields.scalp.vertices,
        "triangles": fields.scalp.triangles,
        "sources": fields.sources,
        "values": fields.values,
    }
    with atomic_path(path) as part, h5py.File(part, "w", libver="v110") as file:
        file.attrs["format"] = FORMAT
        file.attrs["spacing"] = fields.spacing
        file.attrs["model"] = fields.model
        file.attrs["conductivity"] = fields.conductivity
        for name, array in arrays.items():
            file.create_dataset(name, data=array, track_times=False)


def read_lead_fields(path: Path) -> LeadFields:
    """Read lead fields from a file.

    Raises
    ------
    DamageError
        When the file is missing, damaged, or of another version.
    """
    try:
        with h5py.File(path) as file:
            if file.attrs["format"] != FORMAT:
                raise DamageError("the lead fields are of another version", file=path, hint=_AGAIN)
            first, second, third = file.attrs["conductivity"].tolist()
            return LeadFields(
                scalp=Surface(file["vertices"][()], file["triangles"][()]),
                sources=file["sources"][()],
                values=file["values"][()],
                spacing=float(file.attrs["spacing"]),
                model=file.attrs["model"],
                conductivity=(first, second, third),
            )
    except (OSError, KeyError) as error:
        raise DamageError("the lead fields cannot be read", file=path, hint=_AGAIN) from error


_AGAIN = "delete the file and run again: it is made anew"


def _bem(head: Head, conductivity: tuple[float, float, float]) -> Any:
    """Return mne's solution for three layers."""
    import mne

    with scratch_folder() as folder:
        bem = folder / "fsaverage" / "bem"
        bem.mkdir(parents=True)
        write_surface(bem / "inner_skull.surf", head.inner_skull)
        write_surface(bem / "outer_skull.surf", head.outer_skull)
        write_surface(bem / "outer_skin.surf", head.scalp)
        # Which checks that they are closed and nested.
        layers = mne.make_bem_model(
            "fsaverage", ico=None, conductivity=conductivity, subjects_dir=folder, verbose="ERROR"
        )
    return mne.make_bem_solution(layers, verbose="ERROR")


def _sphere(head: Head, conductivity: tuple[float, float, float]) -> Any:
    """Return mne's spheres: the outermost fits the scalp above the ears and brow."""
    import mne

    points = mri_to_head(head.scalp.vertices)
    above = points[points[:, 2] > 0]
    # |p|² = 2 p·c + (r² - |c|²) is linear in the centre c.
    design = np.column_stack([2 * above, np.ones(len(above))])
    solution, *_ = np.linalg.lstsq(design, (above**2).sum(axis=1))
    center = solution[:3]
    radius = float(np.sqrt(solution[3] + center @ center))
    inner = np.linalg.norm(mri_to_head(head.inner_skull.vertices) - center, axis=1)
    brain, skull, scalp = conductivity
    share = float(np.median(inner)) / radius
    return mne.make_sphere_model(
        r0=center,
        head_radius=radius,
        relative_radii=(share, share + SKULL_THICKNESS / radius, 1.0),
        sigmas=(brain, skull, scalp),
        verbose="ERROR",
    )


def _into_sphere(points: Floats, conductor: Any) -> Floats:
    """Return sources that lie outside the innermost sphere on its edge: heads are no spheres."""
    center = conductor["r0"]
    limit = float(conductor["layers"][0]["rad"]) - MINDIST
    offset = points - center
    share = np.minimum(1, limit / np.linalg.norm(offset, axis=1, keepdims=True))
    moved: Floats = center + share * offset
    return moved


def _onto_sphere(positions: Floats, conductor: Any) -> Floats:
    """Return electrodes on the outermost sphere, where mne expects them."""
    offset = positions - conductor["r0"]
    radius = float(conductor["layers"][-1]["rad"])
    moved: Floats = conductor["r0"] + radius * offset / np.linalg.norm(
        offset, axis=1, keepdims=True
    )
    return moved


def _electrodes(positions: Floats) -> Any:
    """Return what mne knows of a recording with an electrode at each of these positions."""
    import mne

    names = [f"v{number:04d}" for number in range(len(positions))]
    info = mne.create_info(names, 1.0, "eeg", verbose="ERROR")
    montage = mne.channels.make_dig_montage(
        dict(zip(names, positions, strict=True)), coord_frame="head"
    )
    return info.set_montage(montage, verbose="ERROR")


def _above(surface: Surface, z: float) -> Surface:
    """Return the part of a surface that is above a height in m."""
    kept = surface.vertices[:, 2] > z
    triangles = surface.triangles[kept[surface.triangles].all(axis=1)]
    used = np.zeros(len(kept), bool)
    used[triangles.ravel()] = True
    number: Indices = np.cumsum(used) - 1
    return Surface(surface.vertices[used], number[triangles])
