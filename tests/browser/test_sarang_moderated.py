"""sarang.js alone, where moderators act: messages are deleted, people put out and refused with a reason."""

import pytest

from test_sarang_module import module  # noqa: F401

GONE = "const gone = (seq, epoch = 'e1') => ({ type: 'deleted', room: 'r', position: `${epoch}:${seq}` });"
TOLD = "await start(); window.deleted = []; chat.addEventListener('deleted', ({ detail }) => deleted.push(detail.position)); chat.join('r'); last().welcomes();"


@pytest.fixture
def told(module):  # noqa: F811
    """Runs a script with what was deleted in `deleted`."""

    def run(script):
        return module(GONE + script)

    run.later = module.later
    run(TOLD)
    return run


def test_a_deleted_message_is_told_live_and_is_in_its_place_in_a_history(told):
    told("""
      last().says(joined('e1:3', [line(1), gone(2), line(3)]), line(4), gone(3));
      check(seen('room_joined')[0].messages.map(({ type, position, content = null }) => [type, position, content]),
        [['chat', 'e1:1', 'm1'], ['deleted', 'e1:2', null], ['chat', 'e1:3', 'm3']]);
      check(deleted, ['e1:3']);
      check(seen('chat').map(({ gap }) => gap), [false]);
    """)


def test_what_was_deleted_while_we_were_away_is_told_and_what_is_new_is_told_once(told):
    told("last().says(joined('e1:2', [line(1), line(2)])); last().ends();")
    told.later(500)
    told("""
      last().welcomes(); last().says(joined('e1:4', [gone(1), gone(3), line(4)], true));
      const { messages, gap } = seen('room_joined')[1];
      check([messages.map(({ type, position }) => [type, position]), gap], [[['deleted', 'e1:3'], ['chat', 'e1:4']], false]);
      check(deleted, ['e1:1']);
    """)


def test_a_position_of_another_epoch_is_told_as_the_message_was_reported(told):
    told("last().says(joined('e1:0'), line(1), line(2), line(3), line(4)); last().ends();")
    told.later(500)
    told("""
      // What was deleted meanwhile is in the middle and at the end of what is known.
      last().welcomes(); last().says(joined('e2:4', [gone(1, 'e2'), line(2, 'you', 'm2', 'e2'), line(3, 'you', 'm3', 'e2'), gone(4, 'e2')]));
      check([seen('room_joined')[1].messages, deleted], [[], ['e1:1', 'e1:4']]);
      last().says(line(5, 'you', 'm5', 'e2'), gone(3, 'e2'), gone(5, 'e2'));
      check(deleted.slice(2), ['e1:3', 'e2:5']);
      // The last ones are lost, and others have their numbers.
      last().says(joined('e3:3', [line(1, 'you', 'x', 'e3'), line(2, 'you', 'm2', 'e3'), line(3, 'you', 'other', 'e3')]), gone(2, 'e3'), gone(3, 'e3'));
      check(deleted.slice(4), ['e1:2', 'e3:3']);
    """)


def test_positions_of_a_past_that_is_lost_are_not_taken_for_those_of_the_new_one(told):
    told("""
      last().says(joined('e1:0'), line(1), line(2), joined('e2:1', [line(1, 'they', 'new', 'e2')]), gone(1, 'e2'), gone(2, 'e2'));
      check(deleted, ['e2:1', 'e2:2']);
      last().says(line(1, 'they', 'newer', 'e3'), gone(1, 'e3'));
      check(deleted.at(-1), 'e3:1');
    """)


@pytest.mark.parametrize("why", ["reason: 'kicked'", "reason: 'spam', until: null", "reason: 'room_removed'"])
def test_a_room_that_we_are_put_out_of_is_told_with_the_reason_and_not_joined_again(told, why):
    told(f"""
      last().says(joined('e1:0')); const sent = chat.say('r', 'hi');
      last().says({{ type: 'room_left', room: 'r', {why} }});
      check(seen('room_left'), [{{ type: 'room_left', room: 'r', {why} }}]);
      check([sent.status, sent.error], ['failed', 'not_in_room']); last().ends();
    """)
    told.later(500)
    told("last().welcomes(); check(last().of('join'), []);")


@pytest.mark.parametrize("event, until", [("{ type: 'kicked', reason: 'calm down' }", "undefined"), ("{ type: 'banned', reason: 'calm down', until: null }", "null")])
def test_whoever_is_put_out_is_told_why_and_stays_out_even_if_the_close_frame_is_lost(told, event, until):
    told(f"""
      last().says(joined('e1:0')); const sent = chat.say('r', 'hi'); const socket = last();
      socket.says({event}); socket.ends(1006);
      check(chat.state, {{ name: 'closed', code: 4006, reason: 'calm down', until: {until} }});
      check([sent.status, sent.error, socket.readyState], ['failed', 'closed', 3]);
    """)
    told.later(600_000)
    told("dispatchEvent(new Event('online')); check(sockets.length, 1);")


def test_a_refused_join_tells_the_reason_and_until_when(told):
    told("""
      const [{ id }] = last().of('join'), until = '2024-01-15T10:30:00Z';
      last().says({ type: 'error', code: 'forbidden', message: 'no', reason: 'spam', until, id });
      check(seen('join_failed'), [{ room: 'r', code: 'forbidden', message: 'no', reason: 'spam', until }]);
    """)


def test_a_message_that_is_forbidden_is_not_sent_again(told):
    told("""
      last().says(joined('e1:0')); const sent = chat.say('r', 'hi');
      last().says({ type: 'error', code: 'forbidden', message: 'no', id: sent.id });
      check([sent.status, sent.error], ['failed', 'forbidden']);
      window.sent = sent; last().ends();
    """)
    told.later(500)
    told("last().welcomes(); last().says(joined('e1:0', [], true)); check([last().of('chat').length, sent.status], [0, 'failed']);")
