"""Rules that leave recordings out: a column of `recordings`, an operator, a value.

Read whenever a run is planned, so nothing of Arrow is imported: a test holds the names of the
columns against the schema.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from braindata.errors import nearest

Kind = Literal["number", "text", "flag"]
Value = float | str | bool | None

# What curation knows, before anything is computed.
METADATA: dict[str, Kind] = {
    "subject": "text",
    "session": "text",
    "task": "text",
    "acquisition": "text",
    "ceagent": "text",
    "reconstruction": "text",
    "direction": "text",
    "run": "text",
    "tr": "number",
    "n_volumes": "number",
    "sampling_frequency": "number",
    "modality": "text",
    "n_samples": "number",
    "duration": "number",
    "n_channels": "number",
    "n_echoes": "number",
    "echo_time": "number",
    "flip_angle": "number",
    "phase_encoding": "text",
    "slice_timing": "flag",
    "manufacturer": "text",
    "scanner": "text",
    "field_strength": "number",
    "n_events": "number",
    "licence_class": "text",
}
# What is known once all recordings are looked at, or once they are preprocessed.
QUALITY: dict[str, Kind] = {
    "variant": "text",
    "space": "text",
    "backend": "text",
    "distortion_corrected": "flag",
    "normalisation": "text",
    "fd_mean": "number",
    "fd_max": "number",
    "dvars_mean": "number",
    "dvars_max": "number",
    "std_dvars_mean": "number",
    "std_dvars_max": "number",
    "n_outliers": "number",
    "outlier_share": "number",
    "n_non_steady": "number",
    "tsnr_median": "number",
    "registration_dice": "number",
    "boundary_cost": "number",
    "coregistration_cost": "number",
    "brain_coverage": "number",
    "ofc_signal_loss": "number",
    "vmpfc_signal_loss": "number",
    "electrode_positions": "text",
    "reference": "text",
    "n_bad_channels": "number",
    "n_components_removed": "number",
    "share_rejected": "number",
    "line_noise_ratio": "number",
    "evoked_snr": "number",
    "aperiodic_exponent": "number",
}
# Names that other tools have for a column.
ALIASES = {
    "mean_fd": "fd_mean",
    "max_fd": "fd_max",
    "mean_dvars": "dvars_mean",
    "max_dvars": "dvars_max",
    "mean_std_dvars": "std_dvars_mean",
    "max_std_dvars": "std_dvars_max",
    "median_tsnr": "tsnr_median",
    "tsnr": "tsnr_median",
    "dice": "registration_dice",
    "outliers": "n_outliers",
}

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
_RULE = re.compile(r"\s*(?P<column>[^\s<>=!]+)\s*(?P<operator>[<>=!]+)\s*(?P<value>.*?)\s*")
_EXAMPLE = "a rule is a column, one of < <= > >= == !=, and a value: n_volumes < 100"


@dataclass(frozen=True)
class Rule:
    """A rule: recordings of which it is true are left out.

    Attributes
    ----------
    column : str
        A column of `recordings`.
    operator : str
        How the recording's value is compared.
    value : float, str, bool or None
        With what; None (`null`) is a value that is not there.
    """

    column: str
    operator: str
    value: Value

    def __str__(self) -> str:
        return f"{self.column} {self.operator} {_shown(self.value)}"

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Whether the rule is true of a recording.

        A value that is not there is neither more nor less than anything, nor different from it:
        only `== null` finds it.
        """
        value = row[self.column]
        if self.value is None:
            return (value is None) == (self.operator == "==")
        return value is not None and _OPERATORS[self.operator](value, self.value)

    def reason(self, row: Mapping[str, Any], where: str) -> str:
        """Return why a recording of which the rule is true is left out.

        Parameters
        ----------
        row : mapping
            The recording.
        where : str
            The key of the configuration that holds the rule.
        """
        return f"{self.column} is {_shown(row[self.column])}, and {where} has the rule {self}"


def parse_rule(text: str, columns: Mapping[str, Kind], elsewhere: str = "") -> Rule:
    """Parse a rule.

    Parameters
    ----------
    text : str
        Such as ``n_volumes < 100`` or ``task == rest``.
    columns : mapping of str to {"number", "text", "flag"}
        The columns that it may name.
    elsewhere : str
        What to say of a column that is known, but not here.

    Raises
    ------
    ValueError
        Saying what is wrong; for an unknown column with the nearest one.
    """
    match = _RULE.fullmatch(text)
    if match is None or match["operator"] not in _OPERATORS or not match["value"]:
        if match is not None and match["operator"] == "=":
            raise ValueError(f"{text!r} is no rule: equality is written ==")
        raise ValueError(f"{text!r} is no rule: {_EXAMPLE}")
    column = ALIASES.get(match["column"], match["column"])
    if column not in columns:
        if column in METADATA | QUALITY:
            raise ValueError(f"{column} is not known here yet; {elsewhere}")
        meant = nearest(column, [*columns, *ALIASES], f"known: {', '.join(columns)}")
        raise ValueError(f"there is no column {column}; {meant}")
    value = _parse_value(match["value"], columns[column], column)
    if (value is None or columns[column] != "number") and match["operator"] not in ("==", "!="):
        raise ValueError(f"{text!r}: {_shown(value)} has no order, compare it by == or !=")
    return Rule(column, match["operator"], value)


def canonical(rule: str, columns: Mapping[str, Kind], elsewhere: str = "") -> str:
    """Return a rule in one spelling, so that spaces and aliases change no job's parameters.

    See `parse_rule`.
    """
    return str(parse_rule(rule, columns, elsewhere))


def first_match(rules: tuple[str, ...], row: Mapping[str, Any]) -> Rule | None:
    """Return the first rule that is true of a recording."""
    parsed = (parse_rule(rule, METADATA | QUALITY) for rule in rules)
    return next((rule for rule in parsed if rule.matches(row)), None)


def without_figure(rules: tuple[str, ...], row: Mapping[str, Any]) -> list[Rule]:
    """Return the rules about a figure of quality that is not known of a recording.

    Such a rule leaves nothing out, which nobody should have to guess.
    """
    parsed = (parse_rule(rule, METADATA | QUALITY) for rule in rules)
    return [
        rule
        for rule in parsed
        if QUALITY.get(rule.column) == "number"
        and rule.value is not None
        and row[rule.column] is None
    ]


def _parse_value(text: str, kind: Kind, column: str) -> Value:
    if text == "null":
        return None
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1]
        if kind == "text":
            return text
    if kind == "text":
        return text
    if kind == "flag":
        if text not in ("true", "false"):
            raise ValueError(f"{column} is true or false, not {text!r}")
        return text == "true"
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{column} is a number, {text!r} is none")
    return number


def _shown(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        plain = re.fullmatch(r"[^\s'\"<>=!]+", value) and value != "null"
        quote = '"' if "'" in value else "'"
        return value if plain else f"{quote}{value}{quote}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
