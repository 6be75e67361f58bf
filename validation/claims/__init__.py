"""The claims, one file each."""

from validation.claim import Claim
from validation.claims import (
    average_not_instance,
    bridge,
    convex_influence,
    duplicates,
    fixed_size_design,
    influence_gap,
    interior_undetermined,
    interval_coverage,
    inverse_p_scaling,
    leave_one_out_limit,
    linear_enough,
    matched_derivative,
    multilinear_identity,
    noise_law,
    one_over_n,
    pathwise_vs_response,
    posted_identity,
    regularised_datamodels,
    sample_efficiency,
    sample_mean,
    taylor_corollary,
    unrolled_to_influence,
    why_datamodels_win,
)

CLAIMS: dict[str, Claim] = {
    module.CLAIM.id: module.CLAIM
    for module in (
        posted_identity,
        bridge,
        multilinear_identity,
        matched_derivative,
        inverse_p_scaling,
        one_over_n,
        convex_influence,
        sample_mean,
        interior_undetermined,
        duplicates,
        leave_one_out_limit,
        fixed_size_design,
        regularised_datamodels,
        noise_law,
        linear_enough,
        taylor_corollary,
        average_not_instance,
        why_datamodels_win,
        sample_efficiency,
        interval_coverage,
        unrolled_to_influence,
        pathwise_vs_response,
        influence_gap,
    )
}
