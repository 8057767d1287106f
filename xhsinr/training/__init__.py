"""Training of base networks: scenes in, a ``.safetensors`` base network out.

Every batch is a function of (seed, step) alone, and a checkpoint holds the parameters and
Adam's moments, so that a training that was stopped goes on to the same network.
"""

from xhsinr.training.scenes import TrainingScene, find_scenes, load_scene
from xhsinr.training.settings import TrainingSettings, read_settings
from xhsinr.training.train import train

__all__ = [
    "TrainingScene",
    "TrainingSettings",
    "find_scenes",
    "load_scene",
    "read_settings",
    "train",
]
