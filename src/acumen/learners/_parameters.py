"""Checks that every learner's parameters share, so that all complain in the same words."""


def check_between(name: str, value: float, low: float, high: float) -> None:
    """Raise ValueError unless ``low <= value <= high`` (NaN fails)."""
    if not low <= value <= high:
        raise ValueError(f"{name} must be between {low:g} and {high:g}, not {value!r}")


def check_linear(ridge: float, half_life: float) -> None:
    """Check the two parameters of every linear learner."""
    check_between("ridge", ridge, 1e-6, 1e6)
    check_half_life(half_life)


def check_half_life(half_life: float) -> None:
    """Raise ValueError unless 0 (never forget) or at least one lesson."""
    if half_life != 0.0:
        check_between("half_life", half_life, 1.0, 1e12)
