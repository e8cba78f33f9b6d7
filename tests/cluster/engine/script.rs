//! Scripts: the real ones, carried out by Lua 5.1 on the model's commands.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use mlua::{Chunk, Error, Function, Lua, Table, Value, Variadic};
use sha1::{Digest, Sha1};

use super::commands::{NOT_INTEGER, Outcome, fits, integer, upper, wrong_count};
use super::reply::Reply;
use super::session::unknown_part;
use super::state::Core;

/// The name that texts of scripts have in errors.
const SOURCE: &str = "@user_script";

const NO_SCRIPT: &str = "NOSCRIPT No matching script. Please use EVAL.";

/// The error of a command, on its way through a script.
#[derive(Debug)]
struct Refused(String);

impl std::fmt::Display for Refused {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

pub(crate) struct Scripts {
    lua: Lua,
    globals: Table,
    run: Function,
    known: BTreeMap<String, Function>,
}

impl Scripts {
    pub fn new(core: &Rc<RefCell<Core>>) -> Self {
        let lua = Lua::new();
        let (globals, run) = prepare(&lua, core).expect("the prelude is good Lua");
        Self {
            lua,
            globals,
            run,
            known: BTreeMap::new(),
        }
    }

    pub fn forget(&mut self) {
        self.known.clear();
    }

    /// EVAL, EVALSHA and SCRIPT.
    pub fn answer(&mut self, core: &Rc<RefCell<Core>>, name: &str, words: &[Vec<u8>]) -> Outcome {
        match name {
            "SCRIPT" => self.manage(words),
            _ => self.evaluate(core, name == "EVAL", words),
        }
    }

    fn manage(&mut self, words: &[Vec<u8>]) -> Outcome {
        let part = upper(&words[1]);
        let allowed = match part.as_str() {
            "LOAD" => 3,
            "EXISTS" => -3,
            "FLUSH" => -2,
            _ => return Err(unknown_part(words)),
        };
        if !fits(allowed, words.len()) {
            return Err(wrong_count(&format!("script|{part}")));
        }
        match part.as_str() {
            "LOAD" => self.load(&words[2]).map(|digest| Reply::text(&digest)),
            "EXISTS" => {
                let is_known = |word: &Vec<u8>| {
                    Reply::flag(self.known.contains_key(&upper(word).to_lowercase()))
                };
                Ok(Reply::Array(words[2..].iter().map(is_known).collect()))
            }
            _ => {
                let mode = words.get(2).map(|word| upper(word));
                if words.len() > 3 || mode.is_some_and(|mode| mode != "SYNC" && mode != "ASYNC") {
                    return Err("ERR SCRIPT FLUSH only support SYNC|ASYNC option".to_owned());
                }
                self.forget();
                Ok(Reply::ok())
            }
        }
    }

    fn load(&mut self, text: &[u8]) -> Result<String, String> {
        let digest = digest(text);
        if !self.known.contains_key(&digest) {
            let chunk: Chunk<'_> = self
                .lua
                .load(text)
                .set_name(SOURCE)
                .set_environment(self.globals.clone());
            let body = chunk
                .set_mode(mlua::ChunkMode::Text)
                .into_function()
                .map_err(|error| match error {
                    Error::SyntaxError { message, .. } => {
                        format!("ERR Error compiling script (new function): {message}")
                    }
                    other => format!("ERR Error compiling script (new function): {other}"),
                })?;
            self.known.insert(digest.clone(), body);
        }
        Ok(digest)
    }

    fn evaluate(&mut self, core: &Rc<RefCell<Core>>, is_text: bool, words: &[Vec<u8>]) -> Outcome {
        if !is_text && words[1].len() != 40 {
            return Err(NO_SCRIPT.to_owned());
        }
        let count = integer(&words[2]).ok_or(NOT_INTEGER)?;
        let rest = &words[3..];
        if count > i64::try_from(rest.len()).unwrap_or(i64::MAX) {
            return Err("ERR Number of keys can't be greater than number of args".to_owned());
        }
        let count = usize::try_from(count).map_err(|_| "ERR Number of keys can't be negative")?;
        let digest = if is_text {
            self.load(&words[1])?
        } else {
            upper(&words[1]).to_lowercase()
        };
        let body = self.known.get(&digest).ok_or(NO_SCRIPT)?.clone();
        core.borrow_mut().begin_script();
        let result = self.start(&body, &digest, &rest[..count], &rest[count..]);
        core.borrow_mut().running = None;
        match result {
            Ok((true, value)) => to_reply(&value),
            Ok((false, Value::String(text))) => Err(text.to_string_lossy()),
            Ok((false, other)) => Err(format!("ERR {other:?}")),
            Err(error) => Err(format!("ERR {error}")),
        }
    }

    fn start(
        &self,
        body: &Function,
        digest: &str,
        keys: &[Vec<u8>],
        words: &[Vec<u8>],
    ) -> mlua::Result<(bool, Value)> {
        let table = |words: &[Vec<u8>]| -> mlua::Result<Table> {
            let strings: mlua::Result<Vec<_>> = words
                .iter()
                .map(|word| self.lua.create_string(word))
                .collect();
            self.lua.create_sequence_from(strings?)
        };
        self.run.call((body, digest, table(keys)?, table(words)?))
    }
}

fn digest(text: &[u8]) -> String {
    Sha1::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn prepare(lua: &Lua, core: &Rc<RefCell<Core>>) -> mlua::Result<(Table, Function)> {
    let (for_call, for_pcall) = (Rc::clone(core), Rc::clone(core));
    let call =
        lua.create_function(
            move |lua, words: Variadic<Value>| match command(&for_call, &words) {
                Ok(reply) => to_lua(lua, &reply),
                Err(text) => Err(Error::external(Refused(text))),
            },
        )?;
    let pcall = lua.create_function(move |lua, words: Variadic<Value>| {
        to_lua(
            lua,
            &command(&for_pcall, &words).unwrap_or_else(Reply::Error),
        )
    })?;
    let text_of = lua.create_function(|_, problem: Value| {
        Ok(match &problem {
            Value::Error(error) => Some(refusal(error).unwrap_or_else(|| format!("ERR {error}"))),
            _ => None,
        })
    })?;
    let line = lua.create_function(|lua, ()| {
        let at = |level| {
            lua.inspect_stack(level, |frame| {
                let is_script = frame.source().source.is_some_and(|source| source == SOURCE);
                is_script.then(|| frame.current_line()).flatten()
            })
        };
        Ok((0..).map_while(at).flatten().next())
    })?;
    let sha1hex = lua.create_function(|_, text: mlua::String| Ok(digest(&text.as_bytes())))?;
    let prelude = lua
        .load(include_str!("prelude.lua"))
        .set_name("=prelude")
        .into_function()?;
    prelude.call((call, pcall, text_of, line, sha1hex, lua.globals()))
}

/// The text of the refusal in an error, which has come through calls.
fn refusal(error: &Error) -> Option<String> {
    match error {
        Error::CallbackError { cause, .. } => refusal(cause),
        _ => error
            .downcast_ref::<Refused>()
            .map(|refused| refused.0.clone()),
    }
}

fn command(core: &Rc<RefCell<Core>>, words: &[Value]) -> Outcome {
    if words.is_empty() {
        return Err("ERR Please specify at least one argument for this redis lib call".to_owned());
    }
    let word = |value: &Value| match value {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        Value::Integer(number) => Some(number.to_string().into_bytes()),
        Value::Number(number) => Some(super::reply::double(*number).into_bytes()),
        _ => None,
    };
    let words: Option<Vec<Vec<u8>>> = words.iter().map(word).collect();
    let words = words.ok_or("ERR Lua redis lib command arguments must be strings or integers")?;
    core.borrow_mut().answer_script(&words)
}

/// A reply as a script sees it: that of version 2 of the protocol.
fn to_lua(lua: &Lua, reply: &Reply) -> mlua::Result<Value> {
    let list = |items: &mut dyn Iterator<Item = &Reply>| -> mlua::Result<Value> {
        let values: mlua::Result<Vec<Value>> = items.map(|item| to_lua(lua, item)).collect();
        lua.create_sequence_from(values?).map(Value::Table)
    };
    let field = |name: &str, text: &str| -> mlua::Result<Value> {
        let table = lua.create_table()?;
        table.raw_set(name, text)?;
        Ok(Value::Table(table))
    };
    match reply {
        Reply::Status(text) => field("ok", text),
        Reply::Error(text) => field("err", text),
        #[expect(
            clippy::cast_precision_loss,
            reason = "numbers of Lua 5.1 are floating: the engine loses the same digits"
        )]
        Reply::Integer(number) => Ok(Value::Number(*number as f64)),
        Reply::Bulk(bytes) => lua.create_string(bytes).map(Value::String),
        Reply::Null | Reply::NullArray => Ok(Value::Boolean(false)),
        Reply::Array(items) | Reply::Set(items) | Reply::Push(items) | Reply::Several(items) => {
            list(&mut items.iter())
        }
        Reply::Map(pairs) | Reply::Pairs(pairs) => {
            list(&mut pairs.iter().flat_map(|(name, value)| [name, value]))
        }
        Reply::Double(number) => lua
            .create_string(super::reply::double(*number))
            .map(Value::String),
        Reply::Verbatim(text) => lua.create_string(text).map(Value::String),
    }
}

/// What a script returns, as a reply.
fn to_reply(value: &Value) -> Outcome {
    Ok(match value {
        Value::String(text) => Reply::Bulk(text.as_bytes().to_vec()),
        Value::Boolean(true) => Reply::Integer(1),
        Value::Integer(number) => Reply::Integer(*number),
        Value::Number(number) => Reply::Integer(whole(*number)),
        Value::Table(table) => return from_table(table),
        _ => Reply::Null,
    })
}

/// Without its fraction; what is too great becomes the least number, as in the machine code of the engine.
fn whole(number: f64) -> i64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the range is looked at before"
    )]
    if number.abs() < 9_223_372_036_854_775_808.0 {
        number as i64
    } else {
        i64::MIN
    }
}

fn from_table(table: &Table) -> Outcome {
    let text = |name: &str| match table.raw_get(name) {
        Ok(Value::String(text)) => Some(text.to_string_lossy()),
        _ => None,
    };
    if let Some(error) = text("err") {
        return Ok(Reply::Error(error));
    }
    if let Some(status) = text("ok") {
        return Ok(Reply::Status(status));
    }
    if let Ok(Some(number)) = table.raw_get::<Option<f64>>("double") {
        return Ok(Reply::Double(number));
    }
    let lua_error = |error: Error| format!("ERR {error}");
    if let Ok(Value::Table(map)) = table.raw_get("map") {
        let pairs = map.pairs::<Value, Value>().map(|pair| {
            let (name, value) = pair.map_err(lua_error)?;
            Ok((to_reply(&name)?, to_reply(&value)?))
        });
        return Ok(Reply::Map(pairs.collect::<Result<_, String>>()?));
    }
    let mut items = Vec::new();
    for at in 1.. {
        match table.raw_get::<Value>(at).map_err(lua_error)? {
            // The first that is nothing ends the list.
            Value::Nil => break,
            value => items.push(to_reply(&value)?),
        }
    }
    Ok(Reply::Array(items))
}
