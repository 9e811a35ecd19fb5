"""How the command line explains itself: commands in two sections, each with an example."""

from __future__ import annotations

import click

from braindata.stages import STEP_VERSION


class SectionedGroup(click.Group):
    """Lists what people use first and what the rules call below, each in its own order."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which they are defined."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the two lists."""
        stages = [name for name in self.commands if name in STEP_VERSION]
        people = [name for name in self.commands if name not in STEP_VERSION]
        width = max(map(len, self.commands), default=0)
        for title, names in (("Commands", people), ("Stages, which the rules call", stages)):
            with formatter.section(title):
                formatter.write_dl(
                    [
                        (name.ljust(width), self.commands[name].get_short_help_str(limit=120))
                        for name in names
                    ]
                )


def example(*lines: str) -> str:
    """Return the epilog that shows example command lines."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)


def checked_name(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """Refuse what would lead out of the output folder, where stages also delete."""
    if value is not None and (value in ("", ".", "..") or {"/", "\0"} & set(value)):
        raise click.BadParameter(f"{value!r} is no name", context, option)
    return value
