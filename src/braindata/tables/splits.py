"""Splitting people, never their recordings, into those to train on and those to test on."""

from __future__ import annotations

import hashlib
import math

from braindata.errors import UsageError, nearest

SPLITS = ("train", "validation", "test")
SHARES = (0.8, 0.1, 0.1)


def split_of(
    dataset: str, subject: str, seed: int = 0, shares: tuple[float, float, float] = SHARES
) -> str:
    """Return the split of a person: always the same, whoever else is in the tables.

    Parameters
    ----------
    dataset, subject : str
        The person, as the columns of every table have it.
    seed : int
        Another one splits people in another way.
    shares : tuple of float
        Shares of people in `SPLITS`, as far as chance allows; their sum is 1.

    Returns
    -------
    str
        ``train``, ``validation`` or ``test``.

    Raises
    ------
    UsageError
        When the shares are none.
    """
    if len(shares) != len(SPLITS) or min(shares) < 0 or not math.isclose(sum(shares), 1):
        raise UsageError(
            f"{shares} are no shares of {', '.join(SPLITS)}", hint="for example (0.8, 0.1, 0.1)"
        )
    # Not Python's own hash, which differs between processes.
    digest = hashlib.sha256(f"{seed}\0{dataset}\0{subject}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < shares[0]:
        return "train"
    return "validation" if place < shares[0] + shares[1] else "test"


def check_split(name: str) -> None:
    """Refuse what is no split.

    Raises
    ------
    UsageError
        When there is no such split.
    """
    if name not in SPLITS:
        raise UsageError(f"there is no split {name}; {nearest(name, SPLITS)}")
