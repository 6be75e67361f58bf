"""Is influence good enough for this model, or must retraining be paid for?"""

from dmtheory.study.advice import advice
from dmtheory.study.page import write_study
from dmtheory.study.plan import StudyPlan, plan_study, share_out
from dmtheory.study.study import Study, study

__all__ = [
    "Study",
    "StudyPlan",
    "advice",
    "plan_study",
    "share_out",
    "study",
    "write_study",
]
