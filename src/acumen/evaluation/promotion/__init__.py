"""From shadow to on, by evidence: the gate that a candidate policy has to pass, and how it falls.

See docs/deployment.md for how to use it and docs/adr/0003-promotion-gate.md for its statistics.
"""

from acumen.evaluation.promotion.gate import Promotion
from acumen.evaluation.promotion.status import GuardrailStatus, PromotionStatus
from acumen.evaluation.promotion.store import Transition

__all__ = ["GuardrailStatus", "Promotion", "PromotionStatus", "Transition"]
