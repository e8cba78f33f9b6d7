"""The conversation of SPEC section 3 through third-party WebSocket libraries."""

import signal

import pytest
from talkers import Websockets


def test_two_guests_chat_whisper_list_and_leave(server, guest):
    hong, kim = guest("홍길동"), guest("김철수")
    assert hong.join("tech")["online_users"] == []
    joined = kim.join("tech")
    assert joined["online_users"] == ["홍길동"]
    assert joined["online_count"] == 2
    assert hong.expect("user_joined")["username"] == "김철수"

    hong.send("chat", room="tech", content="안녕하세요! 👋")
    heard = kim.expect("chat")
    assert heard == hong.expect("chat")
    assert (heard["username"], heard["content"]) == ("홍길동", "안녕하세요! 👋")

    kim.send("whisper", to="홍길동", content="비밀 메시지")
    assert kim.expect("whisper") == hong.expect("whisper")

    hong.send("room_list")
    (room,) = hong.expect("room_list")["rooms"]
    assert (room["name"], room["users"], room["messages"]) == ("tech", 2, 1)

    hong.send("leave", room="tech")
    assert hong.expect("room_left")["room"] == "tech"
    assert kim.expect("user_left")["username"] == "홍길동"
    kim.send("chat", room="tech", content="잘 가요")
    kim.expect("chat")
    assert hong.news() == []


def test_a_member_that_joins_later_reads_what_was_said(server, guest):
    hong = guest("홍길동")
    hong.join("tech")
    for number in range(55):
        hong.send("chat", room="tech", content=str(number))
        hong.expect("chat")
    history = guest("김철수").join("tech")["history"]
    assert [chat["content"] for chat in history] == [str(number) for number in range(5, 55)]


def test_a_resumed_connection_gets_exactly_the_missed_messages(server, guest):
    hong, kim = guest("홍길동"), guest("김철수")
    hong.join("tech")
    seen = kim.join("tech")["position"]
    hong.expect("user_joined")
    kim.drop()
    hong.expect("user_left")
    missed = []
    for content in ["하나", "둘", "셋"]:
        hong.send("chat", room="tech", content=content)
        missed.append(hong.expect("chat"))
    back = guest("김철수").join("tech", since=seen)
    assert back["history"] == missed
    assert back["recovered"] is True
    assert back["position"] == missed[-1]["position"]


def test_a_message_is_acknowledged_and_sent_once(server, guest):
    hong = guest("홍길동")
    hong.join("tech")
    hong.send("chat", room="tech", content="한 번", id="1")
    first = {message["type"]: message for message in hong.news()}
    assert first["ack"]["position"] == first["chat"]["position"]
    hong.send("chat", room="tech", content="한 번", id="1")
    assert hong.news() == [first["ack"]]


def test_a_full_room_refuses_another_user_but_not_another_tab(server, guest):
    server.rest.post("/rooms", json={"name": "작은 방", "max_users": 1})
    guest("홍길동").join("작은 방")
    kim = guest("김철수")
    kim.send("join", room="작은 방")
    assert kim.expect("error")["code"] == "room_full"
    assert guest("홍길동").join("작은 방")["online_users"] == []


def test_a_closing_handshake_is_completed(server, guest):
    hong, kim = guest("홍길동"), guest("김철수")
    hong.join("tech")
    kim.join("tech")
    hong.expect("user_joined")
    kim.close()
    assert hong.expect("user_left")["username"] == "김철수"


def test_the_code_and_reason_of_a_refusal_are_seen(server, guest):
    for name in ["", "admin", "가" * 33]:
        refused = guest.library(server.socket_url(name))
        assert refused.close_code() == (4001, "유효하지 않은 티켓")
        refused.drop()


def test_a_drain_says_going_away(server, guest):
    hong = guest("홍길동")
    hong.join("tech")
    server.process.send_signal(signal.SIGTERM)
    assert hong.close_code()[0] == 1001
    hong.drop()
    assert server.stop() == 0


@pytest.mark.parametrize("options", [{}, {"compression": None}], ids=["deflate offered", "plain"])
def test_pings_fragments_and_offers_of_compression_do_not_disturb(server, options):
    hong = Websockets(server.socket_url("홍길동"), **options)
    assert hong.socket.protocol.extensions == []
    hong.expect("welcome")
    assert hong.socket.ping(b"are you there").wait(30), "no pong came"
    hong.socket.send(iter(['{"type":"jo', 'in","room', '":"tech"}']))
    assert hong.expect("room_joined")["room"] == "tech"
    hong.close()


def test_the_echo_returns_everything(start):
    server = start("--echo")
    echo = Websockets(f"ws://{server.host}/ws-echo", max_size=None)
    for message in ["", "안녕", b"", bytes(range(256)) * 4096, "가" * 400_000]:
        echo.socket.send(message)
        assert echo.socket.recv(timeout=30) == message
    echo.close()
