"""Where blocks of trainings run."""
