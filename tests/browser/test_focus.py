"""Whoever uses the chat page by keyboard, or has it read out, stays where they are while others come, go and talk."""

from playwright.sync_api import expect

from conftest import REFUSED
from test_chat import DESKTOP
from test_people import STRANGERS


def test_a_room_that_gets_more_people_keeps_the_focus_at_its_new_place(visitor):
    me, one, other = (visitor(viewport=DESKTOP).enter(name) for name in ("나", "하나", "둘"))
    for room in ("가", "나", "다"):
        one.create_or_join(room)
    rooms, focused = me.find("#others .place"), me.find("#others .place", has_text="다")
    expect(rooms).to_have_count(3)
    focused.focus()
    other.create_or_join("다")
    expect(rooms.first).to_contain_text("다")
    expect(focused).to_be_focused()
    for room in ("가", "나"):
        other.create_or_join(room)
    expect(rooms.last).to_contain_text("다")
    expect(focused).to_be_focused()


def test_when_a_person_leaves_the_focus_goes_on_to_the_next_one_and_in_the_end_to_the_title(visitor):
    me, one, other = (visitor(viewport=DESKTOP).enter(name, "마당") for name in ("나", "하나", "흰둘"))
    me.find("#persons .person", has_text="하나").focus()
    one.find("#leave").click()
    expect(me.find("#persons li")).to_have_count(2)
    expect(me.find("#persons .person", has_text="흰둘")).to_be_focused()
    other.find("#leave").click()
    expect(me.find("#persons li")).to_have_count(1)
    expect(me.find("#place")).to_be_focused()


def test_closing_all_whispers_leads_to_the_title(visitor):
    me, other = visitor(viewport=DESKTOP).enter("나", "마당"), visitor(viewport=DESKTOP).enter("친구", "마당")
    other.page.evaluate(STRANGERS, ["나", 0, 5])
    expect(me.find("#strangers-count")).to_have_text("5")
    me.find("#close-whispers").press("Enter")
    expect(me.find("#whispers-section")).to_be_hidden()
    expect(me.find("#place")).to_be_focused()


def test_whoever_is_not_let_into_a_room_is_told_so_and_goes_on_from_its_title(visitor):
    host, me = visitor(viewport=DESKTOP).enter("주인"), visitor(viewport=DESKTOP).enter("나").expects(*REFUSED)
    host.create("다실", 1)
    host.is_in("다실")
    me.find("#others .place", has_text="다실").press("Enter")
    expect(me.find("#blank")).to_contain_text("방이 가득 찼습니다")
    me.was_told("방이 가득 찼습니다. 자리가 나면 다시 들어와 주세요.")
    expect(me.find("#place")).to_be_focused()
