"""Training: `fit(model, store, parts)` -> `Run`. One loop for the paper's model and for all its baselines.

    loop         the loop itself, on one page
    preparation  from a feature store to what the loop needs: read, scaled, on the device, frames averaged
    learner      one update: losses, gradients, MoCo's key encoder and queue
    runs         what comes out: `Run` and `Predictions`
    checkpoint   tensors and facts in one checked file
    distributed  several processes that train one model
"""

from vcemo_lib.training import checkpoint
from vcemo_lib.training.learner import Learner, learning_rate
from vcemo_lib.training.loop import fit
from vcemo_lib.training.runs import Predictions, Run, device, kinds_of

__all__ = ["Learner", "Predictions", "Run", "checkpoint", "device", "fit", "kinds_of", "learning_rate"]
