import pytest

from icploop.io.warehouse import Position, Warehouse


def test_before_the_first_page_nothing_waits_and_there_is_no_position(warehouse: Warehouse):
    assert warehouse.position("hubspot", "deals") is None
    assert warehouse.landed("hubspot", "deals") == []
    assert not warehouse.path.exists()


def test_a_record_replaces_the_one_with_its_id_and_they_come_in_the_order_of_ids(
    warehouse: Warehouse,
):
    warehouse.land("hubspot", "deals", {"2": {"v": 1}, "1": {"v": 1}}, Position("x", {"after": 2}))
    warehouse.land("hubspot", "deals", {"2": {"v": 2}}, Position("x", {"after": 3}))
    assert warehouse.landed("hubspot", "deals") == [{"v": 1}, {"v": 2}]
    assert warehouse.position("hubspot", "deals") == Position("x", {"after": 3})


@pytest.mark.parametrize("other", [("hubspot", "companies"), ("stripe", "deals")])
def test_each_thing_of_each_source_waits_for_itself(warehouse: Warehouse, other: tuple[str, str]):
    warehouse.land("hubspot", "deals", {"1": {"v": 1}}, Position("x", None))
    warehouse.land(*other, {"1": {"v": 2}}, Position("y", None, fresh=True))
    assert warehouse.landed("hubspot", "deals") == [{"v": 1}]
    assert warehouse.position("hubspot", "deals") == Position("x", None)


def test_a_position_that_starts_anew_empties_the_landing(warehouse: Warehouse):
    warehouse.land("hubspot", "deals", {"1": {"v": 1}}, Position("x", {"after": 1}))
    warehouse.land("hubspot", "deals", {"2": {"v": 2}}, Position("y", {"after": 2}, fresh=True))
    assert warehouse.landed("hubspot", "deals") == [{"v": 2}]


def test_of_a_page_that_cannot_be_kept_neither_records_nor_position_are(warehouse: Warehouse):
    warehouse.land("hubspot", "deals", {"1": {"v": 1}}, Position("x", {"after": 1}))
    with pytest.raises(TypeError):
        warehouse.land("hubspot", "deals", {"2": {"v": 2}}, Position("x", {"after": object()}))
    assert warehouse.landed("hubspot", "deals") == [{"v": 1}]
    assert warehouse.position("hubspot", "deals") == Position("x", {"after": 1})
