//! A server whose users have tokens of another back end.

use std::fs;
use std::path::PathBuf;

use super::token::bearer;
use super::{Response, Server};

pub const SECRET: &str = "a secret of this test, long enough for HS256";

/// A server whose users have tokens of another back end; the file of its secret is removed when the test ends.
pub struct Backend {
    pub server: Server,
    secrets: PathBuf,
}

impl Backend {
    /// `name` is used by no other test.
    pub fn start(name: &str, options: &[&str]) -> Self {
        let secrets = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("backend-{name}-{}", std::process::id()));
        fs::write(&secrets, format!("only:{SECRET}\n")).expect("a file of secrets");
        let path = secrets.to_str().expect("a path in UTF-8");
        let server = Server::start(&[&["--secret-file", path], options].concat());
        Self { server, secrets }
    }

    pub fn request(&self, method: &str, target: &str, token: &str) -> Response {
        self.server
            .connect()
            .request(method, target, &bearer(token))
    }

    pub fn ticket(&self, token: &str) -> String {
        let response = self.request("POST", "/auth/ws-ticket", token);
        assert_eq!(response.status, 200, "{response:?} {}", response.text());
        let ticket = response.json()["ticket"].clone();
        ticket.as_str().expect("a ticket").to_owned()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.secrets);
    }
}
