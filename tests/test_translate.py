"""The translator of renderings into photos: identity at the start, losses, training and measures."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from facegeom.cli import main
from facegeom.errors import FacegeomError, WeightsError
from facegeom.face_model import load_face_model
from facegeom.networks.facevision import FaceVision, FaceVisionConfig, FaceVisionGenerator, MapTensors
from facegeom.networks.pix2vertex import Pix2Vertex, Pix2VertexConfig, Pix2VertexNetworks
from facegeom.networks.translator import Translator, TranslatorConfig, load_translator, translate_images
from facegeom.networks.weights import save_weights
from facegeom.training.data.photo_data import Sources, load_training_data
from facegeom.training.data.random_crops import MixOptions
from facegeom.training.data.samples import FaceSamples
from facegeom.training.data.synthetic import SyntheticFaces
from facegeom.training.data.translated import TranslatedFaces
from facegeom.training.maps import train_translate, validation
from facegeom.training.maps.train_translate import PairStream, TranslateOptions, TranslatorTrainer, geometric_loss
from facegeom.training.maps.translation_metrics import (
    ClassifierOptions,
    classifier_accuracy,
    draw_photos,
    draw_renders,
    geometry_change,
    grey_background,
    translate_all,
    translation_sheet,
)

CPU = torch.device("cpu")
SMALL = TranslateOptions(
    size=32, batch=2, images=16, warmup=1, discriminator_width=4, epoch_images=8, translator=TranslatorConfig(8, 1)
)
FACEVISION = FaceVisionConfig(size=32, encoder_widths=(8,) * 4, encoder_blocks=(0, 0, 1, 0), decoder_widths=(8,) * 3)


def networks() -> list[FaceVision | Pix2Vertex]:
    torch.manual_seed(0)
    return [FaceVision(FaceVisionGenerator(FACEVISION)), Pix2Vertex(Pix2VertexNetworks(Pix2VertexConfig(32, 4)))]


def images(count: int, seed: int, size: int = 32) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, 3, size, size), dtype=np.uint8))


def changed_translator() -> Translator:
    """A translator that increases the brightness."""
    translator = Translator(SMALL.translator)
    with torch.no_grad():
        translator.change.bias.fill_(0.25)
    return translator


@pytest.fixture(scope="module")
def rendering(samples: FaceSamples) -> FaceSamples:
    """Return samples of photos and of synthetic faces without a texture model."""
    source = SyntheticFaces(load_face_model(), train_translate.UPRIGHT).draw
    return FaceSamples(load_face_model(), samples.store, samples.labels, samples.rows, train_translate.UPRIGHT, source)


def test_an_untrained_translator_is_the_identity() -> None:
    image = images(2, 0)
    assert torch.equal(translate_images(Translator().eval(), image), image)
    brighter = translate_images(changed_translator().eval(), image).int() - image.int()
    assert brighter.max() == 32
    assert brighter.min() >= 0


def test_translation_of_one_image_equals_that_in_a_batch() -> None:
    torch.manual_seed(0)
    translator = Translator(SMALL.translator)
    torch.nn.init.normal_(translator.change.weight)
    image = images(3, 0)
    together = translate_images(translator, image)
    alone = torch.cat([translate_images(translator, one[None]) for one in image])
    assert (together.int() - alone.int()).abs().max() <= 1


def test_translator_weights_file_round_trip(tmp_path: Path) -> None:
    file = tmp_path / "translator.safetensors"
    save_weights(file, SMALL.translator, changed_translator().state_dict())
    assert torch.equal(
        translate_images(load_translator(file), images(1, 1)), translate_images(changed_translator(), images(1, 1))
    )
    save_weights(file, TranslatorConfig(16, 1), changed_translator().state_dict())
    with pytest.raises(WeightsError, match="another version"):
        load_translator(file)
    with pytest.raises(ValueError, match="width must be a multiple of 8"):
        Translator(TranslatorConfig(12))


def test_geometric_loss_in_closed_form() -> None:
    probability = torch.zeros(1, 4, 4)
    probability[:, :2] = 1.0
    before = MapTensors(torch.zeros(1, 4, 4), torch.zeros(1, 3, 4, 4), probability)
    assert geometric_loss(before, before).item() == 0.0
    depth = torch.full((1, 4, 4), 0.2)
    depth[:, 2:] = 1e3  # outside the face the depth has no meaning
    after = MapTensors(depth, torch.zeros(1, 3, 4, 4), probability)
    assert geometric_loss(before, after).item() == pytest.approx(0.2 / 4)
    elsewhere = MapTensors(before.depth, before.correspondence, probability.flip(1))
    assert geometric_loss(before, elsewhere).item() == pytest.approx(1.0)


@pytest.mark.parametrize("number", [0, 1], ids=["facevision", "pix2vertex"])
def test_a_step_trains_both_networks_but_not_the_frozen_one(number: int) -> None:
    network = networks()[number]
    module = network.generator if isinstance(network, FaceVision) else network.networks
    frozen = {name: value.clone() for name, value in module.state_dict().items()}
    trainer = TranslatorTrainer(SMALL, network.maps, CPU)
    sides = {side: getattr(trainer, side) for side in ("generator", "discriminator")}
    before = {side: [p.detach().clone() for p in part.parameters()] for side, part in sides.items()}
    terms = [trainer.train_step(images(2, i), images(2, 10 + i)) for i in range(2)]
    assert set(terms[0]) == {"adversarial", "geometry", "discriminator", "real", "fake", "gradient_norm"}
    assert terms[0]["geometry"] == 0.0  # the translator is still the identity
    assert np.isfinite(list(terms[1].values())).all()
    for side, part in sides.items():
        assert any(not torch.equal(a, b) for a, b in zip(before[side], part.parameters(), strict=True)), side
    assert all(torch.equal(frozen[name], value) for name, value in module.state_dict().items())


def test_equation_7_can_be_left_out() -> None:
    trainer = TranslatorTrainer(replace(SMALL, geometry_weight=0.0), networks()[0].maps, CPU)
    assert "geometry" not in trainer.train_step(images(2, 0), images(2, 1))


def test_training_resumes_exactly() -> None:
    predict = networks()[0].maps
    whole, first, second = (TranslatorTrainer(SMALL, predict, CPU) for _ in range(3))
    for trainer, steps in ((whole, range(4)), (first, range(2)), (second, range(2, 4))):
        if trainer is second:
            second.load(first.state())
        for step in steps:
            trainer.train_step(images(2, step), images(2, 10 + step))
    for name, tensor in whole.generator.state_dict().items():
        assert torch.equal(tensor, second.generator.state_dict()[name]), name


def test_pairs_depend_only_on_seed_and_number(rendering: FaceSamples) -> None:
    first, second = PairStream(rendering, 32, 7, 0, 20), PairStream(rendering, 32, 7, 12, 20)
    for a, b in zip(first[15], second[3], strict=True):
        assert a.shape == (3, 32, 32)
        assert a.dtype == torch.uint8
        assert torch.equal(a, b)
    renders, photos = draw_renders(rendering, 32, 7, 3), draw_photos(rendering, 32, 7, 3)
    assert renders.shape == photos.shape == (3, 3, 32, 32)
    assert not torch.equal(renders[0], first[0][0])  # test renderings differ from training renderings
    without = FaceSamples(rendering.renderer.model, rendering.store, rendering.labels, rendering.rows)
    with pytest.raises(ValueError, match="without synthetic faces"):
        draw_renders(without, 32, 0, 1)


def test_geometry_change_in_closed_form() -> None:
    """The network takes the brightness as depth, and the translation doubles the contrast."""

    def predict(image: torch.Tensor) -> MapTensors:
        return MapTensors(
            image[:, 0], torch.stack([image[:, 0] * 0, image[:, 0] * 0, image[:, 0]], 1), image[:, 0] * 0 + 1
        )

    ramp = torch.linspace(64, 191, 32).round().to(torch.uint8).expand(30, 3, 32, 32)  # more than one batch
    nothing = geometry_change(lambda x: x, predict, ramp, CPU)
    assert nothing == {"depth_percent": 0.0, "mm": 0.0, "iou": 1.0}
    doubled = geometry_change(lambda x: 2 * x, predict, ramp, CPU)
    assert doubled["depth_percent"] == pytest.approx(25.0, rel=0.05)
    assert doubled["mm"] == pytest.approx(25.0, rel=0.05)


def test_grey_background_replaces_pixels_outside_the_predicted_mask() -> None:
    def predict(image: torch.Tensor) -> MapTensors:
        return MapTensors(None, None, (image[:, 0] > 0).float())

    seen = images(30, 1)
    shown = grey_background(images(30, 2), seen, predict, CPU)
    face = (seen[:, :1] > 127).expand_as(shown)
    assert torch.equal(shown[face], images(30, 2)[face])
    assert (shown[~face] == 128).all()


def test_the_classifier_separates_different_classes_and_not_equal_ones() -> None:
    options = ClassifierOptions(width=4, epochs=4, batch=16)
    dark, bright, more = images(64, 0) // 3, 255 - images(64, 1) // 3, images(64, 2) // 3
    assert classifier_accuracy((bright, dark), (bright, more), CPU, options) > 0.95
    same = classifier_accuracy((images(64, 3), images(64, 4)), (images(100, 5), images(100, 6)), CPU, options)
    assert same == pytest.approx(0.5, abs=0.15)


def test_sheet_shows_six_rows() -> None:
    sheet = translation_sheet(changed_translator(), networks()[0].maps, images(3, 0), CPU)
    assert sheet.shape == (6 * 32, 3 * 32, 3)
    np.testing.assert_allclose(sheet[:32, :32], images(3, 0)[0].permute(1, 2, 0).numpy(), atol=1)
    assert sheet[96:128].mean() > sheet[:32].mean() + 15


def test_translated_faces_keep_their_labels(tmp_path: Path, rendering: FaceSamples) -> None:
    save_weights(tmp_path / "t.safetensors", SMALL.translator, changed_translator().state_dict())
    assert rendering.synthetic is not None
    plain, eyes = rendering.synthetic(np.random.default_rng(5), 32)
    shown, same = TranslatedFaces(rendering.synthetic, tmp_path / "t.safetensors").draw(np.random.default_rng(5), 32)
    for name in ("depth", "correspondence", "mask", "origin", "scale"):
        np.testing.assert_array_equal(getattr(shown, name), getattr(plain, name))
    np.testing.assert_array_equal(eyes, same)
    assert shown.image.dtype == np.uint8
    assert shown.image.mean() > plain.image.mean() + 15
    expected = translate_all(changed_translator(), torch.from_numpy(plain.image).permute(2, 0, 1)[None], CPU)
    np.testing.assert_array_equal(shown.image, expected[0].permute(1, 2, 0).numpy())


def test_a_translator_without_synthetic_faces_is_refused(tmp_path: Path, labels: object, folder: Path) -> None:
    labels.save(tmp_path / "labels.npz")  # type: ignore[attr-defined]
    with pytest.raises(FacegeomError, match="needs synthetic faces"):
        load_training_data(
            Sources(folder, tmp_path / "labels.npz", translator=tmp_path / "t"), MixOptions(), synthetic=False
        )


def test_validation_and_training_photos_have_the_same_crops(tmp_path: Path, labels: object, folder: Path) -> None:
    labels.save(tmp_path / "labels.npz")  # type: ignore[attr-defined]
    data = load_training_data(Sources(folder, tmp_path / "labels.npz"), train_translate.UPRIGHT, synthetic=False)
    assert data.training.mix == data.validation.mix == train_translate.UPRIGHT
    assert (len(data.training.rows), len(data.validation.rows)) == (17, 300)


@pytest.mark.slow
def test_the_command_trains_measures_and_its_file_trains_pix2vertex(
    tmp_path: Path,
    labels: object,
    texture: object,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    labels.save(tmp_path / "labels.npz")  # type: ignore[attr-defined]
    texture.save(tmp_path / "texture.npz")  # type: ignore[attr-defined]
    save_weights(tmp_path / "net.safetensors", FACEVISION, FaceVisionGenerator(FACEVISION).state_dict())
    monkeypatch.setattr(validation, "VALIDATION_FACES", 2)
    monkeypatch.setattr(train_translate, "EXAMINED", 3)
    shared = [str(folder), "--labels", str(tmp_path / "labels.npz"), "--texture-model", str(tmp_path / "texture.npz")]
    shared += ["--size", "32", "--batch", "2", "--images", "6", "--workers", "1"]
    out = tmp_path / "translate"
    command = ["train", "translate", *shared, "-o", str(out), "--network", str(tmp_path / "net.safetensors")]
    assert main([*command, "--measure", "4", "--classify", "6"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["renders"] == 4
    judged = {f"{of}classifier_{when}" for of in ("", "face_") for when in ("before", "after")}
    assert {"depth_percent", "mm", "iou", *judged} <= set(figures)
    assert json.loads((out / "report.json").read_text()) == pytest.approx(figures, nan_ok=True)
    assert (out / "sheet.png").is_file()
    assert main([*command, "--no-geometry"]) == 1
    assert "other options" in capsys.readouterr().err

    command = ["train", "pix2vertex", *shared, "-o", str(tmp_path / "p2v"), "--width", "4", "--synthetic-only"]
    assert main([*command, "--translator", str(out / "translator.safetensors")]) == 0
    assert "photo_depth_percent" in capsys.readouterr().out
