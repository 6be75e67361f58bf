"""The response is an average over seeds: one model's derivative predicts it worse."""

import torch
from torch import Tensor

from dmtheory.agreement.lds import lds, rank_correlations
from dmtheory.agreement.resampling import as_is_and_resampled, interval_of
from dmtheory.agreement.subset_outputs import SubsetOutputs, evaluation_of_arrays
from dmtheory.attribution import Attribution
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.designs.seeds import model_seeds
from validation.claim import RANK, SIGN, Claim, Entry, Evidence
from validation.laboratory import Laboratory
from validation.shared_seeds import SharedSeeds
from validation.verdict import SUPPORTED, Part

# Ten, or twice as many where the seeds of a run decide how far they are apart.
SEEDS = {
    "digits-sum": 10,
    "digits-rough-count": 20,
    "cancer-network-sum": 20,
    "cancer-network-count": 20,
}
SUBSETS = 150
# Of the ceiling that the outputs' own seeds set, smooth and rough.
GOOD = {
    "digits-sum": 0.85,
    "digits-rough-count": 0.74,
    "cancer-network-sum": 0.9,
    "cancer-network-count": 0.9,
}


def measure(laboratory: Laboratory, entry: Entry) -> Evidence:
    """Differentiate many models; retrain each of their seeds on the same subsets."""
    name = entry.problem
    n_seeds = SEEDS[name]
    p, seed = laboratory.settings[name].p, laboratory.experiment_seed("pathwise")
    derivative = laboratory.pathwise(name, at=p, n_seeds=n_seeds)
    design = SharedSeeds(
        subsets=Bernoulli(
            p=p, n_models=SUBSETS, seed=laboratory.experiment_seed("same seeds")
        ),
        training_seeds=tuple(model_seeds(seed, torch.arange(n_seeds)).tolist()),
    )
    responses = laboratory.collected(name, design, "the same seeds")
    outputs = evaluation_of_arrays(
        responses.weights(),
        responses.outputs,
        like=derivative,
        design=design.subsets,
        n_replicates=n_seeds,
    )
    return Evidence(
        estimates={"derivative": derivative},
        held_out={"held out": outputs},
        blocked=laboratory.blocked(name),
    )


def judge(evidence: Evidence, entry: Entry) -> list[Part]:
    """Compare averages with instances, and each seed with itself and with others."""
    derivative, outputs = (
        evidence.estimates["derivative"],
        evidence.held_out["held out"],
    )
    counts = as_is_and_resampled(outputs.n_units, 1)
    average, single = _of_the_response(derivative, outputs, counts)
    same, cross = _of_each_seed(derivative, outputs, counts)
    scored = lds(derivative, outputs)
    assert scored.ceiling is not None
    ceiling = scored.ceiling.value
    return [
        Part(
            name="average over instance",
            statement=f"LDS of the mean of {SEEDS[entry.problem]} derivatives less the "
            "mean LDS of each, on outputs averaged over seeds: above 0",
            interval=interval_of(average - single),
            tolerance=(0.0, None),
        ),
        Part(
            name="same seed over another",
            statement="LDS of a seed's derivative on that seed's own models less on "
            "another's: above 0",
            interval=interval_of(same - cross),
            tolerance=(0.0, None),
        ),
        Part(
            name="the average is good",
            statement=f"its LDS over the ceiling ({ceiling:.3f}), at least "
            f"{GOOD[entry.problem]}",
            interval=scored.mean.over(ceiling),
            tolerance=(GOOD[entry.problem], None),
        ),
    ]


def _of_the_response(
    derivative: Attribution, outputs: SubsetOutputs, counts: Tensor
) -> tuple[Tensor, Tensor]:
    """Return mean LDS of the average and of single seeds, the sample first."""
    assert derivative.units is not None
    sides = [outputs.weights @ unit for unit in (derivative.scores, *derivative.units)]
    found = rank_correlations(sides, outputs.mean_outputs(), counts).mean(2)
    return found[0], _over_seeds(found[1:])


def _of_each_seed(
    derivative: Attribution, outputs: SubsetOutputs, counts: Tensor
) -> tuple[Tensor, Tensor]:
    """Return mean LDS on each seed's outputs: by its own derivative, by another's."""
    assert derivative.units is not None
    same, cross = [], []
    for place, own in enumerate(derivative.units):
        pair = own, derivative.units[place - 1]
        sides = [outputs.weights @ unit for unit in pair]
        found = rank_correlations(sides, outputs.outputs[:, place], counts).mean(2)
        same.append(found[0])
        cross.append(found[1])
    return _over_seeds(torch.stack(same)), _over_seeds(torch.stack(cross))


def _over_seeds(values: Tensor) -> Tensor:
    """Return the mean over seeds [seeds, samples], drawn anew in all but the first.

    The same seeds are drawn whatever the values, so that differences stay paired.
    """
    n_seeds, n_samples = values.shape
    counts = as_is_and_resampled(n_seeds, 1, draws=n_samples - 1, seed=1)
    return (counts * values.T).mean(1)


def drawn(evidence: Evidence) -> tuple[Attribution, Attribution]:
    """Return what the figure shows."""
    return evidence.estimates["derivative"], evidence.estimates["derivative"]


CLAIM = Claim(
    id="average-not-instance",
    title="An average, not an instance",
    statement=(
        "The derivative averaged over ten seeds or more predicts the average output of "
        "retrained models better than that of one seed does, and a seed's derivative "
        "predicts its own retrained models better than another's."
    ),
    source="The post; theory section 1 (F is an expectation over seeds)",
    expected=SUPPORTED,
    entries=(
        Entry(scale="M", problem="digits-sum", suite="thorough"),
        Entry(scale="M", problem="digits-rough-count", suite="thorough"),
        Entry(scale="M", problem="cancer-network-sum", suite="thorough"),
        Entry(scale="M", problem="cancer-network-count", suite="thorough"),
    ),
    measure=measure,
    judge=judge,
    drawn=drawn,
    predicted_slope=lambda _: (1.0, "slope 1: itself"),
    notices=(SIGN, RANK),
)
