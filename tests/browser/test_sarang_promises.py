"""sarang.js alone: what `say`, `whisper` and `join` promise, what fails is told, and what cannot work is refused at once."""

import pytest

from test_sarang_module import module  # noqa: F401

# No promise of the module may be rejected without anybody who waits for it.
WATCH = """
window.unheard = []; addEventListener('unhandledrejection', ({ reason }) => unheard.push(String(reason)));
window.codeOf = (promise) => promise.then((value) => value, ({ code }) => code);
window.turn = async () => { for (let n = 0; n < 9; n += 1) await 0; };
window.error = (options) => import('/static/sarang.js').then(({ Sarang }) => { try { new Sarang(options); return null; } catch (error) { return error; } });
"""


@pytest.fixture
def promises(module):  # noqa: F811
    module(WATCH)
    yield module
    module.later(60_000)
    module("await turn(); check(unheard, []);")


def test_what_is_said_can_be_awaited_and_comes_back_when_it_is_sent(promises):
    promises("""
      await start(); chat.join('r'); last().welcomes(); last().says(joined('e1:0'));
      const sent = chat.say('r', 'hi'), done = sent.done; let back = null; sent.then((value) => { back = value; });
      await turn(); check(back, null);
      last().says({ type: 'ack', id: sent.id, position: 'e1:1' });
      await turn(); check([back === sent, await sent === sent, await sent.done === sent, await done === sent], [true, true, true, true]);
      const whisper = chat.whisper('you', 'psst'); last().says({ type: 'ack', id: whisper.id }); check((await whisper).status, 'sent');
      check(structuredClone(sent), { id: sent.id, kind: 'chat', content: 'hi', createdAt: sent.createdAt, status: 'sent', error: null, position: 'e1:1', room: 'r' });
    """)


def test_what_fails_rejects_those_who_wait_and_can_be_awaited_again_when_it_is_tried_again(promises):
    promises("""
      await start(); chat.join('r'); last().welcomes(); last().says(joined('e1:0'));
      const sent = chat.say('r', 'hi'), wait = codeOf(sent);
      last().says({ type: 'error', code: 'content_too_long', message: '…', id: sent.id });
      check([await wait, await codeOf(sent), await codeOf(sent.done)], Array(3).fill('content_too_long'));
      const again = chat.retry(sent); last().says({ type: 'ack', id: sent.id, position: 'e1:1' });
      check(await again === sent, true);
    """)


def test_each_message_that_fails_is_told_after_the_caller_has_it(promises):
    promises("""
      await start({ queueMax: 1 }); chat.join('r'); chat.say('r', 'queued');
      const failed = [chat.say('elsewhere', 'x'), chat.say('r', 'one too many'), chat.whisper('you', 'too')];
      check(seen('message').length, 0); await turn();
      check(seen('message').map(({ id, error }) => [id, error]), failed.map(({ id }, n) => [id, ['not_in_room', 'queue_full', 'queue_full'][n]]));
      chat.retry(failed[0]); await turn(); check(seen('message').length, 4);
      chat.close(); check(seen('message').length, 5);
      failed.push(chat.say('r', 'late'), chat.retry(failed[0])); await turn();
      check(seen('message').slice(-2).map(({ error }) => error), ['closed', 'closed']);
    """)


def test_a_room_can_be_awaited_over_broken_connections(promises):
    promises("""
      await start(); window.entered = chat.join('r'); check(chat.join('r') === entered, true); last().welcomes(); last().ends();
    """)
    promises.later(500)
    promises("""
      last().welcomes(); last().says(joined('e1:1', [line(1)]));
      const { room, messages, first } = await entered; check([room, messages.length, first], ['r', 1, true]);
      check((await chat.join('r')).messages.length, 1);
    """)


def test_a_room_that_cannot_be_entered_rejects_those_who_wait(promises):
    promises("""
      await start(); const [full, left, lost] = ['full', 'left', 'lost'].map((room) => chat.join(room)); last().welcomes();
      last().says({ type: 'error', code: 'room_full', message: '…', id: last().of('join')[0].id });
      chat.leave('left'); chat.close();
      check(await Promise.all([full, left, lost, chat.join('late')].map(codeOf)), ['room_full', 'not_in_room', 'closed', 'closed']);
      chat.join('unheard');
    """)


def test_a_room_we_are_in_already_is_entered(promises):
    promises("""
      await start(); const entered = chat.join('r'); last().welcomes();
      last().says({ type: 'error', code: 'already_in_room', message: '…', id: last().of('join')[0].id });
      check((await entered).room, 'r');
    """)


def test_where_there_is_no_web_socket_it_says_so_at_once(promises):
    promises("""
      window.WebSocket = undefined;
      const { name, message } = await error({ url: 'ws://x/ws?username=me' });
      check([name, message.includes('Node 22'), message.includes('option `WebSocket`')], ['TypeError', true, true]);
    """)


@pytest.mark.parametrize("url", ["undefined", "null", "''", "'ws://'", "'file:///ws'", "42", "'ws://[/'"])
def test_an_address_that_is_none_is_refused_at_once(promises, url):
    promises(f"""
      const {{ name, message }} = await error({{ url: {url} }});
      check([name, message.includes('`url` must')], ['TypeError', true]);
      check((await error())?.name, 'TypeError');
    """)


@pytest.mark.parametrize("url, meant", [
    ("'http://x/ws?username=me'", "ws://x/ws?username=me"),
    ("new URL('https://x/ws?username=me#top')", "wss://x/ws?username=me"),
    ("'/ws?username=me'", "ws://HERE/ws?username=me"),
    ("'ws://x/ws?username=길동'", "ws://x/ws?username=%EA%B8%B8%EB%8F%99"),
])
def test_an_address_of_http_or_of_this_page_is_understood(promises, url, meant):
    promises(f"await start({{ url: {url} }}); check(last().url, '{meant}'.replace('HERE', location.host)); chat.close();")


def test_an_address_that_a_function_gives_is_checked_at_each_attempt(promises):
    promises("await start({ url: () => 'gopher://x' }); await turn(); check([chat.state.name, chat.state.reason.includes('ws://')], ['reconnecting', true]); chat.close();")


def test_what_is_no_text_is_refused_with_a_sentence(promises):
    promises("""
      await start(); const told = []; const trying = [() => chat.say('r'), () => chat.join(7), () => chat.whisper(null, 'x'), () => chat.leave()];
      for (const one of trying) try { one(); } catch ({ name, message }) { told.push([name, message.includes('must be a string')]); }
      check(told, Array(4).fill(['TypeError', true])); chat.close();
    """)


def test_nothing_keeps_a_program_alive_after_the_end(promises):
    promises("""
      const [set, clear] = [setTimeout, clearTimeout], running = new Set();
      window.setTimeout = (f, ...rest) => { const id = set(() => { running.delete(id); f(); }, ...rest); running.add(id); return id; };
      window.clearTimeout = (id) => { running.delete(id); clear(id); };
      await start(); chat.join('r'); last().welcomes(); last().says(joined('e1:0'));
      const sent = chat.whisper('you', 'x'); last().says({ type: 'ack', id: sent.id }); chat.say('r', 'y'); chat.history('r').catch(() => {});
      check(running.size > 0, true); chat.close(); check(running.size, 0);
    """)
