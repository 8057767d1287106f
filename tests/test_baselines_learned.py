"""What is special to the codecs that learn from the scene, and to those that use HEVC."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from xhsinr import metrics
from xhsinr.bench.codecs import Target, load
from xhsinr.errors import TargetError

pytest.importorskip("av")
pytest.importorskip("pywt")

from xhsinr.bench.codecs import dwt_svr, inr, integers, subbands, x265
from xhsinr.bench.codecs.reflectance import Reflectance


@pytest.fixture
def smooth(rng: np.random.Generator) -> np.ndarray:
    """A small scene of two materials with a little noise, (32, 24, 20)."""
    share = np.linspace(0, 1, 32)[:, None, None] * np.linspace(1, 0.5, 24)[:, None]
    spectra = 1000 + 500 * np.sin(np.arange(20) / np.array([[3.0], [7.0]]))
    scene = share * spectra[0] + (1 - share) * spectra[1] + rng.normal(0, 3, (32, 24, 20))
    return scene.astype(np.uint16)


def test_frames_of_12_bits_survive_hevc_nearly_unchanged(rng):
    frames = rng.integers(0, x265.PEAK + 1, (3, 17, 30)).astype(np.uint16)
    decoded = x265.decode(x265.encode(list(frames), qp=0))
    assert decoded.shape == frames.shape
    assert np.abs(decoded.astype(int) - frames).max() < 40


@pytest.mark.parametrize("side", [17, 32, 64])
def test_frames_of_hardly_a_block_have_the_same_bytes_each_time(rng, side):
    frames = list(rng.integers(0, x265.PEAK + 1, (12, side, side)).astype(np.uint16))
    streams = {x265.encode(frames, qp=6) for _ in range(4)}
    assert len(streams) == 1
    assert np.abs(x265.decode(streams.pop()).astype(int) - frames).max() < 100


def test_a_stream_cut_into_packets_has_one_for_each_frame(rng):
    frames = rng.integers(0, x265.PEAK + 1, (5, 16, 16)).astype(np.uint16)
    assert len(x265.packets(x265.encode(list(frames), qp=20))) == 5


def test_an_encoder_without_latency_gives_each_frame_at_once(rng):
    encoder, decoder = x265.Encoder(16, 16, 20, tune="zerolatency"), x265.Decoder()
    for _ in range(4):
        packet = encoder.add(rng.integers(0, x265.PEAK + 1, (16, 16)).astype(np.uint16))
        assert len(decoder.add(packet)) == 1


def test_hevc_gains_from_bands_that_look_alike(rng):
    band = rng.integers(0, 4000, (32, 32, 1))
    alike = np.repeat(band, 12, axis=2).astype(np.uint16)
    unlike = rng.integers(0, 4000, (32, 32, 12)).astype(np.uint16)
    target, codec = Target("psnr", 40), load("hevc")
    assert len(codec.encode(alike, target)) < len(codec.encode(unlike, target)) / 3


def test_the_mixture_predicts_a_band_better_than_the_band_before(smooth):
    model = Reflectance((32, 24), noise=1.0)
    for band in range(12):
        model.add(smooth[:, :, band].astype(np.float64))
    before, predicted = model.references()
    wanted = smooth[:, :, 12]
    assert np.square(predicted - wanted).mean() < 0.5 * np.square(before - wanted).mean()


def test_the_regression_is_that_of_scikit_learn():
    svm = pytest.importorskip("sklearn.svm")
    places = np.stack(np.meshgrid(*[np.arange(n) for n in (3, 4, 6)], indexing="ij"), -1)
    places = places.reshape(-1, 3).astype(float)
    # Odd about its middle, so that scikit-learn's constant is zero, which ours lacks.
    values = np.random.default_rng(1).normal(0, 1, (3, 4, 6))
    values = values - values[::-1, ::-1, ::-1]
    weights = dwt_svr.regress(values, 0.3, iterations=500)
    gamma = 1 / (2 * dwt_svr._WIDTH**2)
    other = svm.SVR(kernel="rbf", C=1e6, epsilon=0.3, gamma=gamma, tol=1e-8)
    other.fit(places, values.ravel())
    expected = np.zeros(values.size)
    expected[other.support_] = other.dual_coef_[0]
    np.testing.assert_allclose(weights.ravel(), expected, atol=2e-3)


def test_most_places_of_noise_within_epsilon_support_nothing(rng):
    weights = dwt_svr.regress(rng.normal(0, 0.1, (8, 8, 8)), 0.5)
    assert (weights == 0).mean() > 0.99


@pytest.mark.parametrize("largest", [0, 1, 5000])
def test_integers_and_subbands_come_back_as_they_went(rng, largest):
    shapes = [(2, 3, 4), (4, 3, 8), (8, 8, 8)]
    arrays = [rng.integers(-largest, largest + 1, shape).astype(np.int32) for shape in shapes]
    for array, decoded in zip(
        arrays, subbands.decode(subbands.encode(arrays), shapes), strict=True
    ):
        np.testing.assert_array_equal(decoded, array)
    for array, decoded in zip(arrays, integers.decode(integers.encode(arrays)), strict=True):
        np.testing.assert_array_equal(decoded, array.ravel())


@pytest.mark.parametrize(("key", "bytes_each"), [("inr", 4), ("hp_inr", 2), ("hp_inr_sampling", 2)])
def test_an_inr_stores_its_weights_and_little_else(smooth, key, bytes_each):
    payload = load(key, layers=3, width=8, steps=2).encode(smooth, Target("native"))
    weights = (2 * 8 + 8) + 2 * (8 * 8 + 8) + (8 * 20 + 20)
    assert 0 <= len(payload) - bytes_each * weights < 32


def test_half_precision_costs_an_inr_little(smooth):
    psnr = []
    for codec in (inr.Inr(3, 16, 150), inr.HalfInr(3, 16, 150)):
        payload = codec.encode(smooth, Target("native"))
        psnr.append(metrics.psnr(smooth, codec.decode(payload)))
    assert psnr[0] > 25
    assert psnr[1] > psnr[0] - 3


def test_the_fit_of_an_inr_is_the_same_each_time(smooth):
    codec = inr.SampledInr(2, 8, 5)
    assert codec.encode(smooth, Target("native")) == codec.encode(smooth, Target("native"))


def test_an_inr_refuses_a_rate(smooth):
    with pytest.raises(TargetError, match="INR takes targets of native"):
        load("inr").encode(smooth, Target("bpppb", 1.0))


def test_the_network_of_wsrc_predicts_details(scenes):
    from xhsinr.bench.codecs import wsrc

    scene = np.load(scenes / "jasper_ridge_224.npy").astype(np.float64)
    low, details = wsrc.halve(scene - scene.mean(axis=(0, 1)))
    predicted = wsrc._details((low / low.std()).astype(np.float32)) * low.std()
    assert np.square(predicted - details).mean() < 0.95 * np.square(details).mean()


def test_bytes_decode_in_a_fresh_process(smooth, tmp_path: Path):
    keys = ("hevc", "rpm", "dwt_svr", "wsrc")
    payloads = {key: load(key).encode(smooth, Target("bpppb", 2.0)) for key in keys}
    for key, payload in payloads.items():
        (tmp_path / key).write_bytes(payload)
    program = (
        "import numpy as np; from pathlib import Path; from xhsinr.bench.codecs import load;"
        f"[np.save(key + '.npy', load(key).decode(Path(key).read_bytes())) for key in {keys}]"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    for key, payload in payloads.items():
        np.testing.assert_array_equal(np.load(tmp_path / f"{key}.npy"), load(key).decode(payload))
