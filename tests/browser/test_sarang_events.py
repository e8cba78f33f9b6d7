"""events() of sarang.js alone: event streams over a fake `fetch` and clock."""

import pytest

from test_sarang_module import module  # noqa: F401

# The fake server: records what is asked for, answers in order, and writes into the stream it answered with.
FALSE_FETCH = """
// The clock stands still, but not what the browser itself has to do.
const task = () => new Promise((resolve) => { const { port1, port2 } = new MessageChannel(); port1.onmessage = () => { port1.close(); resolve(); }; port2.postMessage(0); });
window.turn = async () => { for (let n = 0; n < 9; n += 1) await task(); };
window.check = (actual, wanted) => {
  if (JSON.stringify(actual) !== JSON.stringify(wanted)) throw new Error(`${JSON.stringify(actual)} instead of ${JSON.stringify(wanted)}`);
};
Math.random = () => 1;
window.asked = []; window.answers = [];
const json = (status, code, headers = {}) => new Response(JSON.stringify({ error: { code, message: `no: ${code}` } }), { status, headers });
window.falseFetch = async (url, { headers, signal }) => {
  asked.push({ url: String(url), token: headers.Authorization ?? null });
  const answer = answers.shift() ?? 'stream';
  if (answer instanceof Error) throw answer;
  if (Array.isArray(answer)) return json(...answer);
  if (answer !== 'stream') return answer;
  const body = new ReadableStream({ start: (controller) => { window.server = controller; } });
  signal.addEventListener('abort', () => { window.wasClosed = true; try { server.error(signal.reason); } catch {} });
  return new Response(body, { headers: { 'Content-Type': 'text/event-stream; charset=utf-8' } });
};
window.sends = async (...texts) => { for (const text of texts) { server.enqueue(typeof text === 'string' ? new TextEncoder().encode(text) : text); await turn(); } };
window.follow = async (options) => {
  const { events } = await import('/static/sarang.js');
  window.got = []; window.states = []; window.ended = null;
  window.stream = events({ url: 'http://x/sse/all', fetch: falseFetch, ...options });
  stream.addEventListener('state', ({ detail }) => states.push(detail.name));
  const read = async () => { for await (const { type, id, data } of stream) { got.push([type, id, data]); if (type === window.stopAt) break; } };
  window.read = () => read().then(() => { ended = 'ended'; }, (error) => { ended = error; });
  window.read(); await turn();
};
"""


@pytest.fixture
def stream(module):  # noqa: F811
    """Runs scripts beside a stream, on a clock that the test moves."""
    module(FALSE_FETCH)
    return module


def test_events_are_read_as_the_standard_has_it_wherever_the_chunks_end(stream):
    stream("""
      await follow();
      await sends('\\ufeffretry: 3000\\nevent: a\\ndata: {"n":1}\\nid: 1\\n', '\\n: heartbeat\\n\\nevent:b\\r', '\\ndata: {"n":\\r\\ndata:2}\\r\\nid: 2\\r\\n\\r\\n');
      await sends('data: plain\\r\\revent: dropped\\n\\nda', 'ta: [3]\\nwhat: ever\\ndata\\n\\n');
      check(got, [['a', '1', { n: 1 }], ['b', '2', { n: 2 }], ['message', '2', 'plain'], ['message', '2', [3]]]);
      const text = new TextEncoder().encode('data: "사랑"\\nid: 3\\n\\n');
      for (const byte of text) await sends(new Uint8Array([byte]));
      check(got.at(-1), ['message', '3', '사랑']);
    """)


def test_a_broken_connection_goes_on_behind_the_last_event(stream):
    stream("await follow(); await sends('data: 1\\nid: 41\\n\\n'); server.close(); await turn(); check([stream.state.name, stream.state.retryInMs], ['reconnecting', 3000]);")
    stream.later(3_000)
    stream("""
      await turn(); check(asked.map(({ url }) => url), ['http://x/sse/all', 'http://x/sse/all?last_event_id=41']);
      await sends('event: gap\\ndata: {"requested":41,"oldest":50,"newest":60}\\n\\ndata: 2\\nid: 50\\n\\n');
      check(got.slice(1), [['gap', '41', { requested: 41, oldest: 50, newest: 60 }], ['message', '50', 2]]);
      check(states, ['connecting', 'connected', 'reconnecting', 'connecting', 'connected']);
    """)


def test_waiting_doubles_up_to_a_limit_and_the_server_may_ask_for_more(stream):
    stream("answers.push(new TypeError('no network'), new TypeError('no network'), [503, 'unavailable', { 'Retry-After': '40' }]); await follow();")
    for wait in (3_000, 6_000, 40_000):
        stream(f"while (stream.state.name === 'connecting') await turn(); check(stream.state.retryInMs, {wait});")
        stream.later(wait)
        stream("await turn();")
    stream("check([stream.state.name, asked.length], ['connected', 4]);")


def test_a_silent_path_is_given_up(stream):
    stream("await follow({ silenceMs: 20_000 }); await sends(': heartbeat\\n\\n');")
    stream.later(19_000)
    stream("await sends(': heartbeat\\n\\n');")
    stream.later(20_000)
    stream("await turn(); check([stream.state.name, stream.state.reason], ['reconnecting', 'silent']);")


@pytest.mark.parametrize("status, code", [(400, "bad_request"), (401, "unauthorized"), (403, "forbidden"), (404, "not_found")])
def test_what_is_refused_for_good_ends_with_the_servers_code(stream, status, code):
    stream(f"""
      answers.push([{status}, '{code}']); await follow({{ token: 'fixed' }}); while (!ended) await turn();
      check([ended.code, ended.status, ended.message, asked[0].token], ['{code}', {status}, 'no: {code}', 'Bearer fixed']);
      check([stream.state.name, asked.length], ['closed', 1]);
    """)


def test_what_is_no_event_stream_ends_with_an_error(stream):
    stream("answers.push(new Response('<html>')); await follow(); while (!ended) await turn(); check([ended.code, ended.status], ['no_event_stream', 200]);")


@pytest.mark.parametrize("kind", ["token", "ticket"])
def test_a_token_or_ticket_is_asked_for_afresh_and_a_refused_one_replaced_a_few_times(stream, kind):
    stream(f"answers.push([401, 'unauthorized'], 'stream', [401, 'unauthorized'], [401, 'unauthorized'], [401, 'unauthorized']); let n = 0; await follow({{ {kind}: async () => `t${{n += 1}}` }});")
    stream.later(3_000)
    stream("await turn(); check(stream.state.name, 'connected'); server.close(); await turn();")
    for wait in (15_000, 15_000, 15_000):
        stream("while (stream.state.name === 'connecting') await turn(); check(stream.state.name, 'reconnecting');")
        stream.later(wait)
        stream("await turn();")
    shown = "token" if kind == "token" else "url"
    wanted = [f"Bearer t{n}" if kind == "token" else f"http://x/sse/all?ticket=t{n}" for n in range(1, 6)]
    stream(f"while (!ended) await turn(); check(asked.map(({{ {shown} }}) => {shown}), {wanted}); check([ended.code, stream.state.name], ['unauthorized', 'closed']);")


def test_whoever_cannot_get_a_ticket_any_more_says_so(stream):
    stream("await follow({ ticket: async () => { throw Object.assign(new Error('signed out'), { retry: false }); } }); check([ended.message, asked.length], ['signed out', 0]);")


def test_leaving_the_loop_closes_the_connection_and_another_loop_goes_on_there(stream):
    stream("""
      window.stopAt = 'stop'; await follow();
      await sends('data: 1\\nid: 1\\n\\nevent: stop\\ndata: 2\\nid: 2\\n\\ndata: 3\\nid: 3\\n\\n');
      check([ended, wasClosed, got.length, stream.state.name, stream.lastEventId], ['ended', true, 2, 'idle', '2']);
      read(); await turn(); check(asked.at(-1).url, 'http://x/sse/all?last_event_id=2');
      const second = stream[Symbol.asyncIterator]().next(); check(await second.catch(({ message }) => message), 'The stream is being read already');
    """)


@pytest.mark.parametrize("how", ["stream.close()", "stop.abort()"])
@pytest.mark.parametrize("when", ["", "server.close(); await turn();"])
def test_a_stream_that_is_closed_ends_its_loop(stream, how, when):
    stream(f"window.stop = new AbortController(); await follow({{ signal: stop.signal }}); {when} {how}; await turn(); check([ended, stream.state.name], ['ended', 'closed']);")
    stream.later(60_000)
    stream("await turn(); check(asked.length, 1); read(); await turn(); check([asked.length, ended], [1, 'ended']);")


def test_an_event_without_an_end_is_given_up(stream):
    stream("await follow(); const part = 'x'.repeat(1 << 20); await sends('data: ', part, part, part, part); check(ended.code, 'event_too_long');")


@pytest.mark.parametrize("options, address", [
    ("{ url: 'http://x/base/', channels: ['system', 'own'], lastEventId: 7 }", "http://x/base/sse/system,own?last_event_id=7"),
    ("{ url: 'http://x/dashboard', channels: 'all' }", "http://x/sse/all"),
    ("{ url: '/sse/api' }", "HERE/sse/api"),
    ("{ url: undefined }", "HERE/static/sse/dashboard"),
    ("{ url: new URL('https://x/sse/audit') }", "https://x/sse/audit"),
])
def test_the_address_is_of_a_stream_or_of_a_server_with_channels(stream, options, address):
    stream(f"await follow({options}); check(asked[0].url, '{address}'.replace('HERE', location.origin));")


@pytest.mark.parametrize("url", ["'ws://x/sse/all'", "'http://'"])
def test_an_address_that_is_none_is_refused_at_once(stream, url):
    stream(f"const {{ events }} = await import('/static/sarang.js'); try {{ events({url}); check(0, 1); }} catch ({{ name, message }}) {{ check([name, message.includes('`url` must')], ['TypeError', true]); }}")
