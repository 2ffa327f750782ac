"""Names of boxes in a picture: each where it can be read, however the boxes lie."""

from itertools import combinations

from PIL import Image

from jumok.views.pictures.boxes import new_photo, outline_boxes


def write(boxes, names, size=(360, 240)):
    photo = Image.new("RGB", size)
    _, axes = new_photo(photo, photo)
    outline_boxes(axes, boxes, names)
    return axes.bbox, [text.get_window_extent() for text in axes.texts]


def test_names_of_boxes_that_share_a_corner_stand_apart():
    boxes = [(0, 0, 60 + 20 * number, 200 - 15 * number) for number in range(7)]
    frame, written = write(boxes, [f"{number} cup 50%" for number in range(7)])
    assert len(written) == 7
    assert not any(one.overlaps(other) for one, other in combinations(written, 2))
    assert all(frame.x0 <= each.x0 and each.x1 <= frame.x1 for each in written)


def test_a_name_stands_in_the_upper_left_corner_where_there_is_room():
    frame, (one,) = write([(40, 60, 120, 200)], ["cat 90%"])
    scale = frame.width / 360
    assert abs(one.x0 - frame.x0 - 60 * scale) < 10
    assert abs(frame.y1 - one.y1 - 40 * scale) < 10


def test_names_for_which_there_is_no_room_are_written_all_the_same():
    _, written = write([(0, 0, 20, 20)] * 40, ["a very long name of a class"] * 40, size=(60, 40))
    assert len(written) == 40
