"""Imports torchvision even where its compiled operators do not fit the installed PyTorch."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch

_declared: list[torch.library.Library] = []  # declarations last as long as their library object


def import_torchvision() -> ModuleType:
    """Return torchvision, declaring the operators its Python side asks for if they are absent; skip without it."""
    try:
        import torchvision
    except ModuleNotFoundError:
        pytest.skip("needs torchvision, which is not installed")
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declared.append(library)
        import torchvision
    return torchvision
