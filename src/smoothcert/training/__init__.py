"""Training base classifiers under Gaussian noise, so that there is something to certify."""

from smoothcert.training.engine import Trained, train
from smoothcert.training.recipe import Recipe

__all__ = ["Recipe", "Trained", "train"]
