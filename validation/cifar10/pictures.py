"""Test images beside the training images that their datamodels put first."""

from typing import Any

import torch

from dmtheory.attribution import Attribution, Entry
from validation.cifar10.archive import Archive
from validation.cifar10.images import wide_datamodel
from validation.cifar10.pixels import picture
from validation.cifar10.works import IMAGES, SINGLE


def cases(archive: Archive, there: set[str]) -> list[dict[str, Any]]:
    """Return the test images whose first training image stands out most.

    That a training image weighs so much for one test image is how a leak looks.
    """
    if IMAGES not in there:
        return []
    datamodel = wide_datamodel(archive)
    spread = datamodel.scores.std(0).clamp_min(1e-300)
    standing = (datamodel.scores.amax(0) / spread).nan_to_num()
    targets = torch.argsort(standing, descending=True)[
        : archive.sizes.shown[0]
    ].tolist()
    return [_case(archive, datamodel, target) for target in targets]


def _case(archive: Archive, datamodel: Attribution, target: int) -> dict[str, Any]:
    data, title = archive.subjects.data, archive.subjects.titles()[SINGLE]
    ranking = datamodel.top(target, archive.sizes.shown[1])
    rows = {label: row for row, label in enumerate(data.train_labels)}

    def entry(found: Entry) -> dict[str, Any]:
        low, high = found.limits or (None, None)
        image = picture(data.x_train[rows[found.label]])
        return {
            "label": found.label,
            "score": found.score,
            "low": low,
            "high": high,
            "image": image,
            "record": None,
        }

    return {
        "problem": title,
        "title": f"{archive.subjects.title}: {data.target_labels[target]}",
        "intro": f"{archive.subjects.words} A training image that stands out this far "
        "may be a near-duplicate of the test image.",
        "target": {
            "label": data.target_labels[target],
            "image": picture(data.x_target[target]),
            "record": None,
        },
        "estimates": [
            {
                "name": "datamodel",
                "estimand": str(datamodel.estimand),
                "unit": datamodel.estimand.unit,
                "models_trained": datamodel.n_models,
                "method": datamodel.method,
                "note": "",
                "helpful": [entry(found) for found in ranking.helpful],
                "harmful": [entry(found) for found in ranking.harmful],
            }
        ],
    }
