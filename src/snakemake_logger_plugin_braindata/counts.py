"""How many jobs each stage has: Snakemake's records say so at the start only.

A checkpoint makes the graph grow; its records then hold the new sum, not what it is made of.
"""

from __future__ import annotations

import logging
from collections import Counter
from itertools import chain
from typing import Any

from snakemake_interface_logger_plugins.common import LogEvent


class StageCounts:
    """A filter of Snakemake's logger that writes the numbers of jobs onto records.

    It works in the thread that owns the graph; a log handler's thread may not look at it.

    Parameters
    ----------
    workflow : snakemake.workflow.Workflow
        The workflow, whose graph need not be there yet.
    """

    def __init__(self, workflow: Any):
        self._workflow = workflow
        self._size = -1

    def __call__(self, record: logging.LogRecord) -> bool:
        """Add `stage_jobs` to a record of jobs that start, whenever the graph has changed."""
        if getattr(record, "event", None) == LogEvent.JOB_STARTED:
            graph = self._workflow.dag
            # Counting takes a while for thousands of jobs; most starts change nothing.
            if len(graph) != self._size:
                self._size = len(graph)
                jobs = {*chain(graph.needrun_jobs(), graph.finished_jobs)}
                record.stage_jobs = Counter(job.rule.name for job in jobs)
        return True


def count_stages(workflow: Any) -> None:
    """Let the records of a workflow tell the number of jobs of each stage, also after curation.

    Parameters
    ----------
    workflow : snakemake.workflow.Workflow
        What a Snakefile knows as ``workflow``.
    """
    from snakemake.logging import logger

    if workflow.is_main_process:
        logger.addFilter(StageCounts(workflow))
