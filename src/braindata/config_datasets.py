"""The section `datasets`: where a data set is, what of it is used, what its events say."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, field_validator

from braindata.config_section import Section
from braindata.curate.parameters import Alignment, Modality
from braindata.derive.parameters import EventMapping
from braindata.derive.signal_parameters import ProcessName, Target
from braindata.latents.names import ModelName
from braindata.latents.parameters import BehaviourMapping
from braindata.pull.parameters import Subset

DATASET_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"


class DatasetEvents(EventMapping, BehaviourMapping):
    """Which columns of a data set's events files hold what."""

    def columns(self) -> dict[str, str]:
        """Return the columns that are named, by what they hold."""
        return EventMapping.columns(self) | BehaviourMapping.columns(self)

    def of_trials(self) -> EventMapping:
        """Return what the table of trials is made with."""
        return EventMapping(**self.model_dump(include=set(EventMapping.model_fields)))

    def of_behaviour(self) -> BehaviourMapping:
        """Return what models of behaviour need besides."""
        return BehaviourMapping(**self.model_dump(include=set(BehaviourMapping.model_fields)))


class DatasetAlignment(Alignment):
    """How the people of a data set are aligned."""

    shared_stimulus: bool | None = Field(
        default=None,
        description="Whether people saw or heard the same at the same time in the recordings that "
        "maps are fitted on: true for a film. Without it, events that agree in all people say so.",
    )
    members: tuple[str, ...] = Field(
        default=(),
        description="Labels of the people from whom templates are made; the others enter them as "
        "they are, and a new person changes nobody's vectors. Empty: all, and a new person "
        "makes a new template.",
    )

    def of_curation(self) -> Alignment:
        """Return what the inventory says of each recording."""
        return Alignment(**self.model_dump(include=set(Alignment.model_fields)))


class Dataset(Section):
    """One data set."""

    id: str = Field(
        pattern=DATASET_PATTERN,
        description="Its name in all outputs: letters, digits, hyphens, underscores.",
    )
    source: str = Field(
        min_length=1,
        description="A local BIDS folder, `openneuro:ds000005`, `openneuro:ds000005@00001` (a "
        "tag), or a git-annex or DataLad repository as `git+https://HOST/PATH` or "
        "`git+file:///PATH`, with or without `@TAG`. Without a tag the newest "
        "version is looked up once and noted in `datasets.lock` beside the "
        "file; `braindata pull --update` looks again.",
    )
    derivatives: str | None = Field(
        default=None,
        min_length=1,
        description="What fMRIPrep made of it: a local folder, or "
        "`openneuro-derivatives:ds000005-fmriprep`, with or without `@TAG`, as for `source`. It is "
        "used in place of preprocessing, and raw MRI images are not fetched.",
    )
    subset: Subset = Field(
        default_factory=Subset,
        description="What of it is pulled: recordings that are all that is asked for here, with "
        "events and inherited sidecars, the subjects' T1w images and the files about the whole "
        "data set.",
    )
    modalities: tuple[Modality, ...] = Field(
        default=("fmri",), min_length=1, description="Which modalities of it to use."
    )
    subjects: tuple[str, ...] = Field(
        default=(), description="Use only these people (labels as in file names); empty means all."
    )
    tasks: tuple[str, ...] = Field(
        default=(), description="Use only these tasks of it; empty means all. See `curate.tasks`."
    )
    event_mapping: DatasetEvents = Field(
        default_factory=DatasetEvents,
        description="Which columns of its events files hold what of a trial.",
    )
    alignment: DatasetAlignment = Field(
        default_factory=DatasetAlignment,
        description="Which recordings people's maps into a common space are fitted on; without it "
        "the first half of the runs, or of the only one. See docs/alignment.md.",
    )
    models: tuple[ModelName, ...] = Field(
        default=(),
        description="Models of behaviour that are fitted to each person; docs/latents.md says what "
        "each needs in `event_mapping`.",
    )

    targets: Mapping[ProcessName, Target] = Field(
        default={},
        description="By process of `signals`, what it is held against in this data set: "
        "`latent:NAME` or `column:NAME`.",
    )

    @field_validator("models")
    @classmethod
    def _each_once(cls, models: tuple[ModelName, ...]) -> tuple[ModelName, ...]:
        if len(set(models)) < len(models):
            raise ValueError("a model is listed twice")
        return models
