"""sarang.js alone: what is asked and answered once (earlier messages, acts of moderators), and rooms that are watched."""

import pytest

from test_sarang_module import module  # noqa: F401

IN_A_ROOM = "await start(); chat.join('r'); last().welcomes(); last().says(joined('e1:2', [line(1), line(2)]));"
CODE = "const codeOf = (promise) => promise.then(() => 'answered', ({ code }) => code);"
WATCHED = """
  await start(); window.told = [];
  for (const type of ['rooms', 'room_list']) chat.addEventListener(type, ({ detail }) => told.push(detail));
  chat.watchRooms();
"""


@pytest.fixture
def asking(module):  # noqa: F811
    """Runs scripts in a page that is in a room."""

    def run(script):
        return module(CODE + script)

    run.later = module.later
    run(IN_A_ROOM)
    return run


def test_earlier_messages_are_asked_for_and_answered_by_id(asking):
    asking("""
      const [first, second] = [chat.history('r', { before: 'e1:1', limit: 2 }), chat.history('r')];
      const [asked, other] = last().of('history');
      check([asked.room, asked.before, asked.limit, other.before ?? null], ['r', 'e1:1', 2, null]);
      const page = (id, seq, more) => ({ type: 'history', room: 'r', messages: [line(seq)], more, position: 'e1:2', id });
      last().says(page(other.id, 2, false), page(asked.id, 0, true));
      const { messages, more } = await first;
      check([messages.map(({ content, position }) => [content, position]), more], [[['m0', 'e1:0']], true]);
      check([(await second).messages[0].content, (await second).more], ['m2', false]);
    """)


def test_pages_of_the_past_go_on_with_the_positions_that_were_reported_before_another_epoch(asking):
    asking("""
      last().says(joined('e2:3', [line(1, 'you', 'm1', 'e2'), line(2, 'you', 'm2', 'e2'), line(3, 'you', 'm3', 'e2')]));
      const page = chat.history('r', { before: 'e1:2' });
      check(last().of('history')[0].before, 'e2:2');
      last().says({ type: 'history', room: 'r', messages: [line(1, 'you', 'm1', 'e2')], more: false, id: last().of('history')[0].id });
      check((await page).messages.map(({ position }) => position), ['e1:1']);
      for (const before of ['e2:3', 'e1:3', 'e0:9', 'nonsense']) chat.history('r', { before }).catch(() => {});
      check(last().of('history').slice(1).map(({ before }) => before), ['e2:3', 'e1:3', 'e0:9', 'nonsense']);
    """)


def test_nothing_is_older_than_a_past_that_is_lost(asking):
    asking("""
      const page = chat.history('r', { before: 'e0:9' });
      last().says({ type: 'history', room: 'r', messages: [line(1), line(2)], more: true, recovered: false, position: 'e1:2', id: last().of('history')[0].id });
      check(await page, { room: 'r', messages: [], more: false, position: 'e1:2' });
    """)


def test_our_own_message_that_is_found_in_the_past_has_its_id(asking):
    asking("""
      const sent = chat.say('r', 'hi'); last().says({ type: 'ack', id: sent.id, position: 'e1:3' });
      const page = chat.history('r');
      last().says({ type: 'history', room: 'r', messages: [line(2), line(3, 'me', 'hi')], more: false, id: last().of('history')[0].id });
      check((await page).messages.map(({ id }) => id ?? null), [null, sent.id]);
      last().says(line(3, 'me', 'hi')); check(seen('chat')[0].id, sent.id);
    """)


def test_a_question_that_is_refused_is_no_error_of_the_page(asking):
    asking("""
      const page = chat.history('r'), other = chat.history('elsewhere');
      last().says({ type: 'error', code: 'bad_request', message: 'no', id: last().of('history')[0].id });
      check([await codeOf(page), await codeOf(other), seen('error').length, last().of('history').length], ['bad_request', 'not_in_room', 0, 1]);
    """)


def test_acts_of_moderators_are_answered_or_refused(asking):
    asking("""
      const acts = [chat.act('kick', { room: 'r', user: 'you', reason: 'spam' }), chat.act('users', { limit: 2 }), chat.act('set_room', { room: 'r', max_users: 3 }),
        chat.act('delete', { room: 'r', position: 'e1:2' }), chat.act('ban', { user: 'you' })];
      const [kick, users, room, gone, ban] = last().sent.slice(1);
      check([kick.type, kick.room, kick.user, kick.reason, gone.position], ['kick', 'r', 'you', 'spam', 'e1:2']);
      last().says({ type: 'ack', id: kick.id }, { type: 'users', users: [], id: users.id }, { type: 'room', name: 'r', max_users: 3, id: room.id },
        { type: 'error', code: 'not_found', message: '', id: gone.id }, { type: 'error', code: 'forbidden', message: '', id: ban.id });
      check((await acts[1]).users, []); check((await acts[2]).max_users, 3);
      check(await Promise.all(acts.map(codeOf)), ['answered', 'answered', 'answered', 'not_found', 'forbidden']);
      check([seen('error').length, seen('message').length], [0, 0]);
    """)


def test_a_deleted_message_is_named_as_the_server_knows_it_now(asking):
    asking("""
      last().says(joined('e2:2', [line(1, 'you', 'm1', 'e2'), line(2, 'you', 'm2', 'e2')]));
      chat.act('delete', { room: 'r', position: 'e1:2' }); check(last().of('delete')[0].position, 'e2:2');
    """)


def test_whether_we_may_moderate_is_known_from_each_welcome(asking):
    asking("check(chat.admin, false); last().ends();")
    asking.later(500)
    asking("last().readyState = 1; last().says({ type: 'welcome', username: 'me', expires_at: null, admin: true }); check(chat.admin, true);")


def test_questions_end_with_their_connection_and_none_begins_without(asking):
    asking("""
      const lost = [chat.history('r'), chat.act('users')]; last().ends();
      check(await Promise.all([...lost, chat.act('users')].map(codeOf)), ['closed', 'closed', 'closed']);
    """)


def test_a_question_that_is_not_answered_ends_although_others_are(asking):
    asking("window.page = codeOf(chat.history('r'));")
    for seq in (3, 4):
        asking.later(15_000)
        asking(f"last().says(line({seq})); check(chat.state.name, 'connected');")
    asking("check(await page, 'timeout');")


def test_so_many_questions_wait_at_most(asking):
    asking("""
      const all = Array.from({ length: 65 }, () => codeOf(chat.history('r')));
      check([await all.at(-1), last().of('history').length], ['too_many_requests', 64]);
    """)


def test_watched_rooms_are_listed_once_and_then_told(module):  # noqa: F811
    module(WATCHED + """
      check(sockets[0].sent, []); last().welcomes();
      check(last().sent, [{ type: 'room_list', watch: true }]);
      const [news, changes] = [{ type: 'room_list', rooms: [] }, { type: 'rooms', changed: [{ name: 'r', users: 1, max_users: 9 }], removed: ['q'] }];
      last().says(news, changes);
      check(told, [news, { changed: changes.changed, removed: ['q'] }]);
      // Too much has changed: the list is asked for again, once.
      last().says({ type: 'rooms', reload: true }, { type: 'rooms', reload: true });
      check(last().sent.slice(1), [{ type: 'room_list', watch: true }]);
    """)


def test_rooms_are_watched_over_broken_connections_until_they_are_not(module):  # noqa: F811
    module(WATCHED + "last().welcomes(); last().ends();")
    module.later(500)
    module("""
      last().welcomes(); check(last().sent, [{ type: 'room_list', watch: true }]);
      chat.listRooms(); check(last().sent.at(-1), { type: 'room_list', watch: true });
      chat.unwatchRooms(); check(last().sent.at(-1), { type: 'room_list', watch: false });
      last().says({ type: 'rooms', changed: [], removed: ['q'] }); check(told, []); last().ends();
    """)
    module.later(1_000)
    module("last().welcomes(); check(last().sent, []);")
