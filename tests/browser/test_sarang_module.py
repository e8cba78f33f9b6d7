"""sarang.js alone: in a real browser, on a fake socket and clock, so that hours and broken connections take no time."""

import pytest

# The fake server: records what the module opened and sent, and sends its answers.
FALSE_SOCKET = """
window.sockets = [];
class FalseSocket {
  readyState = 0;
  sent = [];
  constructor(url) { this.url = url; sockets.push(this); }
  send(text) { this.sent.push(JSON.parse(text)); }
  close() { this.readyState = 3; }
  // The server's hand:
  says(...events) { for (const event of events) this.onmessage({ data: JSON.stringify(event) }); }
  welcomes(username = 'me') { this.readyState = 1; this.says({ type: 'welcome', username, expires_at: null }); }
  ends(code = 1006, reason = '') { this.readyState = 3; this.onclose({ code, reason }); }
  of(type) { return this.sent.filter((event) => event.type === type); }
}
Math.random = () => 1; // full jitter at its longest
window.start = async (options = {}) => {
  const { Sarang } = await import('/static/sarang.js');
  window.events = [];
  window.chat = new Sarang({ url: 'ws://nowhere/ws', WebSocket: FalseSocket, ...options });
  for (const type of ['state', 'welcome', 'room_joined', 'join_failed', 'room_left', 'chat', 'whisper', 'message', 'error']) {
    chat.addEventListener(type, ({ detail }) => events.push([type, structuredClone(detail)]));
  }
};
window.last = () => sockets.at(-1);
window.seen = (type) => events.filter(([name]) => name === type).map(([, detail]) => detail);
window.line = (seq, username = 'you', content = `m${seq}`, epoch = 'e1') =>
  ({ type: 'chat', room: 'r', username, content, timestamp: '2024-01-15T10:30:00Z', position: `${epoch}:${seq}` });
window.joined = (position, history = [], recovered = false) =>
  ({ type: 'room_joined', room: 'r', history, online_users: [], online_count: 1, position, recovered });
window.check = (actual, wanted) => {
  if (JSON.stringify(actual) !== JSON.stringify(wanted)) throw new Error(`${JSON.stringify(actual)} instead of ${JSON.stringify(wanted)}`);
};
"""


@pytest.fixture
def module(visitor):
    """Runs a script on a page where only the module is loaded, with a clock that the test moves."""
    one = visitor().expects("404")  # for the icon that a bare document has no link to
    page = one.page
    page.clock.install(time=0)
    page.add_init_script(FALSE_SOCKET)
    page.goto(f"{one.url}/static/chat.css")  # a document of this origin that runs no script of its own
    page.clock.pause_at(3_600)  # seconds, later than any machine gets here; until then the clock goes by itself

    def run(script):
        return page.evaluate(f"async () => {{ {script} }}")

    run.later = lambda milliseconds: page.clock.run_for(milliseconds)
    return run


def test_a_message_is_pending_until_acknowledged_and_its_echo_carries_its_id(module):
    module("""
      await start(); chat.join('r'); last().welcomes(); last().says(joined('e1:0'));
      const sent = chat.say('r', 'hi');
      check(sent.status, 'pending');
      check(last().of('chat').map(({ id, content }) => [id, content]), [[sent.id, 'hi']]);
      last().says(line(1, 'me', 'hi'), { type: 'ack', id: sent.id, position: 'e1:1' });
      check([sent.status, sent.position, seen('chat')[0].id], ['sent', 'e1:1', sent.id]);
      const other = chat.say('r', 'ho');
      last().says({ type: 'ack', id: other.id, position: 'e1:3' }, line(2, 'me', 'ho'), line(3, 'me', 'ho'));
      check(seen('chat').slice(1).map(({ id }) => id ?? null), [null, other.id]);
    """)


def test_messages_seen_before_are_dropped_and_lost_ones_are_told(module):
    module("""
      await start(); chat.join('r'); last().welcomes();
      last().says(joined('e1:2', [line(1), line(2)]), line(2), line(3), line(3), line(5));
      check(seen('room_joined')[0].messages.map(({ content }) => content), ['m1', 'm2']);
      check(seen('chat').map(({ content, gap }) => [content, gap]), [['m3', false], ['m5', true]]);
    """)


def test_a_room_is_rejoined_from_the_last_position_seen(module):
    module("""
      await start(); chat.join('r'); last().welcomes(); last().says(joined('e1:0'), line(1), line(2)); last().ends();
    """)
    module.later(500)
    module("""
      check(sockets.length, 2); last().welcomes();
      check(last().of('join').map(({ room, since }) => [room, since]), [['r', 'e1:2']]);
      last().says(joined('e1:4', [line(3), line(4)], true));
      const { first, gap, messages } = seen('room_joined')[1];
      check([first, gap, messages.map(({ content }) => content)], [false, false, ['m3', 'm4']]);
    """)


def test_an_unrecovered_room_is_merged_without_doubles_and_gaps_are_told_apart(module):
    module("""
      await start(); chat.join('r'); last().welcomes(); last().says(joined('e1:2', [line(1), line(2)])); last().ends();
    """)
    module.later(500)
    module("""
      last().welcomes(); last().says(joined('e1:3', [line(1), line(2), line(3)]));
      check([seen('room_joined')[1].messages.length, seen('room_joined')[1].gap], [1, false]); last().ends();
    """)
    module.later(1_000)
    module("""
      last().welcomes(); last().says(joined('e1:9', [line(8), line(9)]));
      check([seen('room_joined')[2].messages.length, seen('room_joined')[2].gap], [2, true]); last().ends();
    """)
    module.later(2_000)
    module("""
      last().welcomes(); last().says(joined('e2:1', [line(1, 'you', 'new', 'e2')]));
      check([seen('room_joined')[3].messages.length, seen('room_joined')[3].gap], [1, true]);
    """)


def test_a_room_that_goes_on_in_another_epoch_tells_nothing_again_and_a_gap_all_the_same(module):
    module("""
      await start(); chat.join('r'); last().welcomes(); last().says(joined('e1:2', [line(1), line(2)]), line(3), line(4));
      const other = (epoch, ...seqs) => seqs.map((seq) => line(seq, 'you', `m${seq}`, epoch));
      const told = () => { const { messages, gap } = seen('room_joined').at(-1); return [messages.map(({ content }) => content), gap]; };
      // All is there, and nothing was said meanwhile.
      last().says(joined('e2:4', other('e2', 1, 2, 3, 4)));
      check(told(), [[], true]);
      // All is there, and more.
      last().says(...other('e2', 5), joined('e3:7', other('e3', 4, 5, 6, 7)));
      check(told(), [['m6', 'm7'], true]);
      // The last ones are lost: what is older was told, and their numbers are others' now.
      last().says(joined('e4:6', [...other('e4', 0, 1, 4, 5), line(6, 'you', 'other', 'e4')]));
      check(told(), [['other'], true]);
      // Another past.
      last().says(joined('e5:2', [line(1, 'you', 'm2', 'e5'), line(2, 'they', 'm2', 'e5')]), line(3, 'you', 'm3', 'e5'));
      check(told(), [['m2', 'm2'], true]);
      check(seen('chat').map(({ content, gap }) => [content, gap]), [['m3', false], ['m4', false], ['m5', false], ['m3', false]]);
    """)


def test_so_much_is_remembered_that_nothing_is_told_again_when_the_last_messages_are_lost(module):
    module("""
      await start(); chat.join('r'); last().welcomes(); last().says(joined('e1:0'));
      const past = (epoch, from, to) => Array.from({ length: to - from + 1 }, (_, n) => line(from + n, 'you', `m${from + n}`, epoch));
      last().says(...past('e1', 1, 300), joined('e2:250', past('e2', 201, 250)));
      check(seen('room_joined')[1].messages.length, 0);
    """)


def test_our_own_message_whose_echo_was_lost_is_recognised_in_the_next_epoch(module):
    module("""
      await start(); chat.join('r'); last().welcomes(); last().says(joined('e1:1', [line(1)]));
      const acknowledged = chat.say('r', 'hi'), unanswered = chat.say('r', 'ho'), lost = chat.say('r', 'hm');
      last().says({ type: 'ack', id: acknowledged.id, position: 'e1:2' }, { type: 'ack', id: lost.id, position: 'e1:4' });
      last().says(joined('e2:3', [line(1, 'you', 'm1', 'e2'), line(2, 'me', 'hi', 'e2'), line(3, 'me', 'ho', 'e2')]));
      check(seen('room_joined')[1].messages.map(({ content, id }) => [content, id]), [['hi', acknowledged.id], ['ho', unanswered.id]]);
      last().says({ type: 'ack', id: unanswered.id, position: 'e2:3' });
      check([acknowledged.status, unanswered.status, lost.status], ['sent', 'sent', 'sent']);
    """)


def test_waiting_doubles_up_to_a_limit_and_starts_over_after_a_stable_connection(module):
    module("await start(); last().ends();")
    for wait in (500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000):
        module(f"check(chat.state.retryInMs, {wait})")
        module.later(wait)
        module("last().ends(1013);")
    module.later(15_000)
    module("last().welcomes(); check(chat.state.name, 'connected');")
    module.later(5_000)
    module("last().ends(1001, 'going away'); check([chat.state.retryInMs, chat.state.code, chat.state.reason], [500, 1001, 'going away']);")


@pytest.mark.parametrize("code", [4001, 4003, 4005, 4006])
def test_a_refusal_is_final(module, code):
    module(f"""
      await start(); chat.join('r'); const sent = chat.say('r', 'hi');
      last().welcomes(); last().ends({code}, 'no');
      check(chat.state, {{ name: 'closed', code: {code}, reason: 'no' }});
      check([sent.status, sent.error, chat.say('r', 'x').error], ['failed', 'closed', 'closed']);
    """)
    module.later(600_000)
    module("check(sockets.length, 1);")


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1008, 1009, 1011, 1012, 1013, 4002, 4008, 4009])
def test_every_other_end_is_tried_again(module, code):
    module(f"await start(); last().welcomes(); last().ends({code});")
    module.later(500)
    module("check(sockets.length, 2);")


def test_the_address_is_asked_for_afresh_before_each_attempt(module):
    module("let n = 0; await start({ url: async () => { if (n === 1) { n += 1; throw new Error('no ticket'); } return `ws://x/${n += 1}`; } }); await 0; await 0;")
    module("last().ends();")
    module.later(500)
    module("check(chat.state.reason, 'no ticket');")
    module.later(1_000)
    module("check(sockets.map(({ url }) => url), ['ws://x/1', 'ws://x/3']);")
    module("await start({ url: () => { throw Object.assign(new Error('signed out'), { retry: false }); } }); await 0; check(chat.state.code, 4001);")


def test_a_guests_key_is_sent_with_every_attempt(module):
    module("await start({ url: 'ws://x/ws?username=me', key: 'a key & sixteen+' }); last().ends();")
    module.later(500)
    module("check(sockets.map(({ url }) => url), Array(2).fill('ws://x/ws?username=me&key=a%20key%20%26%20sixteen%2B'));")


def test_a_page_that_comes_back_to_life_does_not_wait(module):
    module("await start(); last().ends(); dispatchEvent(new Event('online')); check(sockets.length, 2); last().welcomes();")
    module("dispatchEvent(new Event('online')); check(last().of('room_list').length, 1);")
    module.later(20_000)
    module("check(seen('state').at(-1).reason, 'no answer');")


def test_what_is_said_offline_is_sent_in_order_after_the_rejoin(module):
    module("""
      await start(); chat.join('r'); chat.say('r', 'one'); chat.whisper('you', 'two'); chat.say('r', 'three');
      check(sockets[0].sent, []); last().welcomes();
      check(last().sent.map(({ type }) => type), ['join', 'whisper']);
      last().says(joined('e1:0'));
      check(last().of('chat').map(({ content }) => content), ['one', 'three']);
    """)


def test_an_unacknowledged_message_is_sent_again_under_its_id(module):
    module("await start(); chat.join('r'); last().welcomes(); last().says(joined('e1:0')); window.sent = chat.say('r', 'hi'); last().ends();")
    module.later(500)
    module("""
      last().welcomes(); last().says(joined('e1:1', [line(1, 'me', 'hi')], true));
      check(seen('room_joined')[1].messages[0].id, sent.id);
      check(last().of('chat').map(({ id }) => id), [sent.id]);
      last().says({ type: 'ack', id: sent.id, position: 'e1:1' });
      check([sent.status, seen('chat').length], ['sent', 0]);
    """)


def test_after_the_servers_memory_of_ids_a_message_is_not_sent_again_blindly(module):
    module("await start(); chat.join('r'); last().welcomes(); last().says(joined('e1:0')); window.sent = chat.say('r', 'tried'); last().ends(); window.fresh = chat.say('r', 'never tried');")
    module.later(500)
    module.later(19_000)
    for _ in range(20):
        module("last().ends();")
        module.later(15_000)
    module("""
      last().welcomes(); last().says(joined('e1:0', [], true));
      check([sent.status, sent.error], ['failed', 'unconfirmed']);
      check(last().of('chat').map(({ content }) => content), ['never tried']);
      chat.retry(sent);
      check(last().of('chat').at(-1).id, sent.id);
      check(sent.status, 'pending');
    """)


def test_a_message_that_may_be_what_breaks_connections_is_given_up(module):
    module("await start(); window.sent = chat.whisper('you', 'poison');")
    for wait in (500, 1_000, 2_000, 4_000, 8_000):
        module("last().welcomes(); check(last().of('whisper').length, 1); last().ends(1009);")
        module.later(wait)
    module("last().welcomes(); check([last().of('whisper').length, sent.status, sent.error], [0, 'failed', 'unconfirmed']);")


def test_an_error_fails_its_message_only(module):
    module("""
      await start(); chat.join('r'); last().welcomes(); last().says(joined('e1:0'));
      const [long, good] = [chat.say('r', 'long'), chat.say('r', 'good')];
      last().says({ type: 'error', code: 'content_too_long', message: '…', id: long.id });
      check([long.status, long.error, good.status, seen('error').length], ['failed', 'content_too_long', 'pending', 0]);
      last().says({ type: 'error', code: 'bad_json', message: '…' });
      check(seen('error').map(({ code }) => code), ['bad_json']);
    """)


def test_text_that_has_no_utf8_form_is_sent_with_replacement_characters_in_any_browser(module):
    module("""
      delete String.prototype.toWellFormed;
      await start(); chat.join('r'); last().welcomes(); last().says(joined('e1:0'));
      const sent = chat.say('r', 'hi \\ud83d, \\ud83d\\ude00 and \\ude00');
      check([sent.content, last().of('chat').at(-1).content], Array(2).fill('hi \\ufffd, \\ud83d\\ude00 and \\ufffd'));
    """)


def test_a_name_is_known_in_each_of_its_spellings(module):
    module("""
      await start(); chat.join('\\u1112\\u1161\\u11ab'); last().welcomes();
      check(last().of('join').map(({ room }) => room), ['\\ud55c']);
      last().says({ ...joined('e1:0'), room: '\\ud55c' });
      const sent = chat.say('\\u1112\\u1161\\u11ab', 'here');
      check([sent.status, last().of('chat').at(-1).room], ['pending', '\\ud55c']);
      chat.leave('\\u1112\\u1161\\u11ab');
      check(last().of('leave').map(({ room }) => room), ['\\ud55c']);
    """)


def test_a_message_that_came_too_fast_is_sent_later(module):
    module("""
      await start(); chat.join('r'); last().welcomes(); last().says(joined('e1:0'));
      window.sent = chat.say('r', 'hasty');
      last().says({ type: 'error', code: 'rate_limited', message: '…', id: sent.id });
      chat.say('r', 'next');
      check([sent.status, last().of('chat').length], ['pending', 1]);
    """)
    module.later(1_000)
    module("check(last().of('chat').map(({ content }) => content), ['hasty', 'hasty', 'next']);")


def test_a_join_that_came_too_fast_is_tried_later(module):
    module("await start(); chat.join('r'); last().welcomes(); last().says({ type: 'error', code: 'rate_limited', message: '…' });")
    module.later(1_000)
    module("check(last().of('join').length, 2); last().says(joined('e1:0')); check(seen('room_joined').length, 1);")


def test_few_messages_are_unacknowledged_at_once(module):
    module("""
      await start(); chat.join('r'); last().welcomes(); last().says(joined('e1:0'));
      const all = Array.from({ length: 20 }, (_, n) => chat.say('r', `n${n}`));
      check(last().of('chat').length, 8);
      for (const { id } of all) last().says({ type: 'ack', id, position: 'e1:0' });
      check([last().of('chat').length, all.every(({ status }) => status === 'sent')], [20, true]);
    """)


def test_a_room_lost_on_the_server_is_joined_again_before_the_message_is(module):
    module("""
      await start(); chat.join('r'); last().welcomes(); last().says(joined('e1:0'));
      const sent = chat.say('r', 'hi');
      last().says({ type: 'error', code: 'not_in_room', message: '…', id: sent.id });
      check([sent.status, last().of('join').length, last().of('chat').length], ['pending', 2, 1]);
      last().says(joined('e1:0', [], true));
      check(last().of('chat').length, 2);
      last().says({ type: 'error', code: 'not_in_room', message: '…', id: sent.id });
      check([sent.status, sent.error], ['failed', 'not_in_room']);
    """)


@pytest.mark.parametrize("answer_has_id", [True, False])
def test_a_refused_join_gives_the_room_and_its_messages_up(module, answer_has_id):
    module(f"""
      await start(); chat.join('r'); const sent = chat.say('r', 'hi'); last().welcomes();
      const [{{ id }}] = last().of('join');
      last().says({{ type: 'error', code: 'room_full', message: 'full', {'id' if answer_has_id else ''} }});
      check(seen('join_failed'), [{{ room: 'r', code: 'room_full', message: 'full' }}]);
      check([sent.status, sent.error], ['failed', 'room_full']);
      chat.join('r'); last().says(joined('e1:0')); chat.retry(sent);
      check(last().of('chat').length, 1);
    """)


def test_already_in_room_counts_as_joined(module):
    module("""
      await start(); chat.join('r'); chat.say('r', 'hi'); last().welcomes();
      last().says({ type: 'error', code: 'already_in_room', message: '…', id: last().of('join')[0].id });
      check([last().of('chat').length, seen('join_failed').length], [1, 0]);
    """)


def test_leaving_and_coming_back_at_once_ends_inside(module):
    module("""
      await start(); chat.join('r'); last().welcomes(); last().says(joined('e1:1', [line(1)]));
      chat.leave('r'); chat.join('r');
      last().says(line(2), { type: 'room_left', room: 'r' }, joined('e1:2', [line(1), line(2)]));
      check([seen('room_left').length, seen('chat').length], [0, 0]);
      check(seen('room_joined').map(({ first, messages }) => [first, messages.length]), [[true, 1], [true, 2]]);
      chat.leave('r'); last().says({ type: 'room_left', room: 'r' });
      check(seen('room_left').length, 1);
    """)


def test_the_queue_is_bounded(module):
    module("""
      await start({ queueMax: 2 }); chat.join('r');
      check(['a', 'b', 'c'].map((text) => chat.say('r', text).error), [null, null, 'queue_full']);
    """)


def test_a_silent_path_is_given_up(module):
    module("await start();")
    module.later(20_000)
    module("check(chat.state.reason, 'no answer'); check(sockets[0].readyState, 3);")
    module.later(500)
    module("last().welcomes();")
    module.later(600_000)
    module("check(chat.state.name, 'connected'); chat.whisper('you', 'still there?');")
    module.later(20_000)
    module("check(chat.state.reason ?? seen('state').at(-1).reason, 'no answer');")


def test_an_older_socket_is_not_listened_to(module):
    module("await start(); chat.join('r'); last().welcomes(); last().ends();")
    module.later(500)
    module("""
      last().welcomes(); last().says(joined('e1:0'));
      sockets[0].says(line(1)); sockets[0].ends(4001);
      check([chat.state.name, seen('chat').length], ['connected', 0]);
    """)


def test_ids_can_be_made_where_random_uuid_is_missing(module):
    module("""
      crypto.randomUUID = undefined; await start();
      const [one, two] = [chat.whisper('you', '1').id, chat.whisper('you', '2').id];
      check([/^[0-9a-f]{32}$/.test(one), one === two], [true, false]);
    """)


def test_close_ends_it_for_good(module):
    module("await start(); last().welcomes(); chat.close(); check([chat.state.name, chat.state.code, last().readyState], ['closed', 1000, 3]);")
    module.later(600_000)
    module("dispatchEvent(new Event('online')); check(sockets.length, 1);")


def test_a_session_is_extended_on_its_connection_without_a_second_welcome(module):
    module("""
      await start(); chat.join('r'); last().welcomes(); last().says(joined('e1:0'));
      const [first, second] = [chat.extend('t1'), chat.extend('t2')];
      check(last().of('auth').map(({ ticket }) => ticket), ['t1', 't2']);
      const later = '2024-01-15T11:30:00Z';
      last().says({ type: 'welcome', username: 'me', expires_at: later });
      check((await first).expires_at, later);
      last().says({ type: 'error', code: 'unauthorized', message: '…', id: last().of('auth')[1].id });
      check(await second.catch(({ code }) => code), 'unauthorized');
      check([seen('welcome').length, seen('error').length, seen('state').length, last().of('join').length], [1, 0, 1, 1]);
    """)


def test_an_extension_ends_with_its_connection(module):
    module("""
      await start(); check(await chat.extend('t').catch(({ code }) => code), 'closed');
      last().welcomes(); const lost = chat.extend('t'); last().ends(4002);
      check(await lost.catch(({ code }) => code), 'closed');
    """)
    module.later(500)
    module("last().welcomes(); check([last().of('auth').length, seen('welcome').length], [0, 2]); window.lost = chat.extend('t'); lost.catch(() => {});")
    module.later(20_000)
    module("check([await lost.catch(({ code }) => code), seen('state').at(-1).reason], ['closed', 'no answer']);")


def test_a_refused_ticket_is_replaced_a_few_times(module):
    module("let n = 0; await start({ ticketed: true, url: async () => `ws://x/${n += 1}` }); await 0; await 0; last().ends(4001);")
    module.later(500)
    module("check(sockets.length, 2); last().welcomes(); last().ends(4001);")
    for wait in (1_000, 2_000):
        module.later(wait)
        module("check(chat.state.name, 'connecting'); last().ends(4001, 'no');")
    module("check(chat.state, { name: 'closed', code: 4001, reason: 'no' });")
