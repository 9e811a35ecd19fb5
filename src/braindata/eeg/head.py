"""The head of fsaverage as three nested surfaces, and where it lies among the templates.

The wheel of mne holds its inner skull and its scalp (FreeSurfer's average of 40 people, Fischl et
al. 1999, doi:10.1002/(SICI)1097-0193(1999)8:4<272::AID-HBM10>3.0.CO;2-4), and no outer skull: that
one is made between them, see `outer_skull`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, eye_array
from scipy.spatial import cKDTree

from braindata.errors import BraindataError
from braindata.files import scratch_folder

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

# fsaverage's surface coordinates are MNI305; FreeSurfer's affine from there to MNI152, in mm:
# number 8 of https://surfer.nmr.mgh.harvard.edu/fswiki/CoordinateSystems
MNI305_TO_MNI152 = np.array(
    [
        [0.9975, -0.0073, 0.0176, -0.0429],
        [0.0146, 1.0009, -0.0024, 1.5496],
        [-0.0130, -0.0093, 0.9971, 1.1840],
        [0, 0, 0, 1],
    ]
)
# m. Of adults the means of the frontal, parietal and occipital bones are 5.4 to 8.2 mm (CT of 3,000
# people: Li, Ruan, Xie, Wang & Liu 2007, International Journal of Vehicle Safety 2(4)); it is
# thinner at the sides.
SKULL_THICKNESS = 0.006
# Where the way from the inner skull to the scalp is short, the skull takes this share of it.
SKULL_SHARE = 0.5
# How often the normals are averaged with their neighbours': along the plain ones the outer skull
# would fold in the fissures of the skull base. The least number for which it is nested.
SMOOTHING = 5


@dataclass(frozen=True)
class Surface:
    """A closed surface of triangles.

    Attributes
    ----------
    vertices : ndarray, shape (n_vertices, 3)
        In m.
    triangles : ndarray of int, shape (n_triangles, 3)
        Indices of the corners, anticlockwise as seen from outside.
    """

    vertices: Floats
    triangles: Indices

    @property
    def normals(self) -> Floats:
        """Outward unit normals at the vertices, weighted by the areas around them."""
        a, b, c = np.moveaxis(self.vertices[self.triangles], 1, 0)
        area = np.cross(b - a, c - a)
        normals = np.zeros_like(self.vertices)
        for corner in range(3):
            np.add.at(normals, self.triangles[:, corner], area)
        return _unit(normals)


@dataclass(frozen=True)
class Head:
    """Three nested surfaces, in fsaverage's surface coordinates (MNI305) in m."""

    scalp: Surface
    outer_skull: Surface
    inner_skull: Surface


def read_head(ico: int = 4) -> Head:
    """Return the head of fsaverage.

    Parameters
    ----------
    ico : int
        Grade of the icosahedron to which both surfaces of the skull are decimated: 3 has 642
        vertices, 4 has 2,562. The scalp stays as it is, 2,033 vertices.

    Raises
    ------
    BraindataError
        When mne does not hold the surfaces any more.
    """
    scalp = _read("fsaverage-head.fif")
    inner = _decimate(_read("fsaverage-inner_skull-bem.fif"), ico)
    return Head(scalp, Surface(outer_skull(inner, scalp), inner.triangles), inner)


def outer_skull(inner: Surface, scalp: Surface) -> Floats:
    """Return an outer skull: the inner one moved outwards.

    Along its smoothed normals, by `SKULL_THICKNESS`, and no further than `SKULL_SHARE` of the
    distance to the scalp.

    Parameters
    ----------
    inner, scalp : Surface
        The surfaces on both sides.

    Returns
    -------
    ndarray, shape (n_vertices of the inner skull, 3)
        Vertices in m.
    """
    corners = scalp.vertices[scalp.triangles]
    # Corners, middles of edges and centres, as the scalp's triangles are 9 mm wide.
    edges = (corners + np.roll(corners, 1, axis=1)) / 2
    samples = np.concatenate([scalp.vertices, edges.reshape(-1, 3), corners.mean(axis=1)])
    distance, _ = cKDTree(samples).query(inner.vertices)
    n = len(inner.vertices)
    start = inner.triangles.ravel()
    end = np.roll(inner.triangles, 1, axis=1).ravel()
    # Each edge belongs to two triangles, which go along it in opposite senses.
    neighbours = coo_matrix((np.ones(len(start)), (start, end)), (n, n)).tocsr()
    average = neighbours + eye_array(n, format="csr")
    direction = inner.normals
    for _ in range(SMOOTHING):
        direction = _unit(np.asarray(average @ direction))
    thickness = np.minimum(SKULL_THICKNESS, SKULL_SHARE * distance)
    moved: Floats = inner.vertices + thickness[:, np.newaxis] * direction
    return moved


@lru_cache(maxsize=1)
def head_to_mri() -> Floats:
    """Return the affine (4, 4) from mne's head coordinates to fsaverage's surface ones, in m."""
    import mne

    matrix = mne.read_trans(_file("fsaverage-trans.fif"), verbose="ERROR")["trans"]
    return np.asarray(matrix, np.float64)


def mni_to_mri(points: Floats) -> Floats:
    """Return MNI152 coordinates (n, 3) in mm as surface coordinates of fsaverage in m."""
    return apply_affine(np.linalg.inv(MNI305_TO_MNI152), points) / 1000


def mri_to_mni(points: Floats) -> Floats:
    """Return surface coordinates (n, 3) of fsaverage in m as MNI152 coordinates in mm."""
    return apply_affine(MNI305_TO_MNI152, points * 1000)


def mri_to_head(points: Floats) -> Floats:
    """Return surface coordinates (n, 3) of fsaverage in m as mne's head coordinates in m."""
    return apply_affine(np.asarray(np.linalg.inv(head_to_mri()), np.float64), points)


def apply_affine(affine: Floats, points: Floats) -> Floats:
    """Return points (n, 3) after an affine (4, 4)."""
    moved: Floats = points @ affine[:3, :3].T + affine[:3, 3]
    return moved


def _read(name: str) -> Surface:
    import mne

    (surface,) = mne.read_bem_surfaces(_file(name), verbose="ERROR")
    return Surface(surface["rr"].astype(np.float64), surface["tris"].astype(np.int64))


def _file(name: str) -> Path:
    package = find_spec("mne")
    folder = Path(package.origin).parent if package and package.origin else Path("mne")
    path = folder / "data" / "fsaverage" / name
    if not path.is_file():
        raise BraindataError(
            "the head of fsaverage is not where mne had it",
            file=path,
            hint="install the version of mne that uv.lock names",
        )
    return path


def _decimate(surface: Surface, ico: int) -> Surface:
    """Return the inner skull as a coarser icosahedron.

    mne knows how the vertices of the two correspond, and does it while it reads a model.
    """
    import mne

    with scratch_folder() as folder:
        path = folder / "fsaverage" / "bem" / "inner_skull.surf"
        path.parent.mkdir(parents=True)
        write_surface(path, surface)
        (coarse,) = mne.make_bem_model(
            "fsaverage", ico=ico, conductivity=(0.3,), subjects_dir=folder, verbose="ERROR"
        )
    return Surface(coarse["rr"].astype(np.float64), coarse["tris"].astype(np.int64))


def write_surface(path: Path, surface: Surface) -> None:
    """Write a surface as FreeSurfer has it, in mm, its header without user and time."""
    import mne

    mne.write_surface(
        path, surface.vertices * 1000, surface.triangles, create_stamp="", overwrite=True
    )


def _unit(vectors: Floats) -> Floats:
    unit: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
