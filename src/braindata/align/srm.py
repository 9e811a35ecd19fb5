"""The deterministic shared response model: a few dimensions that all people have in common.

Chen et al. 2015, "A reduced-dimension fMRI shared response model", NeurIPS 28. How
the members' bases are found: `shared`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from braindata.align.base import AUTO, PRIORS, SHRINKAGES, Hyperalignment
from braindata.align.procrustes import (
    Array,
    Person,
    Rotation,
    fit_rotation,
    polar_tall,
)
from braindata.align.runs import Rows, place, shared_rows
from braindata.align.shared import mean_response, shared_bases
from braindata.align.template import Template
from braindata.errors import DataError, UsageError

RANKS = (20, 10, 40, 60, 80, 120, 160)


class DeterministicSRM(Hyperalignment):
    """A shared response of few dimensions, and one orthonormal basis per person.

    Each round decomposes one matrix of rank times rank per person, whatever the number of voxels.

    Parameters
    ----------
    rank : int or 'auto'
        Number of dimensions; 'auto' takes the one whose inner held-out runs match best.
    n_iter : int
        Rounds at most; fewer where the response stands still.
    shrinkage, weighting, prior, center, dtype, parcellation
        See `ResponseHyperalignment`. The prior draws a person to the mean basis of the members.
    seed : int
        Of the randomised range finder.
    """

    choices: ClassVar[Mapping[str, Sequence[Any]]] = {
        "rank": RANKS,
        "shrinkage": SHRINKAGES,
        "prior": PRIORS,
    }
    rank_: int

    def __init__(
        self,
        rank: int | str = 20,
        *,
        n_iter: int = 19,
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
        if rank != AUTO and (not isinstance(rank, int) or rank < 1):
            raise UsageError(f"rank is {rank!r}, not a positive number or 'auto'")
        self.rank = rank
        self.n_iter = n_iter

    def parameters(self) -> dict[str, Any]:
        """Return what the template is made with."""
        return super().parameters() | {"n_iter": self.n_iter}

    def _rows(self, checked: Mapping[str, Mapping[str, Array]]) -> Rows:
        return shared_rows(checked)

    def _place(self, subject: str, runs: Mapping[str, Array], rows: Rows) -> Person:
        person = place(subject, runs, rows)
        if person.series.shape[1] < self.rank_:
            raise DataError(
                f"subject {subject!r} has {person.series.shape[1]} voxels, fewer than the rank of"
                f" {self.rank_}",
                hint="take a lower rank",
            )
        return person

    def _too_little(self, person: Person) -> str | None:
        if len(person.rows) < self.rank_:
            return f"{len(person.rows)} volumes, fewer than the rank of {self.rank_}"
        return super()._too_little(person)

    def _fit_group(
        self, people: list[Person], rows: Rows
    ) -> tuple[Array, list[Rotation], Array | None]:
        maps = shared_bases(people, rows.n_rows, self.rank_, self.n_iter, self.seed)
        # The last round is a plain one: members get the map that a newcomer would.
        response = mean_response(people, maps, rows.n_rows)
        maps = [polar_tall(p.series.T @ response[p.rows]) for p in people]
        response = mean_response(people, maps, rows.n_rows)
        anchor = self._mean_basis(maps)
        if self.prior_ and anchor is None:
            raise DataError(
                "the prior needs the same voxels in everybody",
                hint="sample everybody on one grid, or set the prior to 0",
            )
        rotations = [
            fit_rotation(p.series, response[p.rows], prior=self.prior_, anchor=anchor)
            if self.prior_
            else Rotation((found,))
            for p, found in zip(people, maps, strict=True)
        ]
        return response, rotations, anchor

    def _mean_basis(self, maps: list[Array]) -> Array | None:
        if len({found.shape for found in maps}) > 1:
            return None
        # Only as long as the members agree: where they do not, anatomy expects nothing.
        mean: Array = sum(maps[1:], maps[0]) / len(maps)
        return mean

    def _fit_person(self, person: Person, template: Template) -> Rotation:
        if self.prior_ and (
            template.anchor is None or len(template.anchor) != person.series.shape[1]
        ):
            raise DataError(
                "the prior needs the members' voxels",
                hint="sample everybody on one grid, or set the prior to 0",
            )
        cross = person.series.T @ template.response[person.rows]
        if self.prior_:
            return fit_rotation(
                person.series,
                template.response[person.rows],
                prior=self.prior_,
                anchor=template.anchor,
            )
        return Rotation((polar_tall(cross),))
