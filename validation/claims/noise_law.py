"""How well a datamodel of m models predicts new subsets is known beforehand."""

import torch

from dmtheory.agreement.lds import lds
from dmtheory.agreement.subset_outputs import evaluation_of
from dmtheory.attribution import Attribution
from dmtheory.datamodels.fit import fit_datamodel
from dmtheory.theory.noise_laws import ols_law, pairs_law, spearman_map
from validation.claim import RANK, SIGN, Claim, Entry, Evidence
from validation.laboratory import Laboratory
from validation.verdict import SUPPORTED, Part

# Rows (models, or complementary pairs) over examples.
ROWS_AN_EXAMPLE = (1.5, 2.0, 3.0)
TOLERANCE = 0.03


def measure(laboratory: Laboratory, entry: Entry) -> Evidence:
    """Fit datamodels to few rows and to more; predict their scores from the law."""
    name = entry.problem
    found = laboratory.variances(name)
    setting = laboratory.settings[name]
    n_train = laboratory.problem(name).description.n_train
    law = pairs_law if setting.paired else ols_law
    estimates: dict[str, Attribution] = {}
    numbers: dict[str, float] = {}
    for share in ROWS_AN_EXAMPLE:
        n_rows = round(share * n_train)
        label = f"{share:g} N"
        n_models = 2 * n_rows if setting.paired else n_rows
        estimates[label] = fit_datamodel(laboratory.first_responses(name, n_models))
        ratio = found.parts.noise / found.parts.linear
        squared = law(ratio, n_train, torch.tensor(float(n_rows)))
        # On single held-out models of one seed: L + V_high + sigma_r^2 is all of V.
        seen = (squared * found.parts.linear / found.total).clamp(0, 1).sqrt()
        numbers[label] = spearman_map(seen).mean().item()
    return Evidence(
        estimates=estimates,
        numbers=numbers,
        held_out={"held out": evaluation_of(laboratory.evaluation(name))},
        blocked=laboratory.blocked(name),
    )


def judge(evidence: Evidence, entry: Entry) -> list[Part]:
    """The score seen is the score predicted, at every m."""
    parts = []
    for label, predicted in evidence.numbers.items():
        seen = lds(evidence.estimates[label], evidence.held_out["held out"]).mean
        parts.append(
            Part(
                name=f"m = {label}",
                statement=f"LDS seen less LDS predicted ({predicted:.3f}): 0 within "
                f"{TOLERANCE}",
                interval=seen.less(predicted),
                tolerance=(-TOLERANCE, TOLERANCE),
            )
        )
    return parts


def drawn(evidence: Evidence) -> tuple[Attribution, Attribution]:
    """Return what the figure shows: the datamodels of fewest and of most models."""
    labels = list(evidence.estimates)
    return evidence.estimates[labels[0]], evidence.estimates[labels[-1]]


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
    ),
    measure=measure,
    judge=judge,
    drawn=drawn,
    predicted_slope=lambda _: (1.0, "slope 1: the same coefficients"),
    notices=(SIGN, RANK),
)
