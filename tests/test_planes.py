"""The coding ``planes``: what it decodes, in how many bytes, and what it makes of damage."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xhsinr
from xhsinr.coding.contract import Frame
from xhsinr.coding.overview import block_means
from xhsinr.coding.planes import PlanesCoding
from xhsinr.coding.planes_tile import PlaneDecoder, PlaneEncoder, Record
from xhsinr.demo import synthetic_scene
from xhsinr.errors import DamagedSidecarError, NetworkNotFoundError, UnsupportedVersionError
from xhsinr.network.file import save_network
from xhsinr.network.prior import FIXED, INPUTS, package_prior
from xhsinr.spectral.basis import SpectralBasis, SpectralStatistics
from xhsinr.transform.wavelet import LEVELS, analyse

PRIOR = package_prior()


def planes_like(shape, seed=0, largest=20.0):
    """Smooth planes of falling strength, with noise."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[: shape[1], : shape[2]]
    smooth = np.sin(rows / 5 + rng.uniform(0, 6, (shape[0], 1, 1))) * np.cos(cols / 7)
    strength = largest / (1 + np.arange(shape[0]))[:, None, None]
    return strength * smooth + rng.laplace(0, 0.4, shape)


def coding_of(samples, step=8.0, components=5):
    statistics = SpectralStatistics(len(samples))
    statistics.update(samples.reshape(len(samples), -1))
    basis = SpectralBasis.from_statistics(
        statistics.mean,
        statistics.covariance,
        components=components,
        distortion=step**2 / 12,
        pixels=samples[0].size,
    )
    frame = Frame(samples.dtype, len(samples), samples.min().item(), samples.max().item())
    return PlanesCoding(frame, basis, float(np.float32(step)))


def samples_like(bands=12, rows=40, cols=37, dtype=np.int16, seed=0):
    planes = planes_like((4, rows, cols), seed, 300.0)
    mixing = np.random.default_rng(seed).uniform(0, 1, (bands, 4))
    return (1000 + np.tensordot(mixing, planes, 1)).astype(dtype)


@given(
    st.integers(1, 4),
    st.integers(1, 36),
    st.integers(1, 36),
    st.integers(0, 99),
    st.sampled_from([0.0, 0.11]),
    st.sampled_from([0.4, 20.0, 1e7]),
)
@settings(max_examples=40, deadline=None)
def test_decoder_and_encoder_agree_to_the_bit(components, rows, cols, seed, worth, largest):
    encoder = PlaneEncoder(planes_like((components, rows, cols), seed, largest), PRIOR, worth)
    expected = encoder.planes()
    decoder = PlaneDecoder(encoder.content(), components, rows, cols, PRIOR)
    decoded = decoder.planes()
    decoder.check()
    assert len(decoded) == len(expected)
    for first, second in zip(decoded, expected, strict=True):
        np.testing.assert_array_equal(first, second)


def test_without_a_price_of_bits_coefficients_are_rounded():
    planes = planes_like((3, 64, 64))
    decoded = np.array(PlaneEncoder(planes, PRIOR, 0.0).planes())
    assert np.square(decoded - planes).mean() < 1 / 12


def test_a_price_of_bits_saves_bytes_for_less_than_they_cost():
    planes = planes_like((6, 64, 64))
    rounded, priced = PlaneEncoder(planes, PRIOR, 0.0), PlaneEncoder(planes, PRIOR, 0.11)
    errors = [np.square(np.array(e.planes())[:6] - planes).sum() for e in (rounded, priced)]
    bits = [8 * len(e.content()) for e in (rounded, priced)]
    assert bits[1] < bits[0]
    assert errors[1] - errors[0] < 0.2 * (bits[0] - bits[1])


def test_a_plane_like_another_takes_fewer_bytes():
    rng = np.random.default_rng(3)
    edges = 30.0 * (rng.random((8, 8)) > 0.5).repeat(8, 0).repeat(8, 1)
    alike, other = np.stack([edges, 0.5 * edges]), np.stack([edges, 0.5 * edges[:, ::-1].T])
    sizes = []
    for planes in (alike, other):
        encoder = PlaneEncoder(planes, PRIOR)
        encoder.planes()
        sizes.append(len(encoder.content()))
    assert sizes[0] < 0.8 * sizes[1]


def test_a_record_has_every_coefficient_that_was_coded():
    record = Record()
    PlaneEncoder(planes_like((3, 32, 48)), PRIOR, 0.11, record).planes()
    assert all(
        inputs.shape == (len(kinds), INPUTS + FIXED)
        for inputs, kinds in zip(record.inputs, record.kinds, strict=True)
    )
    assert 0 < sum(map(len, record.kinds)) <= 3 * 32 * 48
    assert len(record.means) == 3 * 13


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_samples_of_every_type_keep_their_range(dtype):
    samples = samples_like(seed=1) // 8
    samples = samples.astype(dtype)
    coding = coding_of(samples, step=1.0)
    parts = coding.encode(samples, None, "cpu")
    decoded = coding.decode(parts, 40, 37, None)
    assert decoded.dtype == dtype
    assert decoded.min() >= samples.min()
    assert decoded.max() <= samples.max()
    assert np.abs(decoded.astype(float) - samples).std() < 1.5


def test_bands_are_those_of_the_whole_tile():
    samples = samples_like()
    coding = coding_of(samples)
    parts = coding.encode(samples, None, "cpu")
    bands = np.array([7, 0, 7])
    np.testing.assert_array_equal(
        coding.decode(parts, 40, 37, bands), coding.decode(parts, 40, 37, None)[bands]
    )


@pytest.mark.parametrize("factor", [2, 3, 8, 64])
def test_coarse_samples_are_means(factor):
    samples = samples_like()
    coding = coding_of(samples)
    parts = coding.encode(samples, None, "cpu")
    coarse = coding.decode_coarse(parts, 40, 37, factor, None)
    means = block_means(coding.decode(parts, 40, 37, None), factor)
    assert np.sqrt(np.square(coarse - means).mean()) < 0.04 * samples.std()


@pytest.mark.parametrize("left_out", range(1, LEVELS + 1))
def test_what_lacks_the_finest_levels_is_the_coarse_image_at_that_level(left_out):
    coarse = planes_like((9, 75, 90), largest=60.0)
    encoder = PlaneEncoder(coarse, PRIOR)
    encoder.planes()
    content = encoder.content()
    coarse = PlaneDecoder(content, 9, 75, 90, PRIOR).planes()
    for _ in range(left_out):
        coarse = [analyse(plane)[0] for plane in coarse]
    found = PlaneDecoder(content, 9, 75, 90, PRIOR).planes(left_out)
    # Weak components may lack the last level.
    error, energy = np.square(np.array(found) - coarse).sum(), np.square(coarse).sum()
    assert error < 0.005 * energy
    np.testing.assert_allclose(found[0], coarse[0], atol=1e-6)


def test_parameters_come_back():
    coding = coding_of(samples_like())
    again = PlanesCoding.from_bytes(coding.to_bytes(), coding.frame)
    assert again.step == coding.step
    np.testing.assert_array_equal(again.basis.vector_integers, coding.basis.vector_integers)


def test_expected_errors_are_near_what_is_left():
    samples = samples_like(rows=96, cols=96)
    for step in (4.0, 16.0):
        coding = coding_of(samples, step)
        scores = coding.basis.scores(samples)
        again = coding.basis.scores(
            coding.decode(coding.encode(samples, None, "cpu"), 96, 96, None)
        )
        left = np.square(scores - again).mean()
        expected = coding.expected_errors(samples, np.array([step]))[0]
        assert 0.5 < left / expected < 2


def test_a_scene_of_one_spectrum_takes_no_bytes():
    samples = np.full((5, 9, 9), 7, np.uint8)
    coding = coding_of(samples)
    assert coding.encode(samples, None, "cpu") == {}
    np.testing.assert_array_equal(coding.decode({}, 9, 9, None), samples)


@given(st.binary(min_size=8, max_size=400), st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_any_bytes_decode_or_are_reported(content, rows, cols):
    coding = coding_of(samples_like())
    try:
        decoded = coding.decode({"planes": content}, rows, cols, None)
    except DamagedSidecarError:
        return
    assert decoded.shape == (12, rows, cols)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_a_changed_byte_is_reported_or_stays_in_range(data):
    samples = samples_like()
    coding = coding_of(samples)
    content = bytearray(coding.encode(samples, None, "cpu")["planes"])
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        decoded = coding.decode({"planes": bytes(content)}, 40, 37, None)
    except DamagedSidecarError:
        return
    assert decoded.min() >= samples.min()
    assert decoded.max() <= samples.max()


def test_cut_bytes_are_reported():
    samples = samples_like()
    coding = coding_of(samples)
    content = coding.encode(samples, None, "cpu")["planes"]
    with pytest.raises(DamagedSidecarError):
        coding.decode({"planes": content[4:]}, 40, 37, None)
    with pytest.raises(DamagedSidecarError):
        coding.decode({"planes": content[:5]}, 40, 37, None)


def test_headers_of_no_planes_are_refused():
    coding = coding_of(samples_like())
    with pytest.raises(DamagedSidecarError):
        PlanesCoding.from_bytes(b"\1", coding.frame)
    with pytest.raises(UnsupportedVersionError):
        PlanesCoding.from_bytes(b"\3" + coding.to_bytes()[1:], coding.frame)
    with pytest.raises(DamagedSidecarError):
        PlanesCoding.from_bytes(replace(coding, step=-1.0).to_bytes(), coding.frame)


@pytest.fixture(scope="module")
def own_prior(tmp_path_factory):
    """A prior that is not the package's, in a folder of its own."""
    path = tmp_path_factory.mktemp("own") / "o.safetensors"
    return save_network(replace(PRIOR, bias_1=PRIOR.bias_1 + 9, bias_2=PRIOR.bias_2 - 9), path)


@pytest.mark.parametrize("asked", [{"psnr": 42}, {"max_error": 40}, {"quality": "preview"}])
def test_a_file_may_need_a_prior_of_ones_own(own_prior, tmp_path, asked):
    scene, path = synthetic_scene(48, 52, 20), tmp_path / "a.hsinr"
    info = xhsinr.compress(scene, path, network=own_prior.path, progress=False, **asked).info
    assert info["network"]["sha256"] == own_prior.digest
    held = tmp_path / "networks" / f"o-{own_prior.digest[:12]}.safetensors"
    assert held.read_bytes() == own_prior.path.read_bytes()
    errors = xhsinr.open(path).open().values.astype(float) - scene.values
    assert np.sqrt(np.square(errors).mean()) == pytest.approx(info["rmse"], rel=1e-4)
    held.unlink()
    with pytest.raises(NetworkNotFoundError, match="networks"):
        xhsinr.open(path).sidecar.codec()


def test_a_lossless_file_needs_no_prior_and_the_packages_is_none_of_ones_own(own_prior, tmp_path):
    scene, path = synthetic_scene(24, 28, 8), tmp_path / "a.hsinr"
    for asked in ({"network": own_prior.path, "lossless": True}, {"network": PRIOR.path}):
        info = xhsinr.compress(scene, path, overwrite=True, progress=False, **asked).info
        assert info["network"] is None
        assert not (tmp_path / "networks").exists()
