"""The suite's problems with fewer models: decisive for convex ones still."""

from dataclasses import replace

from validation.problems import SMALL


def quick_settings():
    fewer = {"n_models": 3000, "n_averaged": 60}
    return {
        name: replace(setting, **fewer) if name.startswith("breast") else setting
        for name, setting in SMALL.items()
    }
