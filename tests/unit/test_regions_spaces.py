"""From one template space to another: by transforms, or as the configuration accepts it."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from braindata.config import load_region_config
from braindata.config_spaces import SpacesSection
from braindata.errors import DamageError, UsageError
from braindata.files import sha256_file
from braindata.planning import read_spaces
from braindata.regions.definition import Region
from braindata.regions.files import Placing, RegionFiles
from braindata.regions.resolve import resolve
from braindata.regions.spaces import DEFAULT_ACCEPTED, NATIVE, Spaces, Transform
from braindata.regions.warps import read_warp

from .region_images import entry, grid, mask, read_one, save, sphere, two_sides

FLIP = np.array([-1.0, -1.0, 1.0])


def field_image(seed: int = 0) -> sitk.Image:
    """A smooth displacement field on an oblique grid, in ITK's own conventions."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(scale=4, size=(9, 10, 11, 3))
    image = sitk.GetImageFromArray(vectors, isVector=True)
    image.SetSpacing((9.0, 10.0, 12.0))
    image.SetOrigin((-45.0, -50.0, -55.0))
    cosine, sine = np.cos(0.2), np.sin(0.2)
    image.SetDirection((cosine, -sine, 0, sine, cosine, 0, 0, 0, 1))
    return image


def points(n: int = 200) -> NDArray[np.float64]:
    return np.random.default_rng(1).uniform(-70, 70, size=(n, 3))


def by_itk(transform: sitk.Transform, at: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([transform.TransformPoint(p) for p in (at * FLIP).tolist()]) * FLIP


def affine_transform() -> sitk.AffineTransform:
    transform = sitk.AffineTransform(3)
    transform.SetCenter((3.0, -5.0, 8.0))
    transform.SetMatrix((1.02, 0.03, 0, -0.02, 0.97, 0.05, 0.01, 0, 1.05))
    transform.SetTranslation((2.0, -1.5, 4.0))
    return transform


def test_a_displacement_field_equals_itk(tmp_path: Path) -> None:
    image = field_image()
    path = tmp_path / "field.nii.gz"
    sitk.WriteImage(image, str(path))
    moved = read_warp(path, sha256_file(path))(points())
    expected = by_itk(sitk.DisplacementFieldTransform(sitk.Image(image)), points())
    assert np.abs(expected - points()).max() > 3
    # Orientation is stored in single precision.
    np.testing.assert_allclose(moved, expected, atol=2e-3)


def test_a_composite_equals_itk(tmp_path: Path) -> None:
    # As TemplateFlow ships them: an affine and a displacement field in one HDF5.
    field = sitk.DisplacementFieldTransform(field_image())
    shift = sitk.TranslationTransform(3, (1.0, 2.0, -3.0))
    for number, parts in enumerate(
        ([affine_transform(), field], [field, affine_transform(), shift], [affine_transform()])
    ):
        composite = sitk.CompositeTransform(list(parts))
        path = tmp_path / f"{number}.h5"
        sitk.WriteTransform(composite, str(path))
        moved = read_warp(path, sha256_file(path))(points())
        # Fields are kept in single precision.
        np.testing.assert_allclose(moved, by_itk(composite, points()), atol=1e-5)


def test_other_transforms_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "bspline.h5"
    sitk.WriteTransform(sitk.BSplineTransform(3), str(path))
    with pytest.raises(UsageError, match="it holds a BSplineTransform"):
        read_warp(path, sha256_file(path))
    path = save(tmp_path / "image.nii.gz", two_sides())
    with pytest.raises(UsageError, match="no displacement field: its shape is 40 × 48 × 40"):
        read_warp(path, sha256_file(path))
    path = tmp_path / "text.h5"
    path.write_text("no HDF5")
    with pytest.raises(DamageError, match="altered, or cut off"):
        read_warp(path, "0" * 64)
    with pytest.raises(UsageError, match="this is no ITK transform"):
        read_warp(path, sha256_file(path))


def shift_field(path: Path, shift: tuple[float, float, float]) -> str:
    """Write a field that maps every point p of the images to p + `shift` (RAS) in the region."""
    vectors = np.tile((np.array(shift) * FLIP).astype(np.float32), (10, 12, 10, 1, 1))
    image = nib.Nifti1Image(vectors, grid((10, 12, 10), 20.0))
    image.header.set_intent("vector")
    nib.save(image, path)
    return sha256_file(path)


def placing_by(path: Path, start: str, files: dict[str, Path]) -> Placing:
    sha256 = sha256_file(path)
    spaces = Spaces(transforms=(Transform(start=start, end=NATIVE, sha256=sha256),))
    return Placing(RegionFiles(local={**files, sha256: path}), spaces)


@pytest.mark.parametrize("kind", ["mask", "spheres"])
def test_every_kind_is_carried_by_a_transform(tmp_path: Path, kind: str) -> None:
    data = (two_sides() == 1).astype(np.uint8)
    save(tmp_path / "mask.nii.gz", data)
    definition = mask() if kind == "mask" else sphere((-30, 6, 4), 16)
    region, placing = read_one(tmp_path, entry("r", definition, space="MNI152NLin6Asym"))
    path = tmp_path / "field.nii.gz"
    shift_field(path, (8.0, -4.0, 12.0))
    nothing = np.ones(data.shape, np.float32)
    at_home = resolve(region, grid(), data.shape, nothing, None, placing)
    placing = placing_by(path, "MNI152NLin6Asym", dict(placing.files.local))
    carried = resolve(region, grid(), data.shape, nothing, NATIVE, placing)
    assert (at_home.placement, carried.placement) == ("same space", "transformed")
    # What is at p + shift in the region's space is at p in the images'.
    full = np.zeros(data.shape, bool)
    full.ravel()[at_home.voxels] = True
    expected = np.roll(full, (-2, 1, -3), axis=(0, 1, 2))
    assert carried.voxels.tolist() == np.flatnonzero(expected).tolist()


def made(space: str) -> Region:
    return Region.model_validate(
        {"level": "valuation", **entry("r", sphere((-30, 6, 4), 16), space=space)}
    )


def test_other_spaces_must_be_accepted() -> None:
    shape = two_sides().shape
    ones = np.ones(shape, np.float32)
    for space, placement in (("MNI152", "accepted"), (NATIVE, "same space")):
        assert resolve(made(space), grid(), shape, ones, NATIVE).placement == placement
    with pytest.raises(UsageError, match="r: it is defined in MNI152Lin, the images are in") as e:
        resolve(made("MNI152Lin"), grid(), shape, ones, NATIVE)
    assert f"[MNI152Lin, {NATIVE}] to `spaces: accepted:`" in str(e.value.hint)
    with pytest.raises(UsageError, match="the images are in MNI152NLin2009bSym"):
        resolve(made("MNI152"), grid(), shape, ones, "MNI152NLin2009bSym")
    for images in ("MNI152NLin2009cAsym", "MNI152NLin6Asym"):
        assert resolve(made("MNI152"), grid(), shape, ones, images).placement == "accepted"


def test_only_what_concerns_a_region_is_told_to_its_job() -> None:
    one = Transform(start="MNI152Lin", end=NATIVE, sha256="0" * 64)
    spaces = Spaces(accepted=(*DEFAULT_ACCEPTED, ("MNI152Lin", NATIVE)), transforms=(one,))
    kept = spaces.concerning({"MNI152"})
    images = (NATIVE, "MNI152NLin2009cAsym", "MNI152NLin6Asym")
    assert kept == Spaces(accepted=tuple(("MNI152", one) for one in images), transforms=())
    assert kept == Spaces().concerning({"MNI152"})
    assert spaces.concerning({"MNI152Lin"}).transforms == (one,)
    assert spaces.concerning({NATIVE}) == Spaces(accepted=(), transforms=())


@pytest.mark.parametrize(
    ("spaces", "says"),
    [
        (
            {"transforms": [{"form": "MNI152Lin", "to": NATIVE, "file": "x.h5"}]},
            "did you mean from",
        ),
        ({"transforms": [{"from": "MNI152Lin", "to": NATIVE, "file": "gone.h5"}]}, "no gone.h5"),
        ({"transforms": [{"from": "Talairach", "to": NATIVE, "file": "x.h5"}]}, r"transforms\.0"),
        (
            {"transforms": [{"from": "MNI152", "to": NATIVE, "file": "x.h5"}] * 2},
            "two transforms have the same from and to",
        ),
        ({"accepted": [["MNI152", NATIVE, NATIVE]]}, r"spaces.accepted.0 .* must have 2 entries"),
        ({"accept": []}, "did you mean accepted"),
    ],
)
def test_wrong_configurations_are_told(
    tmp_path: Path, spaces: dict[str, object], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.h5").write_text("some transform")
    (tmp_path / "mine.yaml").write_text("")
    with pytest.raises(UsageError, match=says):
        load_region_config({"regions": "mine.yaml", "spaces": spaces}, [])


def test_a_transform_of_another_format_is_refused_while_planning(tmp_path: Path) -> None:
    (tmp_path / "x.mat").write_text("some transform")
    stated = {"from": "MNI152", "to": NATIVE, "file": str(tmp_path / "x.mat")}
    with pytest.raises(UsageError, match="no transform that can be read"):
        read_spaces(SpacesSection.model_validate({"transforms": [stated]}))


def test_a_transform_must_be_the_one_that_is_stated(tmp_path: Path) -> None:
    (tmp_path / "x.h5").write_text("some transform")
    stated = {"from": "MNI152", "to": NATIVE, "file": str(tmp_path / "x.h5"), "sha256": "0" * 64}
    with pytest.raises(UsageError, match=r"its sha256 is [0-9a-f]{64}, stated is 0000"):
        read_spaces(SpacesSection.model_validate({"transforms": [stated]}))
