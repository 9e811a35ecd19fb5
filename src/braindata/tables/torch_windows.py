"""Windows as a PyTorch data set. Nothing else imports torch, and this only who asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import Dataset

from braindata.tables.windows import Windows


class WindowDataset(Dataset):  # type: ignore[misc]  # torch is not installed where types are checked
    """The windows, by number, as dictionaries of tensors.

    Parameters
    ----------
    windows : Windows
        Which.
    """

    def __init__(self, windows: Windows):
        self.windows = windows

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, number: int) -> dict[str, Any]:
        if not -len(self) <= number < len(self):
            raise IndexError(number)
        return self.__getitems__([number])[0]

    def __getitems__(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """Return several at once, which PyTorch's loader asks for: one copy instead of many."""
        batch = self.windows.take(numbers)
        whole = {name: torch.from_numpy(array) for name, array in vars(batch).items()}
        return [{name: part[i] for name, part in whole.items()} for i in range(len(numbers))]
