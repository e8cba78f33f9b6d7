//! The five kinds of server, and the clients with all that they may show.

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::http::JSON;
use crate::support::token::{self, signed};
use crate::support::{Chatter, Response, Server, percent_encoded};

/// The kinds of server, in the order of the tables' columns.
pub const SITES: [&str; 5] = [
    "demo",
    "accounts",
    "accounts and guests",
    "secrets only",
    "public dashboard",
];

/// The clients, in the order of the tables' columns.
pub const VISITORS: [&str; 10] = [
    "nothing",
    "a guest's name",
    "user",
    "other user",
    "expired",
    "revoked",
    "forged",
    "unsigned",
    "moderator",
    "API key",
];

/// Hashed by another implementation of Argon2.
const USERS: &str = "\
    홍길동:$argon2id$v=19$m=19456,t=2,p=1$c2FsdCBvZiBob25nIDE2Yg$3YBrGnxlQuHBrV0UERBwONMVvuDazoTdXeo0neMUU8I\n\
    김철수:$argon2id$v=19$m=19456,t=2,p=1$c2FsdCBvZiBraW0gMTZieQ$A6H0zVmhmTuAq/WpbZ8XT4w11SZ6Vh40j4LzKtTO494\n";
const HONG: (&str, &str) = ("홍길동", "비밀번호 하나");
const KIM: (&str, &str) = ("김철수", "비밀번호 둘");
/// The only account of the demo: there "another user" is another sign-in of it.
const ADMIN: (&str, &str) = ("admin", "secret");
const SECRET: &str = "a secret of this test, long enough for HS256";
/// A key of `--api-key-file`.
const KEY: &str = "a-key.of~this:test+long/enough=123";
const FOREIGN: &str = "a secret that this server never heard of";

/// The lifetime of a token whose expiry is awaited, in seconds.
const SHORT: u64 = 2;

/// How many tickets of a token the tables use: two for sockets, one for each of two streams.
const TICKETS: usize = 4;

/// A server and what clients may show there.
pub struct Site {
    pub name: &'static str,
    pub server: Server,
    /// The demo's secret is not known, so its expired tokens come from a demo of its own, whose tokens are short-lived.
    short: Option<Server>,
    users: [(&'static str, &'static str); 2],
    has_accounts: bool,
    /// The tokens of [`VISITORS`]; none for the first two.
    tokens: Vec<String>,
    /// Unused tickets of a token that has expired, and of one that was revoked.
    expired_tickets: RefCell<Vec<String>>,
    revoked_tickets: RefCell<Vec<String>>,
}

/// The five servers of a test. Each has a room `tech`.
pub fn sites(test: &str) -> [Site; 5] {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("authority-{test}-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let [users, secrets, keys] = ["users", "secrets", "keys"].map(|file| folder.join(file));
    fs::write(&users, USERS).expect("a file of users");
    fs::write(&secrets, format!("only:{SECRET}\n")).expect("a file of secrets");
    fs::write(&keys, format!("backend:{KEY}\n")).expect("a file of keys");
    let [users, secrets, keys] =
        [&users, &secrets, &keys].map(|path| path.to_str().expect("UTF-8"));
    let demo = ["--echo", "--api-key-file", keys];
    let secrets = [&demo[..], &["--secret-file", secrets]].concat();
    let accounts = [&secrets[..], &["--users", users]].concat();
    let sites = thread::scope(|scope| {
        // Each waits for a token to expire.
        let starting = SITES.map(|name| {
            let options = match name {
                "demo" => demo.to_vec(),
                "accounts" => accounts.clone(),
                "accounts and guests" => [&accounts[..], &["--guests"]].concat(),
                "secrets only" => secrets.clone(),
                _ => [&accounts[..], &["--public-dashboard"]].concat(),
            };
            scope.spawn(move || Site::new(name, &options))
        });
        starting.map(|site| site.join().expect("starts"))
    });
    fs::remove_dir_all(&folder).expect("the folder");
    sites
}

impl Site {
    fn new(name: &'static str, options: &[&str]) -> Self {
        let is_demo = name == "demo";
        let users = if is_demo { [ADMIN; 2] } else { [HONG, KIM] };
        let ttl = SHORT.to_string();
        let mut site = Self {
            name,
            server: Server::start(options),
            short: is_demo.then(|| Server::start(&["--echo", "--token-ttl", &ttl])),
            users,
            has_accounts: name != "secrets only",
            tokens: Vec::new(),
            expired_tickets: RefCell::default(),
            revoked_tickets: RefCell::default(),
        };
        let [user, other] = users.map(|user| site.signed_in(user));
        let (expired, tickets) = site.expired();
        site.expired_tickets = tickets.into();
        let revoked = site.signed_in(users[0]);
        let tickets = (0..TICKETS).map(|_| ticket(&site.server, &revoked));
        site.revoked_tickets = RefCell::new(tickets.collect());
        let left = with_token(&site.server, "POST", "/auth/logout", &revoked, "");
        assert_eq!(left.status, 204);
        let forged = forged(&user);
        let moderator = site.moderator();
        site.tokens = [
            user.clone(),
            other,
            expired,
            revoked,
            forged,
            unsigned(&user),
            moderator,
            KEY.to_owned(),
        ]
        .into();
        for server in [Some(&site.server), site.short.as_ref()]
            .into_iter()
            .flatten()
        {
            let tech = r#"{"name":"tech"}"#;
            let made = with_token(server, "POST", "/rooms", &user, tech);
            assert_eq!(made.status, 201);
        }
        site
    }

    /// Makes what an example of a request names: the target with the position of a message, and somebody who is there as
    /// long as what is returned.
    pub fn stage(&self, method: &str, target: &str) -> (String, Option<Chatter>) {
        let ask = |method, target, body| with_token(&self.server, method, target, KEY, body);
        if (method, target) == ("DELETE", "/rooms/gone") {
            let made = ask("POST", "/rooms", r#"{"name":"gone"}"#);
            assert!(matches!(made.status, 201 | 409), "{made:?}");
        }
        if (method, target) == ("DELETE", "/users/banned/ban") {
            assert_eq!(ask("PUT", target, "{}").status, 204);
        }
        if target.contains("{position}") {
            let said = ask("POST", "/rooms/tech/messages", r#"{"content":"x"}"#);
            let position = said.json()["position"].clone();
            let position = position.as_str().expect("a position");
            return (target.replace("{position}", position), None);
        }
        let somebody = target.starts_with("/users/somebody").then(|| {
            let entry = match self.short {
                Some(_) => "/ws?username=somebody".to_owned(),
                None => format!(
                    "/ws?ticket={}",
                    ticket(&self.server, &minted("somebody", 3600))
                ),
            };
            let mut somebody = Chatter::open(&self.server, &entry, &[]);
            somebody.expect("welcome");
            somebody
        });
        (target.to_owned(), somebody)
    }

    /// A new token of a user.
    fn signed_in(&self, user: (&str, &str)) -> String {
        match self.has_accounts {
            true => login(&self.server, user),
            false => minted(user.0, 3600),
        }
    }

    /// A new token of a moderator.
    fn moderator(&self) -> String {
        match self.short {
            Some(_) => login(&self.server, ADMIN),
            None => minted_with("운영자", 3600, &json!({"admin": true})),
        }
    }

    /// A token that has expired, and tickets from before.
    fn expired(&self) -> (String, Vec<String>) {
        let server = self.short.as_ref().unwrap_or(&self.server);
        loop {
            let token = match &self.short {
                Some(short) => login(short, ADMIN),
                None => minted(self.users[0].0, SHORT),
            };
            let tickets = (0..=TICKETS).map_while(|_| try_ticket(server, &token));
            let mut tickets: Vec<String> = tickets.collect();
            // A busy machine may need longer than such a token lives.
            if tickets.len() <= TICKETS {
                continue;
            }
            let last = tickets.pop().expect("there is one more");
            let mut watch = Chatter::open(server, &format!("/ws?ticket={last}"), &[]);
            assert_eq!(watch.close_frame().0, 4002);
            return (token, tickets);
        }
    }

    /// The token of a client, if it has one.
    pub fn token(&self, visitor: &str) -> &str {
        let number = VISITORS.iter().position(|other| *other == visitor);
        let number = number.expect("is a client");
        number
            .checked_sub(2)
            .map_or("", |index| &self.tokens[index])
    }

    /// The server where something expired is shown.
    pub fn server_of(&self, shown: &str) -> &Server {
        let short = self.short.as_ref().filter(|_| shown.contains("expired"));
        short.unwrap_or(&self.server)
    }

    /// The answer to a client's request.
    pub fn ask(&self, visitor: &str, method: &str, target: &str, body: &str) -> Response {
        let server = self.server_of(visitor);
        let is_user = matches!(visitor, "user" | "other user");
        match visitor {
            "nothing" => with_fields(server, method, target, "", body),
            "a guest's name" => {
                let target = format!("{target}?username=guest");
                with_fields(server, method, &target, "", body)
            }
            // A logout ends the session of its token, which is needed no longer.
            "moderator" if (method, target) == ("POST", "/auth/logout") => {
                with_token(server, method, target, &self.moderator(), body)
            }
            _ if is_user && (method, target) == ("POST", "/auth/logout") => {
                let user = self.users[usize::from(visitor != "user")];
                with_token(server, method, target, &self.signed_in(user), body)
            }
            _ => with_token(server, method, target, self.token(visitor), body),
        }
    }

    /// The body of a request to a route.
    pub fn body(&self, path: &str) -> String {
        let (username, password) = self.users[0];
        match path {
            "/rooms" => json!({"name": format!("room {}", next())}).to_string(),
            "/auth/login" if self.has_accounts => {
                json!({"username": username, "password": password}).to_string()
            }
            // So few failures of a name that it need not wait.
            "/auth/login" => {
                let username = format!("nobody {}", next());
                json!({"username": username, "password": password}).to_string()
            }
            "/events/business" | "/events/*" => r#"{"orders":1}"#.to_owned(),
            "/rooms/*/messages" | "/users/*/messages" => r#"{"content":"x"}"#.to_owned(),
            "/rooms/*" | "/users/*/ban" => "{}".to_owned(),
            _ => String::new(),
        }
    }

    /// The query of an address that shows this.
    pub fn query(&self, shown: &str) -> String {
        let taken = |tickets: &RefCell<Vec<String>>| {
            let ticket = tickets.borrow_mut().pop();
            ticket.expect("there are enough for each row")
        };
        let name = |name: &str| format!("?username={}", percent_encoded(name));
        let shown = match shown {
            "nothing" => return String::new(),
            "a guest's name" => return name("guest"),
            "an account's name" if self.has_accounts => return name(self.users[0].0),
            // Nobody is a guest there.
            "an account's name" => return name("admin"),
            "a ticket of a user" => ticket(&self.server, self.token("user")),
            "a ticket of another user" => ticket(&self.server, self.token("other user")),
            "a ticket of a moderator" => ticket(&self.server, self.token("moderator")),
            "a used ticket" => {
                let used = ticket(&self.server, self.token("user"));
                Chatter::open(&self.server, &format!("/ws?ticket={used}"), &[]).expect("welcome");
                used
            }
            "a ticket whose token expired" => taken(&self.expired_tickets),
            "a ticket whose token was revoked" => taken(&self.revoked_tickets),
            "a forged ticket" => URL_SAFE_NO_PAD.encode([7; 32]),
            "a token instead of a ticket" => self.token("user").to_owned(),
            other => panic!("{other} is not in the table"),
        };
        format!("?ticket={shown}")
    }
}

fn with_fields(server: &Server, method: &str, target: &str, fields: &str, body: &str) -> Response {
    let mut http = server.connect();
    if matches!(method, "POST" | "PUT" | "PATCH") {
        return http.send_with(method, target, &format!("{JSON}{fields}"), body);
    }
    if method == "GET" && target.starts_with("/sse/") {
        return http.head_of_stream(target, fields);
    }
    http.request(method, target, fields)
}

fn with_token(server: &Server, method: &str, target: &str, token: &str, body: &str) -> Response {
    let field = format!("Authorization: Bearer {token}\r\n");
    with_fields(server, method, target, &field, body)
}

fn login(server: &Server, (username, password): (&str, &str)) -> String {
    let body = json!({"username": username, "password": password});
    let response = server.post("/auth/login", &body.to_string());
    assert_eq!(response.status, 200, "{response:?} {}", response.text());
    let token = response.json()["access_token"].clone();
    token.as_str().expect("a token").to_owned()
}

fn try_ticket(server: &Server, token: &str) -> Option<String> {
    let response = with_token(server, "POST", "/auth/ws-ticket", token, "");
    let is_good = response.status == 200;
    is_good.then(|| {
        let ticket = response.json()["ticket"].clone();
        ticket.as_str().expect("a ticket").to_owned()
    })
}

fn ticket(server: &Server, token: &str) -> String {
    try_ticket(server, token).expect("the token is good")
}

/// A number that was not used before.
fn next() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A token of another back end that knows the secret.
fn minted(sub: &str, seconds: u64) -> String {
    minted_with(sub, seconds, &json!({}))
}

/// One with more claims.
fn minted_with(sub: &str, seconds: u64, more: &Value) -> String {
    let jti = next().to_string();
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let exp = now.expect("a clock after 1970").as_secs() + seconds;
    let mut claims = json!({"sub": sub, "exp": exp, "jti": jti});
    for (name, value) in more.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    token::minted(&claims, SECRET)
}

/// A good token with a signature by another secret.
fn forged(token: &str) -> String {
    let (input, _) = token.rsplit_once('.').expect("three parts");
    signed(input, FOREIGN)
}

/// The claims of a good token, which say that they need no signature.
fn unsigned(token: &str) -> String {
    let claims = token.split('.').nth(1).expect("three parts");
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    format!("{header}.{claims}.")
}
