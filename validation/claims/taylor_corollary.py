"""Small removals follow the derivative to first order, large ones less."""

from dmtheory.agreement.bootstrap import Interval
from dmtheory.agreement.lds import lds
from dmtheory.agreement.resampling import as_is_and_resampled, interval_of
from dmtheory.agreement.subset_outputs import SubsetOutputs, evaluation_of
from dmtheory.attribution import Attribution
from dmtheory.designs.leave_out import LeaveKOut
from validation.claim import RANK, SCALE, SIGN, Claim, Entry, Evidence
from validation.laboratory import Laboratory
from validation.verdict import SUPPORTED, Part

# Shares of the examples that are removed at once.
SHARES = (0.01, 0.05, 0.2, 0.5)
REMOVALS = 400
# Without an example the fit at it is worse by 1/(1-h): removals exceed first order.
SMALL = (0.95, 1.2)
USEFUL = (0.8, 1.2)


def measure(laboratory: Laboratory, entry: Entry) -> Evidence:
    """Differentiate at w = 1; retrain without random sets of several sizes."""
    n_train = laboratory.problem(entry.problem).description.n_train
    held_out = {}
    for place, share in enumerate(SHARES):
        design = LeaveKOut(
            k=max(1, round(share * n_train)),
            n_models=REMOVALS,
            seed=100 * laboratory.experiment_seed("removals") + place,
        )
        responses = laboratory.collected(entry.problem, design, "removals")
        held_out[f"{share:g}"] = evaluation_of(responses)
    return Evidence(
        estimates={"derivative": laboratory.derivative(entry.problem, at=1.0)},
        held_out=held_out,
        blocked=laboratory.blocked(entry.problem),
    )


def judge(evidence: Evidence, entry: Entry) -> list[Part]:
    """Slope and rank for the smallest share; how both go with the share."""
    derivative = evidence.estimates["derivative"]
    slopes = {
        share: _slope(derivative, removals)
        for share, removals in evidence.held_out.items()
    }
    small, large = (f"{share:g}" for share in (SHARES[0], SHARES[-1]))
    scores = {s: lds(derivative, evidence.held_out[s]).mean for s in (small, large)}
    useful = [
        float(share)
        for share, slope in slopes.items()
        if USEFUL[0] <= slope.low and slope.high <= USEFUL[1]
    ]
    fall = Interval(
        scores[small].value - scores[large].value,
        scores[small].low - scores[large].high,
        scores[small].high - scores[large].low,
    )
    return [
        Part(
            name="slope, 1 % removed",
            statement="F(1) - F(1 - 1_A) on sum_{i in A} dF/dw_i: in [.95, 1.2]",
            interval=slopes[small],
            tolerance=SMALL,
        ),
        Part(
            name="rank, 1 % removed",
            statement="LDS over removals, at least .95",
            interval=scores[small],
            tolerance=(0.95, None),
        ),
        Part(
            name="LDS falls with the share",
            statement=f"from {small} to {large} of the examples",
            interval=fall,
            tolerance=(0.0, None),
        ),
        Part(
            name="where it is of use",
            statement="largest share whose slope lies in [.8, 1.2], at least .05",
            interval=Interval.exact(max(useful, default=0.0)),
            tolerance=(0.05, None),
            headline=False,
        ),
    ]


def _slope(derivative: Attribution, removals: SubsetOutputs) -> Interval:
    """Return the slope of outputs on predictions over removals, pooled over targets."""
    trained, predicted = removals.mean_outputs(), removals.predicted(derivative)
    y, x = trained - trained.mean(0), predicted - predicted.mean(0)
    counts = as_is_and_resampled(removals.n_units, removals.unit_size)
    return interval_of(counts @ (x * y).sum(1) / (counts @ x.square().sum(1)))


def drawn(evidence: Evidence) -> tuple[Attribution, Attribution]:
    """Return what the figure shows: the derivative against itself."""
    return evidence.estimates["derivative"], evidence.estimates["derivative"]


CLAIM = Claim(
    id="taylor-corollary",
    title="Small removals follow the derivative",
    statement=(
        "Removing a few examples changes the output by the sum of their derivatives at "
        "w = 1, to first order; the prediction degrades with the share removed."
    ),
    source="The post's corollary; theory 3.3",
    expected=SUPPORTED,
    entries=(
        Entry(scale="V", problem="breast-cancer-sum", suite="thorough"),
        Entry(scale="V", problem="diabetes-sum"),
    ),
    measure=measure,
    judge=judge,
    drawn=drawn,
    predicted_slope=lambda _: (1.0, "slope 1: itself"),
    notices=(SCALE, SIGN, RANK),
)
