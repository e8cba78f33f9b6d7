//! The table of routes (SPEC section 2): paths, methods and access.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::answer::Endpoint;
use super::assets::{self, AssetId};
use crate::config::{BATCH_BYTES_MAX, BODY_BYTES_MAX, Config, ECHO_BODY_BYTES_MAX};
use crate::wire::http::{Method, Request};

/// The resource a path names.
#[derive(Clone, Copy, Debug)]
pub enum Resource<'r> {
    /// An embedded file.
    Asset(AssetId),
    /// A page that has another address: a reference relative to this one.
    Moved(&'static str),
    /// All rooms.
    Rooms,
    /// A room, by name.
    Room(&'r str),
    /// Messages for a room, by name.
    Messages(&'r str),
    /// A message of a room: the name and the position.
    Message(&'r str, &'r str),
    /// All users who are here.
    Users,
    /// A user, by name.
    User(&'r str),
    /// Whispers for a user, by name.
    UserMessages(&'r str),
    /// The connections of a user, by name.
    UserConnections(&'r str),
    /// The ban of a user, by name.
    Ban(&'r str),
    /// All bans.
    Bans,
    /// The tokens of a user, by name: they are revoked.
    Revocations(&'r str),
    /// The history of a room, by name.
    History(&'r str),
    /// A WebSocket.
    WebSocket(Endpoint),
    /// An echo of the request's body.
    HttpEcho,
    /// The ways to sign in that the entry page offers.
    Entry,
    /// Sign-in: name and password for a token.
    Login,
    /// Refresh: a token for a newer one.
    Refresh,
    /// Ticket: a token for a ticket.
    Ticket,
    /// Sign-out: the token is revoked.
    Logout,
    /// An event stream, by the names of its channels, separated by commas.
    EventStream(&'r str),
    /// The event stream of what was done, for moderators.
    Audit,
    /// Figures a back end posts.
    Figures,
    /// An event of a channel of one's own, by name.
    Event(&'r str),
    /// The recent samples of live metrics.
    Series,
    /// The Prometheus page.
    Exposition,
    /// Whether the process is alive.
    Liveness,
    /// Whether the server is ready for requests.
    Readiness,
    /// The server itself: `OPTIONS *` (RFC 9110 section 9.3.7).
    Server,
}

/// Access to a resource. In the demo all are open but those for moderators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// No token needed, or the resource has its own rule.
    Open,
    /// A valid token is needed.
    SignedIn,
    /// A valid token is needed, unless `--public-dashboard` is given.
    Dashboard,
    /// A moderator's token, or an API key, is needed, also in the demo.
    Moderator,
}

/// Makes the [`Resource`] of a path that matches; `names` are the segments at each `*`.
type Make = for<'r> fn(names: [&'r str; 2]) -> Option<Resource<'r>>;

/// A row of the table.
#[derive(Debug)]
pub struct Route {
    /// The segments of the path; `*` matches any one.
    path: &'static [&'static str],
    /// The allowed methods, as the `Allow` field lists them.
    allow: &'static str,
    access: Access,
    /// Whether a ticket is accepted instead of a bearer token, which a browser cannot send with an event stream.
    pub takes_ticket: bool,
    /// Exists only with `--echo`.
    is_echo: bool,
    /// The largest body, in bytes; above it 413.
    body_bytes_max: usize,
    make: Make,
}

const READ: &str = "GET, HEAD, OPTIONS";
const WRITE: &str = "POST, OPTIONS";
const REMOVE: &str = "DELETE, OPTIONS";
const PUT_AND_REMOVE: &str = "PUT, DELETE, OPTIONS";
const ROOM: &str = "GET, HEAD, PATCH, DELETE, OPTIONS";
const READ_AND_WRITE: &str = "GET, HEAD, POST, OPTIONS";

const fn route(path: &'static [&'static str], allow: &'static str, make: Make) -> Route {
    Route {
        path,
        allow,
        access: Access::Open,
        takes_ticket: false,
        is_echo: false,
        body_bytes_max: BODY_BYTES_MAX,
        make,
    }
}

impl Route {
    const fn to(self, access: Access) -> Self {
        Self { access, ..self }
    }

    const fn with_body(self, body_bytes_max: usize) -> Self {
        Self {
            body_bytes_max,
            ..self
        }
    }

    const fn with_ticket(self) -> Self {
        Self {
            takes_ticket: true,
            ..self
        }
    }

    const fn echo(self, body_bytes_max: usize) -> Self {
        Self {
            is_echo: true,
            body_bytes_max,
            ..self
        }
    }
}

use Access::{Dashboard, Moderator, SignedIn};

/// Every route; the first that matches is used.
#[rustfmt::skip]
const ROUTES: &[Route] = &[
    route(&[""], READ, |_| Some(Resource::Asset(assets::find("index.html")?))),
    route(&["dashboard"], READ, |_| Some(Resource::Asset(assets::find("dashboard.html")?))),
    // Its relative addresses would lead elsewhere from here.
    route(&["dashboard", ""], READ, |_| Some(Resource::Moved("../dashboard"))),
    route(&["grafana.json"], READ, |_| Some(Resource::Asset(assets::find("grafana.json")?))),
    route(&["openapi.json"], READ, |_| Some(Resource::Asset(assets::find("openapi.json")?))),
    route(&["asyncapi.json"], READ, |_| Some(Resource::Asset(assets::find("asyncapi.json")?))),
    route(&["static", "*"], READ, |[name, _]| Some(Resource::Asset(assets::find_part(name)?))),
    route(&["ws"], READ, |_| Some(Resource::WebSocket(Endpoint::Chat))),
    route(&["rooms"], READ_AND_WRITE, |_| Some(Resource::Rooms)).to(SignedIn),
    route(&["rooms", "*"], ROOM, |[name, _]| Some(Resource::Room(name))).to(SignedIn),
    route(&["rooms", "*", "history"], READ, |[name, _]| Some(Resource::History(name))).to(SignedIn),
    route(&["rooms", "*", "messages"], WRITE, |[name, _]| Some(Resource::Messages(name))).to(Moderator).with_body(BATCH_BYTES_MAX),
    route(&["rooms", "*", "messages", "*"], REMOVE, |[name, at]| Some(Resource::Message(name, at))).to(Moderator),
    route(&["users"], READ, |_| Some(Resource::Users)).to(Moderator),
    route(&["users", "*"], READ, |[name, _]| Some(Resource::User(name))).to(Moderator),
    route(&["users", "*", "messages"], WRITE, |[name, _]| Some(Resource::UserMessages(name))).to(Moderator),
    route(&["users", "*", "connections"], REMOVE, |[name, _]| Some(Resource::UserConnections(name))).to(Moderator),
    route(&["users", "*", "ban"], PUT_AND_REMOVE, |[name, _]| Some(Resource::Ban(name))).to(Moderator),
    route(&["users", "*", "revocations"], WRITE, |[name, _]| Some(Resource::Revocations(name))).to(Moderator),
    route(&["bans"], READ, |_| Some(Resource::Bans)).to(Moderator),
    route(&["sse", "audit"], READ, |_| Some(Resource::Audit)).to(Moderator).with_ticket(),
    route(&["sse", "*"], READ, |[name, _]| Some(Resource::EventStream(name))).to(Dashboard).with_ticket(),
    route(&["series"], READ, |_| Some(Resource::Series)).to(Dashboard).with_ticket(),
    route(&["events", "business"], WRITE, |_| Some(Resource::Figures)).to(SignedIn),
    route(&["events", "*"], WRITE, |[name, _]| Some(Resource::Event(name))).to(SignedIn),
    route(&["metrics"], READ, |_| Some(Resource::Exposition)).to(Dashboard),
    route(&["livez"], READ, |_| Some(Resource::Liveness)),
    route(&["readyz"], READ, |_| Some(Resource::Readiness)),
    route(&["auth"], READ, |_| Some(Resource::Entry)),
    route(&["auth", "login"], WRITE, |_| Some(Resource::Login)),
    route(&["auth", "refresh"], WRITE, |_| Some(Resource::Refresh)),
    route(&["auth", "ws-ticket"], WRITE, |_| Some(Resource::Ticket)),
    route(&["auth", "logout"], WRITE, |_| Some(Resource::Logout)),
    route(&["ws-echo"], READ, |_| Some(Resource::WebSocket(Endpoint::Echo))).echo(BODY_BYTES_MAX),
    route(&["http-echo"], WRITE, |_| Some(Resource::HttpEcho)).echo(ECHO_BODY_BYTES_MAX),
];

/// `OPTIONS *`, which has no path.
static SERVER: Route = route(&[], READ_AND_WRITE, |_| Some(Resource::Server));

/// Every route's path, with `*` for any segment, and the methods it allows, as the `Allow` field lists them.
pub fn table() -> impl Iterator<Item = (String, &'static str)> {
    let routes = ROUTES.iter();
    routes.map(|route| (format!("/{}", route.path.join("/")), route.allow))
}

/// The route of a request, and the resource it names.
pub fn find<'r>(config: &Config, request: &'r Request) -> Option<(&'static Route, Resource<'r>)> {
    let path = request.path.parts();
    if path.is_empty() && request.method == Method::Options {
        return Some((&SERVER, Resource::Server));
    }
    ROUTES
        .iter()
        .filter(|route| config.echo || !route.is_echo)
        .find_map(|route| Some((route, route.resource(&path)?)))
}

/// The largest body a request may have, in bytes.
pub fn body_bytes_max(config: &Config, request: &Request) -> usize {
    find(config, request).map_or(BODY_BYTES_MAX, |(route, _)| route.body_bytes_max)
}

/// The path of a room, percent-encoded.
pub fn location_of_room(name: &str) -> String {
    format!("/rooms/{}", utf8_percent_encode(name, NON_ALPHANUMERIC))
}

impl Route {
    fn resource<'r>(&self, path: &[&'r str]) -> Option<Resource<'r>> {
        if path.len() != self.path.len() {
            return None;
        }
        let (mut names, mut count) = ([""; 2], 0);
        for (expected, found) in self.path.iter().zip(path) {
            match *expected {
                "*" => {
                    names[count] = *found;
                    count += 1;
                }
                expected if expected == *found => {}
                _ => return None,
            }
        }
        (self.make)(names)
    }

    /// The value of the `Allow` field (RFC 9110 section 10.2.1).
    pub fn allow(&self) -> &'static str {
        self.allow
    }

    /// Whether the route allows this method.
    pub fn allows(&self, method: Method) -> bool {
        let name = method.name();
        self.allow.split(", ").any(|allowed| allowed == name)
    }

    /// Whether the route needs a valid token.
    pub fn is_private(&self, config: &Config, method: Method) -> bool {
        match self.access {
            _ if self.is_for_moderators(method) => true,
            Access::Open => false,
            SignedIn => !config.is_demo(),
            Dashboard => !config.is_demo() && !config.public_dashboard,
            Moderator => true,
        }
    }

    /// Whether that has to be a moderator's, or an API key.
    pub fn is_for_moderators(&self, method: Method) -> bool {
        let is_change = matches!(method, Method::Put | Method::Patch | Method::Delete);
        self.access == Moderator || is_change
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_leads_back_to_its_room() {
        let location = location_of_room("a/b 홍");
        let head = format!("GET {location} HTTP/1.1\r\nHost: x\r\n\r\n");
        let parsed = crate::wire::http::parse_head(head.as_bytes());
        let (request, _) = parsed.expect("is valid").expect("is whole");
        let found = find(&Config::default(), &request);
        assert!(matches!(found, Some((_, Resource::Room("a/b 홍")))));
    }

    #[test]
    fn a_route_allows_what_it_says() {
        for route in ROUTES {
            let methods = [
                Method::Get,
                Method::Head,
                Method::Post,
                Method::Put,
                Method::Patch,
                Method::Delete,
                Method::Options,
            ];
            let allowed = methods.into_iter().filter(|method| route.allows(*method));
            let names: Vec<&str> = allowed.map(Method::name).collect();
            assert_eq!(names.join(", "), route.allow, "{:?}", route.path);
            assert!(!route.allows(Method::Trace));
        }
    }
}
