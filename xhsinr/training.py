"""Training of base networks: scenes in, a ``.safetensors`` base network out.

Every batch is a function of (seed, step) alone, and a checkpoint holds the parameters and
Adam's moments, so that a training that was stopped goes on to the same network.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.torch
import torch
from safetensors import SafetensorError
from scipy.fft import dctn
from torch import Tensor
from tqdm import tqdm

from xhsinr import latents
from xhsinr import scene as scenes
from xhsinr.entropy import TABLE_TOTAL, frequencies
from xhsinr.errors import NetworkError, SceneError
from xhsinr.latents import CLASSES
from xhsinr.meta import Batch, adapt, batch_loss, outer_loss, to_tensors
from xhsinr.network import HEADS, BaseNetwork, save_network
from xhsinr.siren import (
    Parameters,
    Siren,
    dct_parameters,
    forward,
    pixel_grid,
    random_parameters,
)
from xhsinr.spectral import SpectralBasis, SpectralStatistics

__all__ = [
    "TrainingScene",
    "TrainingSettings",
    "find_scenes",
    "load_scene",
    "read_settings",
    "train",
]

_CHECKPOINT_EVERY = 200
_VALIDATION_PATCHES = 64
_CALIBRATION_PATCHES = 256
_TABLE_SYMBOLS = 256
_TABLE_SCALES = 2.0 ** (np.arange(22) / 2 - 3)
# Share of the loss that quantisation may add at a scene's step of one: below 0.1 dB.
_QUANTISATION_LOSS = 0.02
_MOST_HALVINGS = 24

STARTS = ("random", "cosines")
_LEAST = {"patch": 0, "inner_steps": 1, "steps": 1, "batch": 1, "pixels": 0, "seed": 0}
_SUFFIXES = {".npy", ".mat", ".tif", ".tiff", ".img", ".dat"}

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class TrainingSettings:
    """What decides a base network besides its scenes; stored in its recipe.

    Attributes
    ----------
    head : {"scene", "shared"}
        Scores in each scene's own KLT basis, or bands scaled to [0, 1] as in the paper.
    patch : int
        Side of a patch; 0 for whole scenes, as in the paper.
    layers, width, latents : int
        K, d and L. With ``start="cosines"`` the width follows from the latents.
    outputs : int
        Scores of the ``scene`` head; the ``shared`` head takes the most bands of any scene.
    w0_first, w0 : float
        Frequency factors.
    modulation : {"shift", "shift+output"}
    start : {"random", "cosines"}
        SIREN's random start, or the zonal cosine transform that suits the scenes best.
    inner_steps : int
        Steps of the inner loop.
    inner_rate : float
        Their step size, the start of it where ``learn_rates``.
    learn_rates : bool
        Learn one step size for each latent.
    second_order : bool
        Differentiate through the inner loop.
    steps, batch : int
        Steps of the outer loop and patches in each.
    rate : float
        Adam's rate, after a short warm-up and then down along a cosine.
    pixels : int
        Pixels drawn of each patch and step; 0 for all.
    clip : float
        Largest norm of a gradient.
    seed : int
    """

    head: str = "scene"
    patch: int = 32
    layers: int = 1
    width: int = 256
    latents: int = 160
    outputs: int = 8
    w0_first: float = 30.0
    w0: float = 30.0
    modulation: str = "shift+output"
    start: str = "cosines"
    inner_steps: int = 2
    inner_rate: float = 0.5
    learn_rates: bool = True
    second_order: bool = True
    steps: int = 2000
    batch: int = 16
    rate: float = 5e-5
    pixels: int = 0
    clip: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        for name, known in (("head", HEADS), ("start", STARTS)):
            value = getattr(self, name)
            if value not in known:
                raise NetworkError(f"{name} {value!r} is unknown: this version has {known}")
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise NetworkError(f"{name} = {value!r}: a whole number from {least} on is needed")
        if self.start == "cosines" and self.patch == 0:
            raise NetworkError("a start at cosines needs patches: set patch, or start to random")


@dataclass(frozen=True)
class TrainingScene:
    """A scene as the network sees it.

    Attributes
    ----------
    name, digest : str
        For the recipe; the digest is the file's SHA-256.
    planes : ndarray of float32, shape (outputs, rows, cols)
        Scores over the scene's score scale, or bands scaled to [0, 1].
    unit, bands, span : float, int, float
        Data units of one unit of `planes`, bands of the scene, its max - min.
    left_out : float
        Mean over bands of the variance that is not in `planes`, in data units.
    """

    name: str
    digest: str
    planes: FloatArray
    unit: float
    bands: int
    span: float
    left_out: float

    def psnr(self, losses: npt.NDArray[np.floating[Any]]) -> float:
        """PSNR (equation 4) where patches have these losses, as `meta.batch_loss` has them."""
        mse = float(np.mean(losses)) * self.unit**2 / self.bands + self.left_out
        return 10 * math.log10(self.span**2 / mse)


def read_settings(recipe: Path | None, steps: int | None) -> TrainingSettings:
    """Settings of a JSON file, the defaults where it is silent."""
    try:
        given = {} if recipe is None else json.loads(recipe.read_text())
    except ValueError as error:
        raise NetworkError(f"{recipe} is no JSON: {error}") from error
    known = {field.name for field in fields(TrainingSettings)}
    if not isinstance(given, dict) or given.keys() - known:
        raise NetworkError(f"{recipe}: the settings of a recipe are {sorted(known)}")
    return TrainingSettings(**given | ({} if steps is None else {"steps": steps}))


def find_scenes(folder: Path, only: Collection[str] = ()) -> list[Path]:
    """Scene files to train on, sorted by name.

    Where the folder has a ``scenes.csv`` with a ``split`` column, only its ``train`` scenes;
    or the scenes named in ``only``, whichever split they are of.
    """
    found = [path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES]
    wanted = set(only) or _training_split(folder / "scenes.csv")
    missing = set(only) - {path.stem for path in found}
    if missing:
        raise SceneError(f"{folder} has no scene called {', '.join(sorted(missing))}")
    if wanted is not None:
        found = [path for path in found if path.stem in wanted]
    if not found:
        raise SceneError(f"{folder} has no scenes to train on (.npy, .mat, .tif, .img)")
    return sorted(found, key=lambda path: path.name)


def _training_split(listing: Path) -> set[str] | None:
    if not listing.is_file():
        return None
    with listing.open(newline="") as file:
        rows = csv.DictReader(file)
        if not {"scene", "split"} <= set(rows.fieldnames or ()):
            return None
        return {row["scene"] for row in rows if row["split"] == "train"}


def load_scene(path: Path, settings: TrainingSettings) -> TrainingScene:
    """Read a scene whole and bring it to what the head wants; it has to fit in memory."""
    scene = scenes.read(path)
    values = np.asarray(scene.window(slice(None), slice(None)))
    invalid = scene.invalid(values)
    values = values[~invalid.all(axis=(1, 2))].astype(np.float64)
    pixels = ~invalid[~invalid.all(axis=(1, 2))].any(axis=0)
    if len(values) < 2 or not pixels.any():
        raise SceneError(f"{path}: no pixel is valid in two bands or more; leave the scene out")
    statistics = SpectralStatistics(len(values))
    statistics.update(values[:, pixels])
    values[:, ~pixels] = statistics.mean[:, None]
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise SceneError(f"{path}: all samples are {low:g}; leave the scene out")
    if settings.head == "shared":
        unit, left_out = high - low, 0.0
        planes = ((values - low) / unit).astype(np.float32)
    else:
        variances = np.linalg.eigvalsh(statistics.covariance)[::-1]
        basis = SpectralBasis.from_statistics(
            statistics.mean,
            statistics.covariance,
            components=settings.outputs,
            distortion=1e-4 * float(variances.mean()),
            pixels=int(pixels.sum()),
        )
        unit = math.sqrt(variances[0])
        planes = (basis.scores(values) / unit).astype(np.float32)
        left_out = float(variances[settings.outputs :].sum()) / len(values)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return TrainingScene(path.stem, digest, planes, unit, len(values), high - low, left_out)


def train(
    training: Sequence[TrainingScene],
    validation: Sequence[TrainingScene],
    settings: TrainingSettings,
    out: Path,
    *,
    resume: bool = False,
    device: str = "cpu",
    progress: bool = True,
) -> BaseNetwork:
    """Meta-learn a base network and write it to ``out``.

    A checkpoint beside ``out`` is written every few hundred steps; ``resume`` goes on from it.
    The result is the same as without the stop.

    Parameters
    ----------
    training, validation : sequences of TrainingScene
        Validation scenes only make the curve; without any, the curve is in-sample.
    settings : TrainingSettings
    out : Path
        Ends in ``.safetensors``.
    resume : bool
    device : str
        ``cpu`` or ``cuda``.
    progress : bool
        Show a bar with the loss and the validation PSNR.

    Returns
    -------
    BaseNetwork
    """
    _check_sizes(training, validation, settings)
    siren, start = _start(training, settings)
    trainer = _Trainer(siren, start, settings, device)
    checkpoint = out.with_name(out.name + ".checkpoint")
    out.parent.mkdir(parents=True, exist_ok=True)
    if resume and checkpoint.is_file():
        trainer.restore(checkpoint)
    curve = trainer.curve
    bar = tqdm(
        total=settings.steps, initial=trainer.step, disable=not progress, unit="step", desc=out.stem
    )
    try:
        while trainer.step < settings.steps:
            loss = trainer.advance(_draw(training, settings, siren, trainer.step, device))
            bar.update()
            if trainer.step % _CHECKPOINT_EVERY == 0 or trainer.step == settings.steps:
                psnr = _validate(trainer, validation or training, settings)
                curve.append([trainer.step, round(loss, 7), round(psnr, 3)])
                bar.set_postfix_str(f"loss {loss:.4g}, validation {psnr:.2f} dB")
                trainer.save(checkpoint)
    finally:
        bar.close()
    recipe = {
        "settings": asdict(settings),
        "training": {scene.name: scene.digest for scene in training},
        "validation": {scene.name: scene.digest for scene in validation},
        "curve": curve,
        "curve_columns": ["step", "loss", "validation_psnr_db" if validation else "psnr_db"],
    }
    network = _calibrate(trainer, training, settings, recipe)
    network = save_network(network, out)
    checkpoint.unlink(missing_ok=True)
    return network


class _Trainer:
    """Shared parameters, learned rates and Adam's state."""

    def __init__(
        self, siren: Siren, start: Parameters, settings: TrainingSettings, device: str
    ) -> None:
        self.siren, self.settings = siren, settings
        self.step = 0
        self.curve: list[list[float]] = []
        self.parameters = {
            name: value.requires_grad_() for name, value in to_tensors(start, device).items()
        }
        self.rates = torch.full((siren.latents,), settings.inner_rate, device=device)
        groups = [{"params": list(self.parameters.values()), "lr": settings.rate}]
        if settings.learn_rates:
            self.rates.requires_grad_()
            # Rates are of the order of the inner rate; Adam moves each by its own rate a step.
            groups.append({"params": [self.rates], "lr": settings.rate * settings.inner_rate})
        self.adam = torch.optim.Adam(groups)
        self.warm_up = torch.optim.lr_scheduler.LambdaLR(self.adam, self._schedule)

    def _schedule(self, step: int) -> float:
        warm = min(1.0, (step + 1) / 100)
        return warm * (0.5 + 0.5 * math.cos(math.pi * min(1.0, step / self.settings.steps)))

    def advance(self, batch: Batch) -> float:
        """One step of the outer loop; returns the loss before it."""
        settings = self.settings
        loss = outer_loss(
            self.siren,
            self.parameters,
            self.rates,
            batch,
            settings.inner_steps,
            second_order=settings.second_order,
        )
        if not torch.isfinite(loss):
            raise NetworkError(
                f"the training diverged at step {self.step}: use a smaller rate "
                f"(now {settings.rate:g}) or w0 (now {settings.w0:g})"
            )
        self.adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._learned(), settings.clip)
        self.adam.step()
        self.warm_up.step()
        self.step += 1
        return float(loss.detach())

    def _learned(self) -> list[Tensor]:
        return [tensor for group in self.adam.param_groups for tensor in group["params"]]

    def adapt(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Latents and losses of a batch, with the parameters as they will be stored."""
        with torch.no_grad():
            stored, rates = self.stored(), self.rates.detach()
            found = adapt(self.siren, stored, rates, batch, self.settings.inner_steps)
            return found, batch_loss(forward(self.siren, stored, batch.coords, found), batch)

    def stored(self) -> dict[str, Tensor]:
        """The parameters as they will be stored, in float16."""
        return {name: value.detach().half().float() for name, value in self.parameters.items()}

    def save(self, path: Path) -> None:
        tensors = {f"parameter.{i}": tensor.detach() for i, tensor in enumerate(self._learned())}
        for i, state in self.adam.state_dict()["state"].items():
            tensors |= {f"adam.{i}.{name}": value for name, value in state.items()}
        header = {
            "settings": json.dumps(asdict(self.settings)),
            "step": str(self.step),
            "curve": json.dumps(self.curve),
        }
        partial = path.with_name(path.name + ".part")
        safetensors.torch.save_file(tensors, partial, header)
        partial.replace(path)

    def restore(self, path: Path) -> None:
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                header = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            settings = json.loads(header["settings"])
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise NetworkError(f"{path} is no checkpoint: remove it to start anew") from error
        if settings != asdict(self.settings):
            raise NetworkError(
                f"{path} was written with other settings: repeat them, or remove it to start anew"
            )
        self.step = int(header["step"])
        self.curve.extend(json.loads(header["curve"]))
        state = self.adam.state_dict()
        with torch.no_grad():
            for i, tensor in enumerate(self._learned()):
                tensor.copy_(tensors[f"parameter.{i}"])
                # Adam has no state of what never had a gradient, as hidden layers where K = 1.
                prefix = f"adam.{i}."
                moments = {
                    name.removeprefix(prefix): value
                    for name, value in tensors.items()
                    if name.startswith(prefix)
                }
                if moments:
                    state["state"][i] = moments
        for group in state["param_groups"]:
            group["lr"] = group["initial_lr"] * self._schedule(self.step)
        self.adam.load_state_dict(state)
        self.warm_up.last_epoch = self.step


def _check_sizes(
    training: Sequence[TrainingScene],
    validation: Sequence[TrainingScene],
    settings: TrainingSettings,
) -> None:
    outputs = settings.outputs
    if settings.head == "shared":
        outputs = max(len(scene.planes) for scene in training)
    for scene in [*training, *validation]:
        planes, rows, cols = scene.planes.shape
        if min(rows, cols) < settings.patch:
            raise SceneError(
                f"{scene.name} has {rows} x {cols} pixels, fewer than a patch of "
                f"{settings.patch} x {settings.patch}: leave it out"
            )
        if planes > outputs:
            raise SceneError(
                f"{scene.name} has {planes} planes, the network {outputs} outputs: leave it out"
            )


def _start(
    training: Sequence[TrainingScene], settings: TrainingSettings
) -> tuple[Siren, Parameters]:
    outputs = settings.outputs
    if settings.head == "shared":
        outputs = max(len(scene.planes) for scene in training)

    def siren(width: int) -> Siren:
        return Siren(
            layers=settings.layers,
            width=width,
            latents=settings.latents,
            outputs=outputs,
            w0_first=settings.w0_first,
            w0=settings.w0,
            modulation=settings.modulation,
        )

    rng = np.random.default_rng([settings.seed])
    if settings.start == "random":
        return siren(settings.width), random_parameters(siren(settings.width), rng)
    zone = _zone(training, settings, outputs)
    flipped = zone[:, 1:] * [1, -1]
    chosen = siren(len(np.unique(np.concatenate([zone[:, 1:], flipped]), axis=0)))
    parameters = dct_parameters(chosen, zone)
    weight = parameters["shift.weight"]
    weight[:] = rng.normal(scale=1e-3, size=weight.shape)
    return chosen, parameters


def _zone(
    training: Sequence[TrainingScene], settings: TrainingSettings, outputs: int
) -> npt.NDArray[np.int_]:
    """The (output, u, v) of the cosines that hold most energy over all training patches."""
    side = settings.patch
    energy = np.zeros((outputs, side, side))
    if energy.size < settings.latents:
        raise NetworkError(
            f"latents = {settings.latents}: {outputs} outputs of {side} x {side} pixels have "
            f"{energy.size} cosines"
        )
    for scene in training:
        patches = np.stack(list(_windows(scene.planes, side, max(1, side // 2))))
        energy[: len(scene.planes)] += np.mean(dctn(patches, axes=(2, 3)) ** 2, axis=0)
    # SciPy's unnormalised transform has twice the energy where a frequency is zero.
    energy[:, 0] /= 2
    energy[:, :, 0] /= 2
    largest = np.argsort(-energy, axis=None, kind="stable")[: settings.latents]
    output, v, u = np.unravel_index(largest, energy.shape)
    return np.stack([output, u, v], axis=1)


def _windows(planes: FloatArray, side: int, stride: int) -> Iterator[FloatArray]:
    if side == 0:
        yield planes
        return
    rows, cols = planes.shape[1:]
    for row in range(0, rows - side + 1, stride):
        for col in range(0, cols - side + 1, stride):
            yield planes[:, row : row + side, col : col + side]


def _as_batch(
    patches: Sequence[FloatArray],
    coords: Sequence[FloatArray] | FloatArray,
    outputs: int,
    device: str,
) -> Batch:
    """Pixel lists of shape (outputs of the scene, pixels) as one batch, unused outputs masked."""
    pixels = patches[0].shape[1]
    targets = np.zeros((len(patches), pixels, outputs), np.float32)
    used = np.zeros((len(patches), 1, outputs), np.float32)
    for i, patch in enumerate(patches):
        targets[i, :, : len(patch)] = patch.T
        used[i, :, : len(patch)] = 1
    return Batch(
        torch.from_numpy(np.asarray(coords)).to(device),
        torch.from_numpy(targets).to(device),
        None if used.all() else torch.from_numpy(used).to(device),
    )


def _draw(
    training: Sequence[TrainingScene],
    settings: TrainingSettings,
    siren: Siren,
    step: int,
    device: str,
) -> Batch:
    """The batch of one step: random patches of random scenes, flipped, turned, signs changed."""
    rng = np.random.default_rng([settings.seed, step, 1])
    chosen = [training[i] for i in rng.integers(len(training), size=settings.batch)]
    if settings.patch == 0:
        count = settings.pixels or min(scene.planes[0].size for scene in training)
        pixels, coords = [], []
        for scene in chosen:
            at = rng.integers(scene.planes[0].size, size=count)
            pixels.append(scene.planes.reshape(len(scene.planes), -1)[:, at])
            coords.append(pixel_grid(*scene.planes.shape[1:])[at])
        return _as_batch(pixels, coords, siren.outputs, device)
    side = settings.patch
    grid = pixel_grid(side, side)
    at = np.arange(side * side)
    if settings.pixels:
        at = rng.choice(at, size=settings.pixels, replace=False)
    patches = []
    for scene in chosen:
        row, col = (int(rng.integers(size - side + 1)) for size in scene.planes.shape[1:])
        patch = np.rot90(
            scene.planes[:, row : row + side, col : col + side], int(rng.integers(4)), (1, 2)
        )
        if rng.integers(2):
            patch = patch[:, ::-1]
        if settings.head == "scene":
            # The sign of a basis vector is a convention, so the network must not learn it.
            patch = patch * rng.choice(np.array([-1, 1], np.float32), size=(len(patch), 1, 1))
        patches.append(patch.reshape(len(patch), -1)[:, at])
    return _as_batch(patches, grid[at], siren.outputs, device)


def _whole(scene: TrainingScene, settings: TrainingSettings, outputs: int, device: str) -> Batch:
    """All patches of a scene that do not overlap, or a spread of them."""
    windows = list(_windows(scene.planes, settings.patch, settings.patch))
    spread = np.linspace(0, len(windows) - 1, min(len(windows), _VALIDATION_PATCHES)).astype(int)
    patches = [windows[i].reshape(len(scene.planes), -1) for i in spread]
    return _as_batch(patches, pixel_grid(*windows[0].shape[1:]), outputs, device)


def _validate(
    trainer: _Trainer, validation: Sequence[TrainingScene], settings: TrainingSettings
) -> float:
    psnrs = []
    for scene in validation:
        batch = _whole(scene, settings, trainer.siren.outputs, str(trainer.rates.device))
        psnrs.append(scene.psnr(trainer.adapt(batch)[1].cpu().numpy()))
    return float(np.mean(psnrs))


def _calibrate(
    trainer: _Trainer,
    training: Sequence[TrainingScene],
    settings: TrainingSettings,
    recipe: dict[str, Any],
) -> BaseNetwork:
    """Steps of the quantiser and tables of the coder, from latents of training patches."""
    siren, device = trainer.siren, str(trainer.rates.device)
    count = max(1, _CALIBRATION_PATCHES // settings.batch)
    batches = [_draw(training, settings, siren, settings.steps + i, device) for i in range(count)]
    adapted = [trainer.adapt(batch) for batch in batches]
    losses = torch.cat([loss for _, loss in adapted])
    sensitivity = _sensitivity(trainer, batches[0], adapted[0][0])
    # Quantising with step s adds s^2 / 12 times the sensitivity to the loss, for each latent.
    total = math.sqrt(12 * _QUANTISATION_LOSS * max(float(losses.mean()), 1e-12) / siren.latents)
    steps = total / np.sqrt(np.maximum(sensitivity, sensitivity.max() * 1e-6))
    network = BaseNetwork(
        siren=siren,
        head=settings.head,
        patch=settings.patch or None,
        parameters={n: p.detach().cpu().numpy() for n, p in trainer.parameters.items()},
        inner_steps=settings.inner_steps,
        inner_rates=trainer.rates.detach().cpu().numpy(),
        latent_steps=steps.astype(np.float32),
        latent_tables=np.zeros(siren.latents, np.uint8),
        tables=_tables(),
        recipe=recipe,
    )
    for _ in range(_MOST_HALVINGS):
        network = _with_tables(network, torch.cat([found for found, _ in adapted]).cpu().numpy())
        coded = torch.cat(
            [
                _quantised_loss(trainer, network, batch, found)
                for batch, (found, _) in zip(batches, adapted, strict=True)
            ]
        )
        # The rule takes errors for independent; where many latents are small together they
        # are not, and the steps have to be finer.
        if float((coded / losses).mean()) <= 1 + _QUANTISATION_LOSS:
            break
        finer = network.latent_steps / np.float32(math.sqrt(2))
        network = replace(network, latent_steps=finer)
    return network


def _with_tables(network: BaseNetwork, found: npt.NDArray[np.float32]) -> BaseNetwork:
    """The network with the table for each latent that codes these latents shortest."""
    symbols = np.rint(np.abs(found) / network.latent_steps).astype(np.int64)
    centre = (_TABLE_SYMBOLS - 2) // 2
    symbols = np.where(symbols <= centre, symbols + centre, _TABLE_SYMBOLS - 1)
    lengths = -np.log2(network.tables / TABLE_TOTAL)
    costs = np.stack([table[symbols].mean(0) for table in lengths])
    return replace(network, latent_tables=costs.argmin(0).astype(np.uint8))


def _quantised_loss(trainer: _Trainer, network: BaseNetwork, batch: Batch, found: Tensor) -> Tensor:
    """Losses of a batch with its latents as they are stored at a scene's step of one."""
    _, integers = latents.encode(found.cpu().numpy(), network, 0)
    stored = torch.from_numpy(latents.dequantise(integers, network, 0)).to(found.device)
    with torch.no_grad():
        output = forward(network.siren, trainer.stored(), batch.coords, stored)
        return batch_loss(output, batch)


def _sensitivity(trainer: _Trainer, batch: Batch, found: Tensor) -> npt.NDArray[np.float64]:
    """Mean squared change of the output for a unit change of each latent, by differences."""
    siren = trainer.siren
    total = np.zeros(siren.latents)
    width = 1e-2 * float(found.square().mean().sqrt()) + 1e-6
    moves = torch.eye(siren.latents, device=found.device) * width
    parameters = {name: value.detach() for name, value in trainer.parameters.items()}
    some = min(len(found), 4)
    for i in range(some):
        coords = batch.coords if batch.coords.ndim == 2 else batch.coords[i]
        coords = coords[:: max(1, len(coords) // 512)]
        base = forward(siren, parameters, coords, found[i : i + 1])
        for start in range(0, siren.latents, 64):
            moved = forward(siren, parameters, coords, found[i] + moves[start : start + 64])
            change = (moved - base).square().sum(-1).mean(-1)
            total[start : start + 64] += change.cpu().numpy().astype(np.float64) / width**2 / some
    return total


def _tables() -> npt.NDArray[np.uint16]:
    """Two-sided geometric tables, half an octave of scale apart, the last symbol the escape."""
    assert len(_TABLE_SCALES) > CLASSES // 2
    centre = (_TABLE_SYMBOLS - 2) // 2
    values = np.abs(np.arange(_TABLE_SYMBOLS - 1) - centre)[None, :]
    scale = _TABLE_SCALES[:, None]
    inner = np.exp(-(values - 0.5) / scale)
    weights = np.where(
        values == 0, 1 - np.exp(-0.5 / scale), (inner - np.exp(-(values + 0.5) / scale)) / 2
    )
    escape = np.exp(-(centre + 0.5) / scale)
    return frequencies(np.concatenate([weights, escape], axis=1))
