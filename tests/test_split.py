"""The split of photos by identity."""

import hashlib
from collections import Counter

from facegeom.training.data.split import (
    TEST_PHOTOS,
    TEST_PORTRAITS,
    VALIDATION_PHOTOS,
    VALIDATION_PORTRAITS,
    closed_eyes,
    identity,
    split_names,
)


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


COUNTS = {"sfhq": 2156, "congress": 878, "generated": 200, "london": 51}


def _portraits() -> list[str]:
    return [f"{source}_{i:04d}.jpg" for source, count in COUNTS.items() for i in range(count)]


def test_each_portrait_is_its_own_identity() -> None:
    assert identity("sfhq_0001.jpg") == "sfhq_0001"
    assert identity("congress/congress_0007.jpg") == "congress_0007"


def test_two_photos_of_one_person_in_london_share_an_identity() -> None:
    assert identity("london_0152.jpg") == identity("london_0050.jpg") != identity("london_0051.jpg")


def test_two_copies_of_one_picture_share_an_identity() -> None:
    assert identity("sfhq_0218.jpg") == identity("sfhq_0216.jpg")


def test_portraits_give_200_test_and_200_validation_photos_in_proportion_to_their_source() -> None:
    names = _portraits()
    split = split_names(names)
    counts = [Counter(identity(names[row]).rsplit("_", 1)[0] for row in part) for part in split]
    assert all(abs(len(part) - 200) <= 2 for part in split[1:])
    for part, size in ((counts[1], VALIDATION_PORTRAITS), (counts[2], TEST_PORTRAITS)):
        for source in ("sfhq", "congress", "generated"):
            assert abs(part[source] - size * COUNTS[source] / 3234) <= 1.5


def test_london_is_in_no_part() -> None:
    names = _portraits()
    assert not any(names[row].startswith("london") for part in split_names(names) for row in part)


def test_half_of_the_portraits_with_closed_eyes_are_test_photos() -> None:
    names = _portraits()
    test = {identity(names[row]) for row in split_names(names).test}
    assert sum(name in test for name in closed_eyes()) == (len(closed_eyes()) + 1) // 2


def test_portraits_do_not_change_the_split_of_other_photos() -> None:
    names = _names()
    alone, together = split_names(names), split_names([*names, *_portraits()])
    for a, b in zip(alone, together, strict=True):
        assert a.tolist() == [row for row in b if row < len(names)]
