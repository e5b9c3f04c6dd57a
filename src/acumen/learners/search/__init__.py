"""Search learners: what to measure next, where every measurement is dear.

`Space` says what may be set, `Search` asks a learner for trials and keeps what came of them, and
each learner is one file. See docs/search.md.
"""

from acumen.learners.search.cma_es import CmaEs
from acumen.learners.search.confirmation import Confirmation
from acumen.learners.search.evolution import RegularizedEvolution
from acumen.learners.search.halving import SuccessiveHalving
from acumen.learners.search.optuna_samplers import OptunaSampler
from acumen.learners.search.parallel import run_in_processes
from acumen.learners.search.parameters import (
    Categorical,
    Flag,
    Integer,
    Permutation,
    Real,
    Subset,
)
from acumen.learners.search.portfolio import Portfolio
from acumen.learners.search.racing import Racing
from acumen.learners.search.random_search import RandomSearch
from acumen.learners.search.search import Best, BudgetSpentError, Control, Search
from acumen.learners.search.searcher import Searcher, SearchLearner, Suggestion
from acumen.learners.search.sobol import LatinHypercube, Sobol
from acumen.learners.search.space import Setting, Space, When
from acumen.learners.search.store import SearchFileError, Trial
from acumen.learners.search.surrogate import SurrogateSearch
from acumen.learners.search.transfer import EarlierRun, WarmStart

__all__ = [
    "Best",
    "BudgetSpentError",
    "Categorical",
    "CmaEs",
    "Confirmation",
    "Control",
    "EarlierRun",
    "Flag",
    "Integer",
    "LatinHypercube",
    "OptunaSampler",
    "Permutation",
    "Portfolio",
    "Racing",
    "RandomSearch",
    "Real",
    "RegularizedEvolution",
    "Search",
    "SearchFileError",
    "SearchLearner",
    "Searcher",
    "Setting",
    "Sobol",
    "Space",
    "Subset",
    "SuccessiveHalving",
    "Suggestion",
    "SurrogateSearch",
    "Trial",
    "WarmStart",
    "When",
    "run_in_processes",
]
