"""With the models that the noise law names a datamodel reaches what is linear."""

from torch import Tensor

from dmtheory.agreement.bootstrap import Interval
from dmtheory.agreement.lds import lds
from dmtheory.agreement.prediction import held_out_prediction
from dmtheory.agreement.resampling import Intervals
from dmtheory.agreement.subset_outputs import SubsetOutputs, evaluation_of
from dmtheory.attribution import Attribution
from dmtheory.datamodels.inference.variances import Variances
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.theory.noise_laws import ols_law, pairs_law, spearman_map
from validation.claim import RANK, SCALE, SIGN, Claim, Entry, Evidence
from validation.claims.linear_bounds import REACHED, many, numbered, rows_named
from validation.claims.linear_exactly import judge_exactly, measure_exactly
from validation.laboratory import Laboratory
from validation.made_up.own_streams import own_seed
from validation.verdicts.verdict import SUPPORTED, Part

SHORTFALL = 0.03
# Networks' own held-out subsets: the least of thirty targets is judged, each one's LDS
# to about .01, where a thousand subsets leave .04.
SUBSETS = 6000


def measure(laboratory: Laboratory, entry: Entry) -> Evidence:
    """Take the datamodel of all models; from them, what is linear in the masks."""
    name = entry.problem
    if entry.scale == "C":
        return measure_exactly(laboratory, name)
    responses = laboratory.responses(name)
    found = laboratory.variances(name)
    paired = laboratory.settings[name].paired
    n_train = responses.description.n_train
    n_rows = responses.n_models // (2 if paired else 1)
    law = pairs_law if paired else ols_law
    ratio = (found.parts.noise / found.parts.linear).mean().clamp_min(0)
    named = rows_named(law, ratio.item(), n_train)
    blocked = laboratory.blocked(name)
    if n_rows < named:
        more = (named - n_rows) * (2 if paired else 1)
        blocked = (
            f"{responses.n_models} models are fewer than the law names: about {more} "
            "further ones would decide it"
        )
    bounds = spearman_map((found.parts.linear / found.total).clamp(0, 1).sqrt())
    freedom = n_rows - n_train - (1 if paired else 2)
    return Evidence(
        estimates={"datamodel": laboratory.datamodel(name)},
        numbers={
            "R squared": _r_squared(found, n_train / freedom),
            "linear share": (found.parts.linear.sum() / found.total.sum()).item(),
            **numbered("bound", bounds),
        },
        held_out={"held out": _held_out(laboratory, entry)},
        blocked=blocked,
    )


def _held_out(laboratory: Laboratory, entry: Entry) -> SubsetOutputs:
    name = entry.problem
    if entry.scale == "V":
        return evaluation_of(laboratory.evaluation(name))
    seed, p = own_seed(laboratory, "every target"), laboratory.settings[name].p
    design = Bernoulli(p=p, n_models=SUBSETS, seed=seed)
    return evaluation_of(laboratory.collected(name, design, "every target"))


def _r_squared(found: Variances, share: float) -> float:
    """Return the pooled R² on new subsets: all but L is missed, and L is estimated."""
    missed = found.total - found.parts.linear + share * found.parts.noise
    return 1 - (missed.sum() / found.total.sum()).item()


def judge(evidence: Evidence, entry: Entry) -> list[Part]:
    """Scores reach the linear bound; what is missing is the rest of the variance."""
    if entry.scale == "C":
        return judge_exactly(evidence)
    datamodel, held_out = evidence.estimates["datamodel"], evidence.held_out["held out"]
    found = lds(datamodel, held_out)
    n_targets = len(datamodel.target_labels)
    bounds = many(evidence, "bound", n_targets)
    mean = bounds.mean().item()
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
        Part(
            name="least target over its bound",
            statement=f"least of {n_targets} targets, of each at least {REACHED}",
            interval=_least(found.per_target, bounds),
            tolerance=(REACHED, None),
        ),
        Part(
            name="what is missing",
            statement=f"R² on new subsets less what the linear share ({share:.3f}) and "
            f"m leave: 0 within {SHORTFALL}",
            interval=seen.less(predicted),
            tolerance=(-SHORTFALL, SHORTFALL),
        ),
    ]


def _least(scores: Intervals, bounds: Tensor) -> Interval:
    """Return the least score over its bound, with the least of each limit.

    That every target reaches a value is shown where each one's interval says so, with
    no correction for their number: the least lower limit is above the truth's least
    only if that very target's is. The least upper limit errs more often, the more
    targets there are, and refutes too easily rather than support.
    """
    return Interval(
        (scores.value / bounds).min().item(),
        (scores.low / bounds).min().item(),
        (scores.high / bounds).min().item(),
    )


def drawn(evidence: Evidence) -> tuple[Attribution, Attribution]:
    """Return what the figure shows: the datamodel against itself."""
    shown = next(iter(evidence.estimates.values()))
    return shown, shown


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
        Entry(scale="C", problem="copies"),
        Entry(scale="C", problem="tiny-ridge-sum"),
        Entry(scale="V", problem="breast-cancer-sum"),
        Entry(scale="V", problem="diabetes-sum"),
        Entry(scale="M", problem="digits-sum", suite="thorough"),
        Entry(scale="M", problem="digits-count", suite="thorough"),
        Entry(scale="V", problem="breast-cancer-count", suite="thorough"),
        Entry(scale="V", problem="diabetes-count", suite="thorough"),
        Entry(scale="M", problem="cancer-network-sum", suite="thorough"),
        Entry(scale="M", problem="cancer-network-count", suite="thorough"),
    ),
    measure=measure,
    judge=judge,
    drawn=drawn,
    predicted_slope=lambda _: (1.0, "slope 1: itself"),
    notices=(SCALE, SIGN, RANK),
)
