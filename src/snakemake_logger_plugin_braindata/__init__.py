"""Snakemake's logger plugin of braindata: progress on a terminal, few lines in a log.

Snakemake finds it by its name; `logger: braindata` in a profile uses it.
"""

import logging
import os
import sys
import time
from dataclasses import dataclass, field
from typing import Any, Optional

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase

# What is needed to show anything is imported when a run shows something: Snakemake imports its
# plugins whatever it is asked for.

STYLES = ("auto", "table", "lines", "snakemake")


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    """Settings that are options of Snakemake's command line: ``--logger-braindata-<name>``."""

    style: Optional[str] = field(  # noqa: UP045 (Snakemake reads this annotation as it stands)
        default="auto",
        metadata={
            "help": "How progress is shown: a table on a terminal (table), lines (lines), "
            "Snakemake's own messages (snakemake), or what fits (auto).",
            "type": str,
            "choices": STYLES,
        },
    )


class LogHandler(LogHandlerBase):
    """Shows the progress of a run on standard error."""

    def __post_init__(self) -> None:
        from snakemake.logging import ColorizingTextHandler, DefaultFilter, DefaultFormatter

        common: Any = self.common_settings
        wanted = self.settings.style if isinstance(self.settings, LogHandlerSettings) else None
        stream = sys.stdout if common.stdout else sys.stderr
        self._reporter = None
        self._snakemake = ColorizingTextHandler(
            nocolor=common.nocolor,
            stream=stream,
            formatter=DefaultFormatter(common.quiet, common.show_failed_logs),
            filter=DefaultFilter(
                common.quiet, common.debug_dag, common.verbose, common.dryrun, common.printshellcmds
            ),
        )
        style = _style(common) if wanted in (None, "auto") else wanted
        if style == "snakemake":
            return
        from braindata.interruptions import stopped

        from .displays import Display, Lines, Stream, Table
        from .reporter import Reporter

        display: Display = Lines(Stream(stream), time.time)
        if style == "table":
            from rich.console import Console

            terminal = Console(
                file=Stream(stream),  # type: ignore[arg-type]
                # Whoever asks for a table has a terminal, and rich knows those that cannot.
                no_color=True if common.nocolor else None,
                highlight=False,
            )
            if not terminal.is_dumb_terminal:
                display = Table(terminal, time.time)
        self._reporter = Reporter(
            display, self._snakemake, time.time, stopped, show_commands=common.printshellcmds
        )

    def emit(self, record: logging.LogRecord) -> None:
        """Show one record."""
        common: Any = self.common_settings
        if (
            not common.verbose
            and record.levelno >= logging.ERROR
            and "Traceback" in str(record.msg)
        ):
            from .texts import without_traceback

            record = logging.makeLogRecord(
                record.__dict__ | {"msg": without_traceback(str(record.msg)), "args": None}
            )
        if self._reporter is not None:
            self._reporter.emit(record)
        else:
            self._snakemake.handle(record)

    def close(self) -> None:
        """Say how the run ended."""
        if self._reporter is not None:
            self._reporter.close()
        super().close()

    @property
    def writes_to_stream(self) -> bool:
        """Whether it writes to the terminal: yes, in place of Snakemake's own handler."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """Whether it writes to a file: no. Snakemake's own log file holds all."""
        return False

    @property
    def has_filter(self) -> bool:
        """Whether it filters: yes. It needs the records about jobs that the profile silences."""
        return True

    @property
    def has_formatter(self) -> bool:
        """Whether it formats: yes."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """Whether it needs the graph of rules: no."""
        return False


def _style(common: Any) -> str:
    """Choose a style: Snakemake's own when somebody asks to see more of it, or nothing at all."""
    from snakemake.settings.enums import Quietness

    quiet = common.quiet or set()
    more = common.verbose or common.debug_dag or Quietness.RULES not in quiet
    less = Quietness.PROGRESS in quiet or Quietness.ALL in quiet
    if common.dryrun or more or less:
        return "snakemake"
    return "table" if sys.stderr.isatty() and os.environ.get("TERM") != "dumb" else "lines"
