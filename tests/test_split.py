"""The split of photos by identity."""

import hashlib

from facegeom.training.data.split import TEST_PHOTOS, VALIDATION_PHOTOS, identity, split_names


def _names() -> list[str]:
    return [f"Person_{p:04d}_{i:04d}.jpg" for p in range(600) for i in range(1, 2 + p % 4)]


def test_parts_are_disjoint_in_photos_and_people_and_cover_all() -> None:
    names = _names()
    split = split_names(names)
    assert sorted([*split.training, *split.validation, *split.test]) == list(range(len(names)))
    people = [{identity(names[r]) for r in part} for part in split]
    assert len(people[0] | people[1] | people[2]) == sum(len(part) for part in people)


def test_sizes_are_rounded_up_to_a_whole_identity() -> None:
    split = split_names(_names())
    assert TEST_PHOTOS <= len(split.test) < TEST_PHOTOS + 4
    assert VALIDATION_PHOTOS <= len(split.validation) < VALIDATION_PHOTOS + 4


def test_the_test_set_comes_first_in_the_hash_order() -> None:
    names = _names()
    order = sorted({identity(n) for n in names}, key=lambda p: hashlib.sha256(p.encode()).hexdigest())
    people = {identity(names[r]) for r in split_names(names).test}
    assert people == set(order[: len(people)])


def test_order_of_the_list_does_not_matter() -> None:
    names = _names()
    there = {names[r] for r in split_names(names).test}
    back = names[::-1]
    assert {back[r] for r in split_names(back).test} == there


def test_identity_of_a_path_and_of_a_file_name() -> None:
    assert identity("A_B/A_B_0001.jpg") == identity("A_B_0001.jpg") == "A_B"
