"""Response hyperalignment: people who saw the same, rotated onto each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from braindata.align.base import Hyperalignment
from braindata.align.procrustes import (
    Array,
    Person,
    Rotation,
    fit_rotation,
    generalised,
    mean_of_rows,
    polar,
)
from braindata.align.runs import Rows, place, shared_rows
from braindata.align.shared import mean_response, shared_bases
from braindata.align.template import Template
from braindata.errors import DataError, UsageError

STARTS = ("anatomy", "shared")
# The response to begin with: more dimensions than a region's film response was found to need, and
# rounds enough for a start.
START_RANK = 50
START_ROUNDS = 4


class ResponseHyperalignment(Hyperalignment):
    """Generalised Procrustes on responses to the same stimuli (Haxby et al. 2011).

    Parameters
    ----------
    n_iter : int
        Rounds; each fits everybody to the mean of the last.
    start : {'anatomy', 'shared'}
        What the first round fits to: the mean voxel by voxel, or the response that people share in
        a few dimensions, placed where their anatomy agrees best, and that mean in all others. With
        the latter one round is enough, in half of the time.
    scaling, reflection : bool
        Whether maps may scale, and mirror.
    shrinkage : float or 'auto'
        Of the whitening that comes first (see `whitening`); 1 for none, the classical form. 'auto',
        here and below, takes what matches people best on inner runs.
    weighting : bool
        Whether common dimensions are the principal ones, weighted by their reliability.
    prior : float or 'auto'
        How much maps are drawn to anatomy, each voxel to itself; 1 weighs as much as the data.
        Needs the same voxels in everybody.
    center : bool
        Whether each voxel is centred within each run before fitting.
    dtype : {'float32', 'float64'}
    seed : int
        Of the shared start.
    parcellation : str
        Hash of the voxels, recorded.
    """

    def __init__(
        self,
        *,
        n_iter: int = 2,
        start: str = "anatomy",
        scaling: bool = False,
        reflection: bool = True,
        shrinkage: float | str = 0.5,
        weighting: bool = True,
        prior: float | str = 0.0,
        center: bool = True,
        dtype: str = "float32",
        seed: int = 0,
        parcellation: str = "",
    ):
        super().__init__(
            shrinkage=shrinkage,
            weighting=weighting,
            prior=prior,
            center=center,
            dtype=dtype,
            seed=seed,
            parcellation=parcellation,
        )
        if n_iter < 1:
            raise UsageError(f"n_iter is {n_iter}, and must be at least 1")
        if start not in STARTS:
            raise UsageError(f"start is {start!r}, not one of {', '.join(STARTS)}")
        self.n_iter = n_iter
        self.start = start
        self.scaling = scaling
        self.reflection = reflection

    def parameters(self) -> dict[str, Any]:
        """Return what the template is made with."""
        own = {
            "n_iter": self.n_iter,
            "start": self.start,
            "scaling": self.scaling,
            "reflection": self.reflection,
        }
        return super().parameters() | own

    def _rows(self, checked: Mapping[str, Mapping[str, Array]]) -> Rows:
        return shared_rows(checked)

    def _place(self, subject: str, runs: Mapping[str, Array], rows: Rows) -> Person:
        return place(subject, runs, rows)

    def _fit_group(
        self, people: list[Person], rows: Rows
    ) -> tuple[Array, list[Rotation], Array | None]:
        response, rotations = generalised(
            people,
            self._start(people, rows),
            n_iter=self.n_iter,
            scaling=self.scaling,
            reflection=self.reflection,
            prior=self.prior_,
        )
        return response, rotations, None

    def _start(self, people: list[Person], rows: Rows) -> Array:
        widths = [person.series.shape[1] for person in people]
        shape = (rows.n_rows, max(widths))
        alike = len(set(widths)) == 1
        if self.prior_ and not alike:
            raise DataError(
                f"the prior needs the same voxels in everybody, who have {sorted(set(widths))}",
                hint="sample everybody on one grid, or set the prior to 0",
            )
        # Where voxels differ, begin with the one who has most of them, then most rows.
        first = max(range(len(people)), key=lambda i: (widths[i], len(people[i].rows)))
        if alike:
            start = mean_of_rows(((p.rows, p.series) for p in people), shape, self.dtype)
        else:
            start = np.zeros(shape, self.dtype)
            start[people[first].rows] = people[first].series
        if self.start == "anatomy":
            return start
        rank = min(START_RANK, min(widths) // 4, min(len(p.rows) for p in people) // 4)
        if rank == 0:
            return start
        bases = shared_bases(people, rows.n_rows, rank, START_ROUNDS, self.seed)
        response = mean_response(people, bases, rows.n_rows)
        place_of = polar(sum(bases[1:], bases[0]))[0] if alike else bases[first]
        placed: Array = start + (response - start @ place_of) @ place_of.T
        return placed

    def _fit_person(self, person: Person, template: Template) -> Rotation:
        if self.prior_ and person.series.shape[1] != template.response.shape[1]:
            raise DataError(
                f"the prior needs the template's {template.response.shape[1]} voxels, and the"
                f" person has {person.series.shape[1]}",
                hint="sample everybody on one grid, or set the prior to 0",
            )
        return fit_rotation(
            person.series,
            template.response[person.rows],
            scaling=self.scaling,
            reflection=self.reflection,
            prior=self.prior_,
        )
