"""The scatter of predicted against trained outputs."""

from dmtheory.agreement.prediction import Prediction
from dmtheory.checks import check_choice
from dmtheory.rendering.figures import Scatter, Slope


def prediction_scatter(prediction: Prediction, *, target: str | None = None) -> Scatter:
    """Return trained outputs against predicted ones, for `draw_scatter`.

    Both are taken from the mean trained output of their target, so that many targets
    share one figure and a perfect datamodel lies on the line of slope 1.

    Args:
        prediction: What `held_out_prediction` returned.
        target: One target's label; all of them by default.

    Returns:
        The scatter, a point a subset and target.
    """
    centre = prediction.trained.mean(0)
    predicted, trained = prediction.predicted - centre, prediction.trained - centre
    what = f"{len(prediction.target_labels)} targets"
    if target is not None:
        check_choice(target, prediction.target_labels, "target")
        column = prediction.target_labels.index(target)
        predicted, trained, what = predicted[:, column], trained[:, column], target
    return Scatter(
        x=tuple(predicted.flatten().tolist()),
        y=tuple(trained.flatten().tolist()),
        title=f"Predicted and trained outputs of held-out subsets, {what}",
        x_label="predicted output, from the target's mean",
        y_label="trained output, from the target's mean",
        predicted=Slope(1.0, "perfect prediction"),
    )
