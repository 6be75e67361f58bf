"""The claims, one file each."""

from validation.claim import Claim
from validation.claims import (
    bridge,
    convex_influence,
    inverse_p_scaling,
    matched_derivative,
    multilinear_identity,
    one_over_n,
    posted_identity,
    sample_mean,
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
    )
}
