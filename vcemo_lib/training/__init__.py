"""Training: `fit(model, store, parts)` -> `Run`. One loop for the paper's model and for all its baselines."""

from vcemo_lib.training import checkpoint
from vcemo_lib.training.learner import Learner, learning_rate
from vcemo_lib.training.loop import fit
from vcemo_lib.training.runs import Predictions, Run, device, kinds_of

__all__ = ["Learner", "Predictions", "Run", "checkpoint", "device", "fit", "kinds_of", "learning_rate"]
