"""Every learner of acumen.learners, found by itself, against the contract."""

import acumen.learners
from acumen.testing import LearnerContract, discover_learners

for _learner in discover_learners(acumen.learners):
    _name = f"Test{_learner.__name__}"
    globals()[_name] = type(_name, (LearnerContract,), {"spec": _learner()})


def test_learners_are_found() -> None:
    assert len(discover_learners(acumen.learners)) >= 6
