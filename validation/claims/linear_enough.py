"""With the models that the noise law names a datamodel reaches what is linear."""

import torch

from dmtheory.agreement.lds import lds
from dmtheory.agreement.prediction import held_out_prediction
from dmtheory.agreement.subset_outputs import evaluation_of
from dmtheory.attribution import Attribution
from dmtheory.datamodels.inference.variances import Variances
from dmtheory.theory.noise_laws import ols_law, pairs_law, spearman_map
from validation.claim import RANK, SCALE, SIGN, Claim, Entry, Evidence, exact_part
from validation.laboratory import Laboratory
from validation.verdict import SUPPORTED, Part

REACHED = 0.9
SHORTFALL = 0.03
# Correlation with the linear part at the models that the law names.
NAMED = 0.95


def measure(laboratory: Laboratory, entry: Entry) -> Evidence:
    """Take the datamodel of all models; from them, what is linear in the masks."""
    name = entry.problem
    responses = laboratory.responses(name)
    found = laboratory.variances(name)
    paired = laboratory.settings[name].paired
    n_train = responses.description.n_train
    n_rows = responses.n_models // (2 if paired else 1)
    law = pairs_law if paired else ols_law
    ratio = (found.parts.noise / found.parts.linear).mean()
    reached = law(ratio, n_train, torch.tensor(float(n_rows))).sqrt().item()
    blocked = laboratory.blocked(name)
    if reached < NAMED:
        blocked = f"{responses.n_models} models are fewer than the law names"
    bounds = spearman_map((found.parts.linear / found.total).clamp(0, 1).sqrt())
    freedom = n_rows - n_train - (1 if paired else 2)
    return Evidence(
        estimates={"datamodel": laboratory.datamodel(name)},
        numbers={
            "R squared": _r_squared(found, n_train / freedom),
            "linear share": (found.parts.linear.sum() / found.total.sum()).item(),
            **{f"bound {i}": bound for i, bound in enumerate(bounds.tolist())},
        },
        held_out={"held out": evaluation_of(laboratory.evaluation(name))},
        blocked=blocked,
    )


def _r_squared(found: Variances, share: float) -> float:
    """Return the pooled R² on new subsets: all but L is missed, and L is estimated."""
    missed = found.total - found.parts.linear + share * found.parts.noise
    return 1 - (missed.sum() / found.total.sum()).item()


def judge(evidence: Evidence, entry: Entry) -> list[Part]:
    """Scores reach the linear bound; what is missing is the rest of the variance."""
    datamodel, held_out = evidence.estimates["datamodel"], evidence.held_out["held out"]
    found = lds(datamodel, held_out)
    n_targets = len(datamodel.target_labels)
    bounds = torch.tensor([evidence.numbers[f"bound {i}"] for i in range(n_targets)])
    mean = bounds.mean().item()
    below = found.per_target.high < REACHED * bounds.double()
    predicted = evidence.numbers["R squared"]
    seen = held_out_prediction(datamodel, held_out).r_squared
    share = evidence.numbers["linear share"]
    return [
        Part(
            name="LDS over its linear bound",
            statement=f"mean over targets, at least {REACHED} (bound {mean:.3f})",
            interval=found.mean.over(mean),
            tolerance=(REACHED, None),
        ),
        exact_part(
            "targets that stay below",
            f"number of {n_targets} targets whose whole interval is below {REACHED} "
            "of their bound",
            float(below.sum()),
            0.5,
        ),
        Part(
            name="what is missing",
            statement=f"R² on new subsets less what the linear share ({share:.3f}) and "
            f"m leave: 0 within {SHORTFALL}",
            interval=seen.less(predicted),
            tolerance=(-SHORTFALL, SHORTFALL),
        ),
    ]


def drawn(evidence: Evidence) -> tuple[Attribution, Attribution]:
    """Return what the figure shows: the datamodel against itself."""
    return evidence.estimates["datamodel"], evidence.estimates["datamodel"]


CLAIM = Claim(
    id="linear-enough",
    title="A linear datamodel is enough",
    statement=(
        "With the models that the noise law names, OLS predicts new subsets to .9 of "
        "what any linear model can, and what it misses is the share of the variance "
        "that is not linear in the mask."
    ),
    source="Theory 2.3 and section 4; Saunshi et al. 2023",
    expected=SUPPORTED,
    entries=(
        Entry(scale="V", problem="breast-cancer-sum", suite="thorough"),
        Entry(scale="V", problem="diabetes-sum", suite="thorough"),
        Entry(scale="M", problem="digits-sum"),
        Entry(scale="M", problem="digits-count", suite="thorough"),
    ),
    measure=measure,
    judge=judge,
    drawn=drawn,
    predicted_slope=lambda _: (1.0, "slope 1: itself"),
    notices=(SCALE, SIGN, RANK),
)
