"""Factories that tests name as text; processes import them, so they are in a module."""

from __future__ import annotations

from typing import Any

import torch

nn = torch.nn


def mlp() -> Any:
    model = nn.Sequential(*(nn.Linear(8, 8) for _ in range(4)))
    return model, (torch.randn(8, 8),), nn.functional.mse_loss, (torch.randn(8, 8),)


def tied() -> Any:
    model, *others = mlp()
    model[3].weight = model[0].weight
    return (model, *others)


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Any) -> Any:
        return self.second(self.first(x) + x)


def twice() -> Any:
    return (Twice(), *mlp()[1:])


def fails() -> Any:
    raise ValueError("on purpose")


def answers_seven() -> Any:
    return 7


def answers_text() -> Any:
    return "model", (torch.zeros(1),)


def wrong_optimizer() -> Any:
    return (*mlp(), "rmsprop")


NUMBER = 7
