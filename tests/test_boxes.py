"""Boxes: overlap and non-maximum suppression."""

from __future__ import annotations

import numpy as np
import pytest

from facegeom.images.boxes import iou, suppress


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corner = rng.uniform(0, 50, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(5, 30, (count, 2))], axis=1)


def test_iou_is_symmetric_and_1_for_equal_boxes() -> None:
    boxes = random_boxes(np.random.default_rng(0), 20)
    table = iou(boxes, boxes)
    np.testing.assert_allclose(table, table.T)
    np.testing.assert_allclose(np.diag(table), 1)


def test_overlap_of_the_smaller_box_is_1_for_a_box_inside_another() -> None:
    inner, outer = np.array([[2.0, 2, 4, 4]]), np.array([[0.0, 0, 8, 8]])
    assert iou(inner, outer)[0, 0] == 4 / 64
    assert iou(inner, outer, of_smaller=True)[0, 0] == 1


def test_suppression_keeps_the_best_of_overlapping_boxes() -> None:
    boxes = np.array([[0.0, 0, 10, 10], [1, 0, 11, 10], [30, 30, 40, 40]])
    np.testing.assert_array_equal(suppress(boxes, np.array([0.5, 0.9, 0.1]), 0.5), [1, 2])


def test_boxes_after_suppression_do_not_overlap() -> None:
    rng = np.random.default_rng(1)
    boxes, scores = random_boxes(rng, 60), rng.random(60)
    keep = suppress(boxes, scores, 0.3)
    table = iou(boxes[keep], boxes[keep])
    assert (table - np.eye(len(keep))).max() <= 0.3
    assert np.all(np.diff(scores[keep]) <= 0)


@pytest.mark.parametrize("count", [0, 1])
def test_suppression_accepts_no_box_and_one_box(count: int) -> None:
    boxes = random_boxes(np.random.default_rng(0), count)
    assert suppress(boxes, np.ones(count), 0.4).shape == (count,)
