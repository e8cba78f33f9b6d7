//! Commands by chance, and those that are always tried.

pub struct Draw(u64);

/// Commands on keys: `k` is drawn among few keys, `f` and `m` among few fields and members, `n` is a small number, `s` a
/// score, `v` a value, `i` an id of a stream, `l` a limit of scores, `b` an end of a range of ids.
const COMMANDS: &[&str] = &[
    "GET k",
    "SET k v",
    "SET k v NX",
    "SET k v XX",
    "SET k v GET",
    "SET k v EX 100",
    "SET k v PX 100000",
    "SET k v PXAT n",
    "SET k v NX GET",
    "SET k v XX EX n",
    "SET k v KEEPTTL",
    "SETEX k 100 v",
    "SETEX k n v",
    "PSETEX k 100000 v",
    "GETDEL k",
    "INCR k",
    "INCRBY k n",
    "INCRBY k v",
    "APPEND k v",
    "STRLEN k",
    "DEL k",
    "DEL k k k",
    "UNLINK k k",
    "EXISTS k k",
    "EXPIRE k 100",
    "EXPIRE k n",
    "EXPIRE k 100 NX",
    "EXPIRE k 200 XX",
    "PEXPIREAT k 4000000000000 GT",
    "PEXPIREAT k 3000000000000 GT",
    "EXPIRE k 50 LT",
    "EXPIRE k v",
    "PEXPIRE k 100000",
    "PEXPIREAT k n",
    "EXPIREAT k n",
    "PERSIST k",
    "TTL k",
    "TYPE k",
    "HGET k f",
    "HSET k f v",
    "HSET k f n f v f n",
    "HSET k f v f",
    "HSETNX k f v",
    "HMGET k f f f",
    "HGETALL k",
    "HDEL k f",
    "HDEL k f f f",
    "HLEN k",
    "HKEYS k",
    "HVALS k",
    "HEXISTS k f",
    "HINCRBY k f n",
    "HINCRBY k f v",
    "HINCRBY k f 9223372036854775807",
    "HRANDFIELD k 0",
    "SADD k m",
    "SADD k m m m",
    "SREM k m m",
    "SMEMBERS k",
    "SCARD k",
    "SISMEMBER k m",
    "SPOP k 100",
    "SPOP k -1",
    "SPOP k 0",
    "SRANDMEMBER k 0",
    "ZADD k s m",
    "ZADD k NX s m s m",
    "ZADD k XX s m",
    "ZADD k GT s m",
    "ZADD k LT s m",
    "ZADD k XX CH s m s m",
    "ZADD k NX GT s m",
    "ZADD k NX XX s m",
    "ZADD k v m",
    "ZADD k s",
    "ZADD k INCR s m",
    "ZSCORE k m",
    "ZREM k m m",
    "ZRANGE k n n",
    "ZRANGE k 0 -1 WITHSCORES",
    "ZRANGE k n n REV",
    "ZRANGE k l l BYSCORE",
    "ZRANGE k l l BYSCORE REV",
    "ZRANGE k l l BYSCORE LIMIT n n",
    "ZRANGE k 0 -1 LIMIT 0 1",
    "ZRANGE k -inf +inf BYSCORE LIMIT 0 2 WITHSCORES",
    "ZRANGE k +inf -inf BYSCORE REV LIMIT 1 2",
    "ZRANGEBYSCORE k l l",
    "ZRANGEBYSCORE k -inf l LIMIT n n",
    "ZRANGEBYSCORE k l +inf WITHSCORES",
    "ZREMRANGEBYSCORE k l l",
    "ZCARD k",
    "ZCOUNT k l l",
    "XADD k i f v",
    "XADD k MAXLEN n i f v f v",
    "XADD k MAXLEN = 5 i f v",
    "XADD k NOMKSTREAM i f v",
    "XADD k MINID i i f v",
    "XADD k i f",
    "XADD k i f v f",
    "XADD k 99999-* f v",
    "XADD k v f v",
    "XRANGE k - +",
    "XRANGE k b b",
    "XRANGE k b + COUNT n",
    "XRANGE k - + COUNT v",
    "XREVRANGE k + -",
    "XREVRANGE k b b COUNT 2",
    "XLEN k",
    "XTRIM k MAXLEN n",
    "XTRIM k MAXLEN = 3",
    "XTRIM k MINID i",
    "XTRIM k v n",
    "XDEL k i i",
    "XDEL k v",
    "PUBLISH k v",
    "GET",
    "GET k k",
    "HSET k",
    "hget k f",
    "XLEN",
    "NOSUCH k v",
];

const SCRIPT: &str = "local words = {} for i = 3, #ARGV do words[i - 2] = ARGV[i] end \
    local reply if ARGV[1] == 'call' then reply = redis.call(unpack(words)) else reply = redis.pcall(unpack(words)) end \
    if ARGV[2] == 'sort' and type(reply) == 'table' and not reply.err and not reply.ok then table.sort(reply) end return reply";

impl Draw {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[usize::try_from(self.below(words.len() as u64)).expect("small")]
    }

    fn word(&mut self, pattern: &str) -> Vec<u8> {
        let drawn = match pattern {
            "k" => format!("key{}", self.below(6)),
            "f" => format!("field{}", self.below(5)),
            "m" => format!("member{}", self.below(5)),
            "n" => self.pick(&["-2", "-1", "0", "1", "2", "3", "7"]).to_owned(),
            "s" => self
                .pick(&["0", "1", "1.5", "-2", "10", "inf", "-inf", "1e3"])
                .to_owned(),
            "v" => self
                .pick(&["", "a", "value", "12", "-3", "007", "1.5", "x y\r\nz", "+5"])
                .to_owned(),
            "i" => self
                .pick(&[
                    "1", "2-1", "3-0", "5", "5-5", "7-1", "9", "12-3", "0-0", "20", "0-*", "40-*",
                ])
                .to_owned(),
            "l" => self
                .pick(&["-inf", "(0", "0", "1", "(1.5", "2", "(10", "+inf", "x"])
                .to_owned(),
            "b" => self
                .pick(&["-", "+", "1", "(2-1", "5", "(5-5", "9-0", "(0-0", "(5", "x"])
                .to_owned(),
            other => other.to_owned(),
        };
        drawn.into_bytes()
    }

    /// The next command; one in three is carried out by a script.
    pub fn step(&mut self) -> Vec<Vec<u8>> {
        let pattern = self.pick(COMMANDS);
        let words: Vec<Vec<u8>> = pattern.split(' ').map(|word| self.word(word)).collect();
        if self.below(3) > 0 {
            return words;
        }
        let how = self.pick(&["call", "pcall"]);
        let is_unordered = ["HGETALL", "HKEYS", "HVALS", "SMEMBERS", "SPOP"]
            .contains(&pattern.split(' ').next().unwrap_or(""));
        let head = [
            "EVAL",
            SCRIPT,
            "0",
            how,
            if is_unordered { "sort" } else { "" },
        ];
        head.into_iter()
            .map(|word| word.as_bytes().to_vec())
            .chain(words)
            .collect()
    }
}

/// Scripts whose replies are compared word by word.
const SCRIPTS: &[&str] = &[
    "return 1",
    "return 1.99",
    "return -1.99",
    "return 1e15",
    "return 'x'",
    "return true",
    "return false",
    "return nil",
    "return",
    "return {1, 2, nil, 4}",
    "return {1, 'a', false, true, {3.7}}",
    "return {}",
    "return {ok = 'fine'}",
    "return {err = 'NO way'}",
    "return {err = 'plain'}",
    "return {1, {err = 'INNER one'}, 3}",
    "return redis.error_reply('MY error')",
    "return redis.error_reply('plain')",
    "return redis.error_reply('-MY error')",
    "return redis.error_reply('-PLAIN')",
    "return redis.status_reply('GOOD')",
    "return redis.sha1hex('')",
    "return redis.sha1hex('abc')",
    "return #KEYS + #ARGV",
    "return {KEYS[1], ARGV[1], ARGV[2]}",
    "return tostring(1e15)",
    "return 1e15 .. ''",
    "return string.format('%.0f', 1e15)",
    "return redis.call('SET', KEYS[1], 1e15)",
    "return redis.call('GET', KEYS[1])",
    "return redis.call('SET', KEYS[1], 12)",
    "return redis.call('SET', KEYS[1], 0.5) and redis.call('STRLEN', KEYS[1])",
    "return redis.call('INCR', KEYS[1])",
    "return redis.call('DEL', KEYS[1])",
    "return type(redis.call('GET', KEYS[1]))",
    "return redis.call('GET', KEYS[1])",
    "return {redis.call('GET', KEYS[1]), 2}",
    "return redis.call('SET', KEYS[1], 'v').ok",
    "redis.call('SADD', KEYS[1], 'm')",
    "return redis.call('SADD', KEYS[1], 'm')",
    "return redis.pcall('SADD', KEYS[1], 'm').err",
    "return redis.pcall('SADD', KEYS[1], 'm')",
    "redis.call('SET', KEYS[1], 'kept')\nerror('stopped')",
    "return redis.call('GET', KEYS[1])",
    "error({err = 'MY own'})",
    "error('MY own', 0)",
    "local a = nil; return a.b",
    "return nosuch",
    "nosuch = 1",
    "return pcall(redis.call, 'SADD', KEYS[1], 'm')",
    "local good, problem = pcall(redis.call, 'SADD', KEYS[1], 'm'); return {good and 1 or 0, type(problem), problem}",
    "local good, problem = pcall(function() error('inner') end); return {good and 1 or 0, problem}",
    "return redis.call()",
    "return redis.pcall()",
    "return redis.call('GET')",
    "return redis.call('NOSUCH')",
    "return redis.pcall('NOSUCH').err",
    "return redis.call('GET', {})",
    "return redis.call('GET', nil)",
    "return redis.call('SUBSCRIBE', 'c')",
    "return redis.call('EVAL', 'return 1', 0)",
    "return redis.call('PING')",
    "return redis.call('ECHO', 'e')",
    "return redis.call('PUBLISH', 'c', 'x')",
    "return redis.call('SELECT', 3)",
    "return redis.call('HSET', KEYS[2], 'a', 1, 'b', 2)",
    "return redis.call('HGET', KEYS[2], 'nosuch')",
    "return redis.call('HMGET', KEYS[2], 'a', 'x', 'b')",
    "return redis.call('ZADD', KEYS[3], 1.5, 'm')",
    "return redis.call('ZSCORE', KEYS[3], 'm')",
    "return redis.call('ZRANGE', KEYS[3], 0, -1, 'WITHSCORES')",
    "return redis.call('ZADD', KEYS[3], 'x', 'm')",
    "return redis.call('XADD', KEYS[4], '5-0', 'f', 'v')",
    "return redis.call('XADD', KEYS[4], '5-0', 'f', 'v')",
    "return redis.pcall('XADD', KEYS[4], '4-0', 'f', 'v').err",
    "return redis.call('XRANGE', KEYS[4], '-', '+')",
    "return redis.call('XRANGE', KEYS[4], '-', '+', 'COUNT', 0)",
    "return redis.call('TYPE', KEYS[4])",
    "return redis.call('TYPE', KEYS[4]).ok",
    "return redis.call('XDEL', KEYS[4], '5-0')",
    "return redis.call('EXISTS', KEYS[4])",
    "return this is not lua",
    "return 'x",
    "return tonumber('0x10') + tonumber('3')",
    "return {string.match('12-ab', '^(%d+)-(.*)$')}",
    "return math.floor(-1.5)",
    "return table.concat({1, 2, 3}, ',')",
    "local t = {3, 1, 2} table.sort(t) return t",
    "return {unpack({1, 2, 3}, 2)}",
    "return select('#', 1, nil, nil)",
    "return redis.call('HINCRBY', KEYS[1], 'f', 1)",
    "\n\nreturn redis.call('HINCRBY', KEYS[1], 'f', 1)",
    "local function inner() return redis.call('HINCRBY', KEYS[1], 'f', 1) end\nlocal x = inner()\nreturn x",
    "return {double = 3.5}",
];

/// Commands of connections and scripts that are always tried in this order.
const FIXED: &[&str] = &[
    "PING",
    "PING hello",
    "PING a b",
    "ECHO x",
    "SELECT 1",
    "SET k v",
    "SELECT 0",
    "GET k",
    "SELECT 16",
    "SELECT -1",
    "SELECT x",
    "HELLO 4",
    "HELLO x",
    "HELLO 3 FOO",
    "AUTH x",
    "AUTH default x",
    "AUTH nobody x",
    "HELLO 3 AUTH nobody x",
    "CLIENT SETNAME n",
    "CLIENT GETNAME",
    "CLIENT NO-EVICT on",
    "CLIENT NO-EVICT x",
    "CLIENT NOSUCH",
    "CLIENT SETNAME",
    "CLIENT KILL ID 0",
    "CLIENT KILL ID x",
    "CLIENT KILL ID 99999999",
    "CONFIG GET maxmemory-policy",
    "CONFIG GET nosuch",
    "ROLE",
    "WAIT 0 0",
    "WAIT x 0",
    "WAIT 0 x",
    "WAIT 0 -1",
    "SCRIPT EXISTS a b",
    "SCRIPT NOSUCH",
    "SCRIPT EXISTS",
    "SCRIPT LOAD",
    "SCRIPT FLUSH x",
    "EVALSHA a 0",
    "EVALSHA a x",
    "EVALSHA a 1",
    "EVALSHA a -1",
    "EVAL x",
    "SCRIPT LOAD return",
    "SCRIPT EXISTS 63143b6f8007b98c53ca2149822777b3566f9241",
    "EVALSHA 63143B6F8007b98c53ca2149822777b3566f9241 0",
    "SCRIPT FLUSH",
    "EVALSHA 63143b6f8007b98c53ca2149822777b3566f9241 0",
    "SUBSCRIBE",
    "HRANDFIELD h",
    "SPOP s",
    "SRANDMEMBER s",
    "HSET h f v",
    "HRANDFIELD h",
    "HRANDFIELD h 1",
    "HRANDFIELD h -2",
    "HRANDFIELD h 1 WITHVALUES",
    "HRANDFIELD h 1 x",
    "HRANDFIELD h x",
    "SADD s m",
    "SRANDMEMBER s",
    "SRANDMEMBER s -2",
    "SPOP s",
    "EXISTS s",
    "HSCAN h 0",
    "HSCAN h 0 COUNT 10",
    "HSCAN h x",
    "HSCAN h 0 COUNT 0",
    "HSCAN h 0 COUNT x",
    "SADD s m",
    "SSCAN s 0",
    "SSCAN nosuch 0",
    "HSCAN s 0",
    "SET t v EX 0",
    "SET t v EX x",
    "SET t v EX",
    "SET t v EX 1 PX 1",
    "SET t v NX XX",
    "SET t v PX 9223372036854775807",
    "SETEX t 0 v",
    "EXPIRE t 9223372036854775807",
    "EXPIRE h 1 FOO",
    "XADD x 0-0 f v",
    "XADD x 1-1 f v",
    "XADD x 1-* f v",
    "XADD x MAXLEN -1 2 f v",
    "XADD x MAXLEN x 2 f v",
    "XADD x 18446744073709551615-18446744073709551615 f v",
    "XADD x * f v",
    "XADD x 1 f v",
    "XRANGE x (18446744073709551615-18446744073709551615 +",
    "XRANGE x - (0-0",
    "XTRIM x MAXLEN 0",
    "XLEN x",
    "EXISTS x",
    "XADD x 2 f v",
    "XTRIM x MAXLEN",
    "XTRIM x MAXLEN 0 y",
    "TYPE x",
    "DEL x",
    "TYPE x",
    "ZADD z 0.1 a 1e20 b 1e-7 c 3 d",
    "ZSCORE z d",
    "ZADD z nan e",
    "ZRANGE z x y",
    "ZRANGE z 0 -1 FOO",
    "ZCOUNT z x 1",
    "ZRANGEBYSCORE z 0 1 LIMIT 0",
    "FOO",
    "FOO a b",
    "TIME a",
];

pub fn fixed() -> Vec<Vec<Vec<u8>>> {
    let commands = FIXED.iter().map(|text| {
        text.split(' ')
            .map(|word| word.as_bytes().to_vec())
            .collect()
    });
    let scripts = SCRIPTS.iter().map(|script| {
        let words = [
            "EVAL", script, "4", "one", "two", "three", "four", "a1", "a2",
        ];
        words
            .into_iter()
            .map(|word| word.as_bytes().to_vec())
            .collect()
    });
    commands.chain(scripts).collect()
}
