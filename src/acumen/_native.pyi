from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

@disjoint_base
class Learner:
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    @property
    def dimension(self) -> int: ...
    @property
    def arms(self) -> int: ...
    @property
    def features(self) -> int: ...
    @property
    def version(self) -> int: ...
    @property
    def memory_bytes(self) -> int: ...
    def distribution(
        self, x: NDArray[np.float32], features: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]: ...
    def learn(
        self,
        x: NDArray[np.float32],
        arm: int,
        propensity: float,
        reward: float,
        features: NDArray[np.float32] | None = None,
    ) -> bool: ...
    def state(self) -> dict[str, NDArray[Any]]: ...
    def restore(self, state: dict[str, NDArray[Any]]) -> None: ...
    def merge(self, other: Learner) -> bool: ...
    def reset(self) -> None: ...

def epsilon_greedy(
    dimension: int,
    arms: int,
    features: int,
    *,
    ridge: float,
    half_life: float,
    epsilon: float,
    decay: float,
) -> Learner: ...
def lin_ucb(
    dimension: int,
    arms: int,
    features: int,
    *,
    ridge: float,
    half_life: float,
    alpha: float,
    exploration: float,
) -> Learner: ...
def thompson(
    dimension: int,
    arms: int,
    features: int,
    *,
    ridge: float,
    half_life: float,
    spread: float,
    exploration: float,
) -> Learner: ...
def square_cb(
    dimension: int,
    arms: int,
    features: int,
    *,
    ridge: float,
    half_life: float,
    gamma: float,
    exponent: float,
) -> Learner: ...
def softmax_gradient(
    dimension: int,
    arms: int,
    features: int,
    *,
    rate: float,
    exploration: float,
    half_life: float,
) -> Learner: ...
def binned_additive(
    dimension: int,
    arms: int,
    features: int,
    *,
    ridge: float,
    half_life: float,
    gamma: float,
    exponent: float,
    epsilon: float,
    prior: float,
) -> Learner: ...
