//! Who a connection is, and what it may ask about the engine.

use super::commands::{self, Outcome, integer, upper};
use super::reply::Reply;
use super::state::Core;

impl Core {
    fn is_right(&self, user: &[u8], password: &[u8]) -> bool {
        user == b"default"
            && self
                .password
                .as_ref()
                .is_none_or(|right| right.as_bytes() == password)
    }

    fn log_in(&mut self, user: &[u8], password: &[u8]) -> Result<(), String> {
        if !self.is_right(user, password) {
            return Err("WRONGPASS invalid username-password pair or user is disabled.".to_owned());
        }
        self.me().is_known = true;
        Ok(())
    }

    pub fn auth(&mut self, words: &[Vec<u8>]) -> Outcome {
        match words {
            [_] if self.password.is_none() => {
                Err("ERR AUTH <password> called without any password configured for the default user. Are you sure your \
                     configuration is correct?"
                    .to_owned())
            }
            [password] => self.log_in(b"default", password).map(|()| Reply::ok()),
            [user, password] => self.log_in(user, password).map(|()| Reply::ok()),
            _ => Err(commands::SYNTAX.to_owned()),
        }
    }

    pub fn hello(&mut self, words: &[Vec<u8>]) -> Outcome {
        let mut version = None;
        if let Some(word) = words.first() {
            let number =
                integer(word).ok_or("ERR Protocol version is not an integer or out of range")?;
            if number != 2 && number != 3 {
                return Err("NOPROTO unsupported protocol version".to_owned());
            }
            version = Some(number);
        }
        let mut rest = words.get(1..).unwrap_or_default();
        let (mut name, mut user) = (None, None);
        while let Some(option) = rest.first() {
            rest = match (upper(option).as_str(), &rest[1..]) {
                ("AUTH", [given, password, rest @ ..]) => {
                    user = Some((given, password));
                    rest
                }
                ("SETNAME", [given, rest @ ..]) => {
                    name = Some(name_of(given)?);
                    rest
                }
                _ => {
                    return Err(format!(
                        "ERR Syntax error in HELLO option '{}'",
                        String::from_utf8_lossy(option)
                    ));
                }
            };
        }
        if let Some((user, password)) = user {
            self.log_in(user, password)?;
        }
        if self.password.is_some() && !self.me().is_known {
            return Err("NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH \
                        <user> <pass> option can be used to authenticate the client and select the RESP protocol version at \
                        the same time"
                .to_owned());
        }
        if let Some(name) = name {
            self.me().name = name;
        }
        if let Some(version) = version {
            self.me().is_three = version == 3;
        }
        Ok(self.greeting())
    }

    fn greeting(&mut self) -> Reply {
        let role = if self.is_read_only {
            "replica"
        } else {
            "master"
        };
        let number = self.version.clone();
        let me = self.me();
        let (id, version) = (me.id, if me.is_three { 3 } else { 2 });
        let pairs = [
            ("server", Reply::text("redis")),
            ("version", Reply::text(&number)),
            ("proto", Reply::Integer(version)),
            ("id", Reply::Integer(id)),
            ("mode", Reply::text("standalone")),
            ("role", Reply::text(role)),
            ("modules", Reply::Array(Vec::new())),
        ];
        Reply::Map(
            pairs
                .into_iter()
                .map(|(name, value)| (Reply::text(name), value))
                .collect(),
        )
    }

    pub fn client(&mut self, words: &[Vec<u8>]) -> Outcome {
        let kind = upper(&words[1]);
        let allowed = match kind.as_str() {
            "GETNAME" | "ID" => 2,
            "NO-EVICT" | "SETNAME" => 3,
            "SETINFO" => 4,
            "KILL" => -3,
            _ => return Err(unknown_part(words)),
        };
        if !commands::fits(allowed, words.len()) {
            return Err(commands::wrong_count(&format!("client|{kind}")));
        }
        match kind.as_str() {
            "ID" => Ok(Reply::Integer(self.me().id)),
            "GETNAME" => {
                let name = &self.me().name;
                Ok(Reply::optional(
                    (!name.is_empty()).then_some(name.as_bytes()),
                ))
            }
            "SETNAME" => {
                self.me().name = name_of(&words[2])?;
                Ok(Reply::ok())
            }
            "NO-EVICT" if !["ON", "OFF"].contains(&upper(&words[2]).as_str()) => {
                Err(commands::SYNTAX.to_owned())
            }
            "KILL" => self.kill(&words[2..]),
            _ => Ok(Reply::ok()),
        }
    }

    /// `CLIENT KILL ID n`, the only form that is modelled.
    fn kill(&mut self, words: &[Vec<u8>]) -> Outcome {
        let [kind, number] = words else {
            return Err("ERR No such client".to_owned());
        };
        if upper(kind) != "ID" {
            return Err(commands::SYNTAX.to_owned());
        }
        let id = integer(number)
            .filter(|id| *id > 0)
            .ok_or("ERR client-id should be greater than 0")?;
        let at = self
            .connections
            .iter()
            .position(|connection| connection.id == id && !connection.is_closed);
        match at {
            Some(at) if at == self.current => self.me().is_closing = true,
            Some(at) => self.close(at),
            None => {}
        }
        Ok(Reply::flag(at.is_some()))
    }

    pub fn config(&mut self, words: &[Vec<u8>]) -> Outcome {
        match upper(&words[1]).as_str() {
            "GET" if words.len() < 3 => Err(commands::wrong_count("config|get")),
            "GET" => Ok(self.settings(words)),
            "SET" if words.len() < 4 => Err(commands::wrong_count("config|set")),
            "SET" => self.set_memory_max(&words[2..]),
            _ => Err(unknown_part(words)),
        }
    }

    /// `CONFIG SET maxmemory n`, the only form that is modelled. More is in use than any limit but 0, which is none.
    fn set_memory_max(&mut self, words: &[Vec<u8>]) -> Outcome {
        let [name, limit] = words else {
            return Err(commands::SYNTAX.to_owned());
        };
        if upper(name) != "MAXMEMORY" {
            return Err(format!(
                "ERR Unknown option or number of arguments for CONFIG SET - '{}'",
                String::from_utf8_lossy(name)
            ));
        }
        let limit = integer(limit)
            .filter(|limit| *limit >= 0)
            .ok_or("ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value")?;
        self.memory_max = limit;
        self.is_out_of_memory = limit > 0;
        Ok(Reply::ok())
    }

    fn settings(&self, words: &[Vec<u8>]) -> Reply {
        let memory_max = self.memory_max.to_string();
        let known = [
            ("maxmemory-policy", self.policy.as_str()),
            ("maxmemory", memory_max.as_str()),
        ];
        let asked = words[2..].iter().filter_map(|word| {
            known
                .iter()
                .find(|(name, _)| upper(word) == name.to_uppercase())
        });
        Reply::Map(
            asked
                .map(|(name, value)| (Reply::text(name), Reply::text(value)))
                .collect(),
        )
    }

    pub fn info(&self, sections: &[Vec<u8>]) -> String {
        let role = if self.is_read_only { "slave" } else { "master" };
        let open = self
            .connections
            .iter()
            .filter(|connection| !connection.is_closed)
            .count();
        let all = [
            (
                "Server",
                format!(
                    "redis_version:{}\r\nredis_mode:standalone\r\nrun_id:{}",
                    self.version, self.run_id
                ),
            ),
            ("Clients", format!("connected_clients:{open}")),
            (
                "Memory",
                format!(
                    "maxmemory:{}\r\nmaxmemory_policy:{}",
                    self.memory_max, self.policy
                ),
            ),
            ("Persistence", "loading:0\r\nasync_loading:0".to_owned()),
            ("Replication", {
                format!(
                    "role:{role}\r\nconnected_slaves:{}\r\nmaster_replid:{}",
                    self.replicas, self.replication_id
                )
            }),
            ("Cluster", "cluster_enabled:0".to_owned()),
        ];
        let asked: Vec<String> = sections.iter().map(|section| upper(section)).collect();
        let is_all = asked.is_empty()
            || asked
                .iter()
                .any(|name| ["ALL", "DEFAULT", "EVERYTHING"].contains(&name.as_str()));
        let shown = all
            .iter()
            .filter(|(name, _)| is_all || asked.contains(&name.to_uppercase()));
        shown
            .map(|(name, text)| format!("# {name}\r\n{text}\r\n"))
            .collect::<Vec<_>>()
            .join("\r\n")
    }

    pub fn role(&self) -> Reply {
        if self.is_read_only {
            let address = [
                Reply::text("slave"),
                Reply::text("127.0.0.1"),
                Reply::Integer(6379),
            ];
            let state = [Reply::text("connected"), Reply::Integer(0)];
            return Reply::Array(address.into_iter().chain(state).collect());
        }
        Reply::Array(vec![
            Reply::text("master"),
            Reply::Integer(0),
            Reply::Array(Vec::new()),
        ])
    }
}

/// The error for the second word of a command.
pub(crate) fn unknown_part(words: &[Vec<u8>]) -> String {
    let part = String::from_utf8_lossy(&words[1]);
    format!(
        "ERR unknown subcommand '{part}'. Try {} HELP.",
        upper(&words[0])
    )
}

fn name_of(word: &[u8]) -> Result<String, String> {
    let is_plain = word.iter().all(u8::is_ascii_graphic);
    let name = is_plain.then(|| String::from_utf8_lossy(word).into_owned());
    name.ok_or_else(|| {
        "ERR Client names cannot contain spaces, newlines or special characters.".to_owned()
    })
}
