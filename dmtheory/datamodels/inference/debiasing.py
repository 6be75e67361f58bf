"""The de-biased LASSO: standard errors for coefficients that a penalty shrank."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.agreement.subset_outputs import SubsetOutputs, evaluation_of
from dmtheory.attribution import Attribution
from dmtheory.designs import ComplementaryPairs, SubsetDesign
from dmtheory.designs.players import unit_size
from dmtheory.responses.responses import Responses


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Debiased:
    """De-biased coefficients.

    Attributes:
        coefficients: Estimates of beta without the penalty's bias.
        stderr: Their standard errors.
    """

    coefficients: Float[Tensor, "train targets"]
    stderr: Float[Tensor, "train targets"]


def debias(
    weights: Float[Tensor, "models train"],
    outputs: Float[Tensor, "models targets"],
    coefficients: Float[Tensor, "train targets"],
    design: SubsetDesign,
) -> Debiased:
    r"""Take the penalty's bias out of LASSO coefficients by one step.

    beta + Sigma^+ X_c'(y - X_c beta)/(n - df), df the size of the support and Sigma
    the design's exact covariance: p(1-p) I for independent masks, a(I - 11'/N) for
    masks of one size (coefficients then sum to zero). n = m - 1 independent rows with
    an intercept; for complementary pairs, half differences without one, n = M pairs.
    Without the factor n/(n - df) intervals miss non-zero coefficients when the support
    is no small share of n. Standard errors are |y - X_c beta| sqrt(Sigma^+_jj)/(n - df)
    and intervals are normal. Fewer models than examples are no obstacle.

    Args:
        weights: One mask a model, in the design's order.
        outputs: Outputs of the models.
        coefficients: LASSO coefficients fitted to them, in units of the raw mask.
        design: The law of the masks.

    Returns:
        Coefficients with standard errors.

    Raises:
        TypeError: If rows of the design depend on one another and are no complements.
        ValueError: If a support is as large as the number of rows.

    References:
        Javanmard and Montanari 2014; Bellec and Zhang 2022, De-biasing the Lasso with
        degrees-of-freedom adjustment, section 2.
    """
    x, y, n = _rows(weights, outputs, design)
    support = (coefficients != 0).sum(0)
    if bool((support >= n).any()):
        raise ValueError(
            f"coefficients must have fewer non-zero entries than the {n} degrees of "
            f"freedom, got {int(support.max())}: use a larger penalty or more models; "
            "a ridge or OLS fit has its own standard errors"
        )
    null = design.null_directions(x.shape[1])
    residuals = y - x @ coefficients
    freedom = (n - support).double()
    step, spread = _whitened(x.T @ residuals / freedom, design, null)
    return Debiased(
        coefficients=coefficients - null.T @ (null @ coefficients) + step,
        stderr=spread.sqrt()[:, None] * residuals.norm(dim=0) / freedom,
    )


def debiased(
    attribution: Attribution, responses: Responses | SubsetOutputs
) -> Attribution:
    """Return a LASSO datamodel without the penalty's bias, with standard errors.

    Args:
        attribution: The LASSO datamodel.
        responses: The models that it was fitted to.

    Returns:
        The de-biased datamodel, its intercept moved so that mean outputs are kept.

    Raises:
        TypeError: If the design is not known, or has no such estimate.
        ValueError: If these are not the models that it was fitted to.
    """
    sample = evaluation_of(responses)
    if attribution.seeds != sample.seeds:
        raise ValueError(
            "responses must be those that the attribution was fitted to, got "
            f"experiment seed {sorted(sample.seeds)} for {sorted(attribution.seeds)}"
        )
    labels = attribution.train_labels, attribution.target_labels
    if labels != (sample.train_labels, sample.target_labels):
        raise ValueError(
            "responses must have the attribution's train and target labels: de-bias "
            "before restricting it"
        )
    if sample.design is None:
        raise TypeError(
            "design must say how the masks were drawn: state it with the arrays"
        )
    plain = attribution.in_unit("per_weight")
    outputs = sample.mean_outputs()
    found = debias(sample.weights, outputs, plain.scores, sample.design)
    level = outputs.mean(0) - sample.weights.mean(0) @ found.coefficients
    made = replace(
        plain,
        scores=found.coefficients,
        stderr=found.stderr,
        units=None,
        intercept=level,
        method=f"de-biased LASSO; {attribution.method}",
    )
    return made.in_unit(attribution.estimand.unit)


def _rows(
    weights: Tensor, outputs: Tensor, design: SubsetDesign
) -> tuple[Tensor, Tensor, int]:
    """Return centred rows, and how many degrees of freedom they have.

    Returns:
        Masks and outputs without a constant, and n.

    Raises:
        TypeError: If rows depend on one another and are no complements.
    """
    if isinstance(design, ComplementaryPairs):
        half_difference = (outputs[::2] - outputs[1::2]) / 2
        return weights[::2] - 0.5, half_difference, len(half_difference)
    if unit_size(design) > 1:
        raise TypeError(
            "design must have independent rows or complementary pairs for a de-biased "
            f"estimate, got {type(design).__name__}"
        )
    x, y = weights - weights.mean(0), outputs - outputs.mean(0)
    return x, y, len(x) - 1


def _whitened(
    moments: Tensor, design: SubsetDesign, null: Tensor
) -> tuple[Tensor, Tensor]:
    """Return Sigma^+ moments and the diagonal of Sigma^+."""
    n_train = len(moments)
    if not len(null):
        # Independent masks of one variance: no N x N matrix is needed.
        p = design.inclusion(n_train)
        variance = torch.full((n_train,), p * (1 - p), dtype=torch.float64)
        return moments / variance[:, None], 1 / variance
    inverse = torch.linalg.pinv(design.covariance(n_train), hermitian=True)
    return inverse @ moments, inverse.diagonal()
