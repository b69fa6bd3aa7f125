"""Schedule and samplers of the diffusion model, against the formulas of the papers on normally distributed data."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from facegeom.networks.diffusion.samplers import Predict, ddim, ddpm, invert
from facegeom.networks.diffusion.schedule import Schedule

MEAN, DEVIATION = 1.5, 0.6


def exact(schedule: Schedule, mean: float = MEAN, deviation: float = DEVIATION) -> Predict:
    """Return the best prediction of the velocity where the data are normally distributed.

    The posterior mean of x_0 is m + s^2 sqrt(a) / (a s^2 + 1 - a) (x_t - sqrt(a) m), a linear regression.
    """

    def predict(noisy: Tensor, time: int) -> Tensor:
        a = float(schedule.kept[time])
        gain = deviation**2 * math.sqrt(a) / (a * deviation**2 + 1 - a)
        image = mean + gain * (noisy - math.sqrt(a) * mean)
        return (math.sqrt(a) * noisy - image) / math.sqrt(1 - a)

    return predict


def normal_result(schedule: Schedule, times: list[int], eta: float = 0.0) -> tuple[float, float, float]:
    """Return gain, offset and standard deviation of the random part of DDIM on these data: x_0 = gain x_T + offset + e.

    By equations 12 and 16 of Song et al. 2021; each step is linear.
    """
    gain, offset, variance = 1.0, 0.0, 0.0
    for time, before in itertools.pairwise(times):
        a, b = float(schedule.kept[time]), float(schedule.kept[before])
        slope = DEVIATION**2 * math.sqrt(a) / (a * DEVIATION**2 + 1 - a)
        rest = MEAN - slope * math.sqrt(a) * MEAN  # image = slope x + rest
        spread = eta * math.sqrt((1 - b) / (1 - a) * (1 - a / b))
        ratio = math.sqrt(max(1 - b - spread**2, 0)) / math.sqrt(1 - a)
        step = math.sqrt(b) * slope + ratio * (1 - math.sqrt(a) * slope)
        gain, offset = step * gain, step * offset + (math.sqrt(b) - ratio * math.sqrt(a)) * rest
        variance = step**2 * variance + spread**2
    return gain, offset, math.sqrt(variance)


def test_the_cosine_schedule_is_that_of_the_paper() -> None:
    schedule = Schedule.cosine(1000)
    t = np.arange(1001) / 1000
    f = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(schedule.kept[:999], f[:999] / f[0], rtol=1e-9)
    assert schedule.kept[0] == 1
    assert 0 <= float(schedule.kept[-1]) < 1e-5
    assert schedule.times(4) == [1000, 750, 500, 250, 0]
    assert schedule.times(1000) == list(range(1000, -1, -1))


def test_velocity_image_and_noise_are_one_rotation() -> None:
    schedule = Schedule.cosine(50)
    image, noise = torch.randn(2, 3, 4, 4, 4, generator=torch.Generator().manual_seed(0)).double().unbind(0)
    for time in (torch.tensor([1, 25, 50]), 25):
        noisy = schedule.noisy(image, noise, time)
        velocity = schedule.velocity(image, noise, time)
        parts = schedule.parts(noisy, velocity, time)
        torch.testing.assert_close(parts.image, image)
        torch.testing.assert_close(parts.noise, noise)
        torch.testing.assert_close(noisy.square() + velocity.square(), image.square() + noise.square())


def test_noise_of_the_steps_has_the_variance_of_the_papers() -> None:
    """Eta 1 between neighbouring times: beta-tilde of Ho et al. 2020, equation 7."""
    schedule = Schedule.cosine(100)
    kept = schedule.kept.numpy()
    for time in (2, 50, 99):
        beta = 1 - kept[time] / kept[time - 1]
        assert schedule.spread(time, time - 1) ** 2 == pytest.approx((1 - kept[time - 1]) / (1 - kept[time]) * beta)
        assert schedule.spread(time, time - 1, 0.5) == pytest.approx(0.5 * schedule.spread(time, time - 1))
    assert schedule.spread(50, 0) == 0


@pytest.mark.parametrize("steps", [5, 20, 50])
def test_ddim_is_the_linear_map_of_the_paper(steps: int) -> None:
    schedule = Schedule.cosine(1000)
    times = schedule.times(steps)
    noise = torch.linspace(-3, 3, 7, dtype=torch.float64)[:, None]
    gain, offset, _ = normal_result(schedule, times)
    torch.testing.assert_close(
        ddim(exact(schedule), noise, schedule, times), gain * noise + offset, rtol=1e-9, atol=1e-9
    )


def test_ddim_in_many_steps_makes_the_distribution_of_the_data() -> None:
    schedule = Schedule.cosine(1000)
    gain, offset, _ = normal_result(schedule, schedule.times(1000))
    assert gain == pytest.approx(DEVIATION, rel=2e-3)
    assert offset == pytest.approx(MEAN, rel=2e-3)


@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_ddim_with_noise_has_the_distribution_of_the_paper(eta: float) -> None:
    schedule = Schedule.cosine(1000)
    times, generator = schedule.times(20), torch.Generator().manual_seed(1)
    noise = torch.randn(20_000, 1, generator=generator, dtype=torch.float64)
    made = ddim(exact(schedule), noise, schedule, times, eta, generator)
    gain, offset, spread = normal_result(schedule, times, eta)
    assert float(made.mean()) == pytest.approx(offset, abs=0.02)
    assert float(made.std()) == pytest.approx(math.hypot(gain, spread), rel=0.02)
    assert float((made - gain * noise).std()) == pytest.approx(spread, rel=0.02)
    assert normal_result(schedule, schedule.times(1000), eta)[1] == pytest.approx(MEAN, rel=5e-3)


def test_ddpm_makes_the_distribution_of_the_data_and_is_ddim_with_eta_1() -> None:
    schedule = Schedule.cosine(200)
    noise = torch.randn(4000, 1, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    sources = [torch.Generator().manual_seed(3) for _ in range(2)]
    made = ddpm(exact(schedule), noise, schedule, sources[0])
    other = ddim(exact(schedule), noise, schedule, schedule.times(200), 1.0, sources[1])
    torch.testing.assert_close(made, other, rtol=1e-7, atol=1e-7)
    assert float(made.mean()) == pytest.approx(MEAN, abs=0.04)
    assert float(made.std()) == pytest.approx(DEVIATION, rel=0.05)


def test_inversion_leads_back_to_the_image() -> None:
    schedule = Schedule.cosine(1000)
    times = schedule.times(20)
    image = torch.linspace(0, 3, 9, dtype=torch.float64)[:, None]
    errors = []
    for rounds in (1, 2, 4, 40):
        noise = invert(exact(schedule), image, schedule, times, rounds)
        errors.append(float((ddim(exact(schedule), noise, schedule, times) - image).abs().max()))
    assert errors == sorted(errors, reverse=True)
    assert errors[0] < 0.2
    assert errors[2] < 1e-2
    assert errors[3] < 1e-9


def test_inverted_noise_is_that_from_which_the_data_were_made() -> None:
    """In many steps the noise of an image is its number of standard deviations from the mean."""
    schedule = Schedule.cosine(1000)
    image = torch.tensor([[MEAN - DEVIATION], [MEAN], [MEAN + 2 * DEVIATION]], dtype=torch.float64)
    noise = invert(exact(schedule), image, schedule, schedule.times(500), 3)
    torch.testing.assert_close(noise, torch.tensor([[-1.0], [0.0], [2.0]], dtype=torch.float64), rtol=0.01, atol=0.02)


def test_bad_arguments_are_named() -> None:
    schedule, x = Schedule.cosine(10), torch.zeros(1, 1)
    with pytest.raises(ValueError, match="fall from 1"):
        Schedule(torch.tensor([1.0, 0.5, 0.6]))
    with pytest.raises(ValueError, match="steps"):
        schedule.times(11)
    with pytest.raises(ValueError, match="times must be at least two falling integers"):
        ddim(exact(schedule), x, schedule, [0, 10])
    with pytest.raises(ValueError, match="eta"):
        ddim(exact(schedule), x, schedule, [10, 0], 1.5)
    with pytest.raises(ValueError, match="rounds"):
        invert(exact(schedule), x, schedule, [10, 0], 0)


def test_the_samplers_agree_with_those_of_diffusers() -> None:
    """A peer's schedulers, with our schedule of the noise; its times start at 0 for our time 1."""
    diffusers = pytest.importorskip("diffusers", reason="the library diffusers is not a dependency")
    schedule = Schedule.cosine(100)
    betas = (1 - schedule.kept[1:] / schedule.kept[:-1]).float().numpy()
    common = {
        "num_train_timesteps": 100,
        "trained_betas": betas,
        "prediction_type": "v_prediction",
        "clip_sample": False,
    }
    predict, x = exact(schedule), torch.linspace(-2, 2, 5)[:, None]
    peer = diffusers.DDIMScheduler(**common, timestep_spacing="trailing", set_alpha_to_one=True)
    peer.set_timesteps(20)
    noise = x
    for time in peer.timesteps.tolist():
        noise = peer.step(predict(noise, time + 1), time, noise, eta=0.0).prev_sample
    torch.testing.assert_close(noise, ddim(predict, x, schedule, schedule.times(20)), rtol=1e-3, atol=1e-3)
    image, drawn = torch.randn(2, 6, 3, 8, 8, generator=torch.Generator().manual_seed(4)).unbind(0)
    times = torch.tensor([0, 10, 30, 50, 70, 99])
    torch.testing.assert_close(
        peer.add_noise(image, drawn, times), schedule.noisy(image, drawn, times + 1), rtol=1e-3, atol=1e-3
    )
    torch.testing.assert_close(
        peer.get_velocity(image, drawn, times), schedule.velocity(image, drawn, times + 1), rtol=1e-3, atol=1e-3
    )
