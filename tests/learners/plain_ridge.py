"""A learner that keeps to acumen.core.Learner and offers nothing beyond it, in plain NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class PlainRidge:
    """Ridge regression for every arm, and now and then any arm."""

    def build(self, dimension: int, arms: int, features: int) -> PlainRidgeLearner:
        return PlainRidgeLearner(dimension, arms, features)


class PlainRidgeLearner:
    def __init__(self, dimension: int, arms: int, features: int) -> None:
        self.models = 1 if features else arms
        self.width = dimension * max(features, 1)
        self._start()

    def reset(self) -> None:
        self._start()

    def _start(self) -> None:
        self.version = 0
        self.squares = np.tile(np.eye(self.width), (self.models, 1, 1))
        self.products = np.zeros((self.models, self.width))
        self.weights = np.zeros((self.models, self.width))

    def distribution(self, x: Floats, features: Floats | None = None, /) -> list[float]:
        if features is None:
            values = self.weights @ x
        else:
            values = np.einsum("i,af->aif", x, features).reshape(len(features), -1)
            values = values @ self.weights[0]
        best = values >= values.max()
        epsilon = 5.0 / (5.0 + self.version**0.5)
        answer: list[float] = (epsilon / len(values) + (1 - epsilon) * best / best.sum()).tolist()
        return answer

    def learn(
        self,
        x: Floats,
        arm: int,
        propensity: float,
        reward: float,
        features: Floats | None = None,
        /,
    ) -> None:
        row = x if features is None else np.outer(x, features).ravel()
        model = arm if features is None else 0
        self.squares[model] += np.outer(row, row)
        self.products[model] += row.astype(np.float64) * reward
        self.weights[model] = np.linalg.solve(self.squares[model], self.products[model])
        self.version += 1

    def state(self) -> dict[str, NDArray[Any]]:
        return {
            "version": np.array([self.version], np.uint64),
            "squares": self.squares.ravel().copy(),
            "products": self.products.ravel().copy(),
        }

    def restore(self, arrays: dict[str, NDArray[Any]], /) -> None:
        sizes = {"version": 1, "squares": self.squares.size, "products": self.products.size}
        if {name: array.size for name, array in arrays.items()} != sizes:
            raise ValueError("no state of this learner")
        squares, products = arrays["squares"], arrays["products"]
        if not (np.isfinite(squares).all() and np.isfinite(products).all()):
            raise ValueError("a state must be finite")
        self.squares = squares.reshape(self.squares.shape).copy()
        self.products = products.reshape(self.products.shape).copy()
        self.weights = np.linalg.solve(self.squares, self.products[..., None])[..., 0]
        self.version = int(arrays["version"][0])
