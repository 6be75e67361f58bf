"""How well a datamodel of m models predicts new subsets is known beforehand."""

from dataclasses import replace

import torch

from dmtheory.agreement.lds import lds
from dmtheory.agreement.subset_outputs import evaluation_of
from dmtheory.attribution import Attribution
from dmtheory.datamodels.fit import fit_datamodel
from dmtheory.designs.base import SubsetDesign
from dmtheory.responses.responses import Responses
from dmtheory.theory.noise_laws import ols_law, pairs_law, spearman_map
from validation.claim import RANK, SIGN, Claim, Entry, Evidence
from validation.laboratory import Laboratory
from validation.statistics.over_units import scores_of, widened
from validation.verdicts.verdict import SUPPORTED, Part

# Rows (models, or complementary pairs) over examples.
ROWS_AN_EXAMPLE = (1.5, 2.0, 3.0)
TOLERANCE = 0.03
# Disjoint sets of models that are fitted, where there are so many; of fewer than four
# a spread says too little.
MOST_SETS, LEAST_SETS = 8, 4


def measure(laboratory: Laboratory, entry: Entry) -> Evidence:
    """Fit datamodels to few rows and to more; predict their scores from the law."""
    name = entry.problem
    responses = laboratory.responses(name)
    estimates: dict[str, Attribution] = {}
    numbers: dict[str, float] = {}
    for share in ROWS_AN_EXAMPLE:
        label = f"{share:g} N"
        n_models = round(share * responses.description.n_train)
        n_models *= 2 if laboratory.settings[name].paired else 1
        for place, fitted in enumerate(_fits(responses, n_models)):
            estimates[f"{label} | {place}"] = fitted
        numbers[label] = predicted_score(laboratory, name, n_models)
    return Evidence(
        estimates=estimates,
        numbers=numbers,
        held_out={"held out": evaluation_of(laboratory.evaluation(name))},
        blocked=laboratory.blocked(name),
    )


def predicted_score(laboratory: Laboratory, name: str, n_models: int) -> float:
    """Return the mean LDS on single models that the law gives OLS on so many models."""
    found = laboratory.variances(name)
    paired = laboratory.settings[name].paired
    n_train = laboratory.responses(name).description.n_train
    law = pairs_law if paired else ols_law
    n_rows = torch.tensor(float(n_models // (2 if paired else 1)))
    ratio = found.parts.noise / found.parts.linear
    squared = law(ratio, n_train, n_rows)
    # On single held-out models of one seed: L + V_high + sigma_r^2 is all of V.
    seen = (squared * found.parts.linear / found.total).clamp(0, 1).sqrt()
    return spearman_map(seen).mean().item()


def _fits(responses: Responses, n_models: int) -> list[Attribution]:
    """Return datamodels of disjoint sets of models, the first with its units."""
    first = responses.first(n_models)
    assert isinstance(first.design, SubsetDesign)
    masks, outputs = responses.weights(), responses.outputs
    starts = range(n_models, responses.n_models - n_models + 1, n_models)
    others = [
        fit_datamodel(
            masks[start : start + n_models],
            outputs[start : start + n_models],
            design=first.design,
            output=responses.description.output,
            problem=responses.description.name,
        )
        for start in starts[: MOST_SETS - 1]
    ]
    return [
        fit_datamodel(first),
        *(replace(one, units=None, stderr=None) for one in others),
    ]


def judge(evidence: Evidence, entry: Entry) -> list[Part]:
    """The score seen, mean over disjoint sets of m models, is the score predicted."""
    held_out = evidence.held_out["held out"]
    parts = []
    for label, predicted in evidence.numbers.items():
        sets = [
            found
            for name, found in evidence.estimates.items()
            if name.startswith(f"{label} | ")
        ]
        each = scores_of([one.scores for one in sets], held_out)
        few = len(each) < LEAST_SETS
        seen = widened(
            lds(sets[0], held_out).mean.less(each[0].item() - each.mean().item()),
            *([] if few else [each]),
        )
        over = "their masks held fixed" if few else "drawn anew"
        parts.append(
            Part(
                name=f"m = {label}",
                statement=f"LDS seen, of {len(each)} disjoint set(s) of models ({over})"
                f", less LDS predicted ({predicted:.3f}): 0 within {TOLERANCE}",
                interval=seen.less(predicted),
                tolerance=(-TOLERANCE, TOLERANCE),
            )
        )
    return parts


def drawn(evidence: Evidence) -> tuple[Attribution, Attribution]:
    """Return what the figure shows: the datamodels of fewest and of most models."""
    fewest, *_, most = (f"{share:g} N | 0" for share in ROWS_AN_EXAMPLE)
    return evidence.estimates[fewest], evidence.estimates[most]


CLAIM = Claim(
    id="noise-law",
    title="What m models are good for is known beforehand",
    statement=(
        "The linear datamodeling score of OLS on m models follows "
        "sqrt(L/(L + N sigma²/(m-N-2))) sqrt(L/V), and for complementary pairs the law "
        "of half differences, within .03."
    ),
    source="Theory section 4",
    expected=SUPPORTED,
    entries=(
        Entry(scale="V", problem="breast-cancer-sum"),
        Entry(scale="V", problem="diabetes-sum", suite="thorough"),
        Entry(scale="M", problem="digits-sum"),
        Entry(scale="M", problem="digits-count", suite="thorough"),
        Entry(scale="M", problem="cancer-network-sum", suite="thorough"),
        Entry(scale="M", problem="cancer-network-count", suite="thorough"),
        Entry(scale="V", problem="breast-cancer-count", suite="thorough"),
        Entry(scale="V", problem="diabetes-count", suite="thorough"),
    ),
    measure=measure,
    judge=judge,
    drawn=drawn,
    predicted_slope=lambda _: (1.0, "slope 1: the same coefficients"),
    notices=(SIGN, RANK),
)
