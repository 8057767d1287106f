"""Training of base networks: scenes in, a ``.safetensors`` base network out. Needs torch."""

from xhsinr.devices import need_torch

need_torch("to train base networks")

from xhsinr.training.prior_training import PriorSettings, train_prior  # noqa: E402
from xhsinr.training.scenes import SceneSamples, find_scenes, load_samples  # noqa: E402
from xhsinr.training.settings import SirenSettings, read_settings  # noqa: E402
from xhsinr.training.siren_training import train_siren  # noqa: E402

__all__ = [
    "PriorSettings",
    "SceneSamples",
    "SirenSettings",
    "find_scenes",
    "load_samples",
    "read_settings",
    "train_prior",
    "train_siren",
]
