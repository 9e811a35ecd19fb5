"""Native fMRI preprocessing of one person (or session): raw images in, BIDS derivatives out.

The T1w image is registered to MNI152NLin2009aSym; each run is corrected for head motion and slice
timing, registered to the T1w image, and brought to the template in one interpolation. Without a
T1w image it is registered to the template itself. Susceptibility distortion is not corrected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from braindata.errors import DataError
from braindata.fmri.anatomical_outputs import write_anatomy
from braindata.fmri.anatomy import Anatomy, analyse_anatomy
from braindata.fmri.coregistration import Boundary, white_matter_boundary
from braindata.fmri.defacing import looks_defaced
from braindata.fmri.images import load_volume
from braindata.fmri.outputs import Names, describe_dataset
from braindata.fmri.parameters import NativeParameters
from braindata.fmri.run import BoldRun, RunResult, Unit, preprocess_run
from braindata.fmri.template import SPACE, Template, load_template
from braindata.receipts import Outcome

__all__ = [
    "SPACE",
    "AnatomicalImage",
    "BoldRun",
    "NativeParameters",
    "RunResult",
    "preprocess_unit",
]


@dataclass(frozen=True)
class AnatomicalImage:
    """A T1w image.

    Attributes
    ----------
    stem : str
        Its BIDS stem with suffix: ``sub-02_T1w``.
    path : Path
        The image.
    """

    stem: str
    path: Path


def preprocess_unit(
    runs: Sequence[BoldRun],
    t1w: AnatomicalImage | None,
    derivatives: Path,
    parameters: NativeParameters,
    scratch: Path,
) -> tuple[list[Path], dict[str, RunResult]]:
    """Preprocess the runs that share one T1w image, or have none.

    Parameters
    ----------
    runs : sequence of BoldRun
        The runs.
    t1w : AnatomicalImage or None
        Their T1w image; without one, each run is registered to the template itself.
    derivatives : Path
        Root of the BIDS derivatives; made if it is not there.
    parameters : NativeParameters
        What changes the result.
    scratch : Path
        An existing folder for temporary files.

    Returns
    -------
    anatomical : list of Path
        What was written about the T1w image.
    results : dict of str to RunResult
        By recording. A run whose data are bad is quarantined; the others go on.

    Raises
    ------
    DataError
        When the T1w image is unusable: then no run can be normalised as it should be.
    """
    template = load_template(parameters.resolution)
    anatomy, boundary, defaced = None, None, None
    if t1w is not None:
        anatomy, boundary, defaced = _analyse(t1w, template, parameters, scratch)
    describe_dataset(derivatives)
    anatomical = []
    if t1w is not None and anatomy is not None:
        names = Names.of(derivatives, t1w.stem, "anat", SPACE, parameters.resolution)
        anatomical = write_anatomy(anatomy, template, names)
    unit = Unit(template, anatomy, boundary, parameters, derivatives, scratch)
    results = {}
    for run in runs:
        try:
            result = preprocess_run(run, unit)
            results[run.recording] = replace(
                result, quality={**result.quality, "t1w_defaced": defaced}
            )
        except DataError as error:
            # Outputs of an earlier attempt, when the data were still good, would mislead.
            for path in unit.paths(run.recording).values():
                path.unlink(missing_ok=True)
            outcome = Outcome.quarantine(_in_file(error, run.bold))
            results[run.recording] = RunResult(outcome)
    return anatomical, results


def _analyse(
    t1w: AnatomicalImage, template: Template, parameters: NativeParameters, scratch: Path
) -> tuple[Anatomy, Boundary, str]:
    try:
        volume = load_volume(t1w.path)
        anatomy = analyse_anatomy(volume, template, parameters.seed, scratch)
        defaced = looks_defaced(volume.data, volume.affine)
        return anatomy, white_matter_boundary(anatomy), defaced
    except DataError as error:
        raise _in_file(error, t1w.path) from error


def _in_file(error: DataError, path: Path) -> DataError:
    return DataError(error.problem, file=error.file or path, hint=error.hint)
