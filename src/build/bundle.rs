//! One script from a module and all that it imports, so that a browser asks for one file instead of fifty: each costs it some
//! milliseconds, from its own cache too.
//!
//! Each module becomes a function that returns what it exports, and stands behind all that it imports. Nothing else of it changes,
//! and it has as many lines as its source: from the line that a browser names, and the name at the start of the function, one finds
//! the place in the source.
//!
//! What is understood is what one line shows: `import { a, b as c } from './x.js';`, `export { a, b };`,
//! `export { a } from './x.js';`, and `export` before `const`, `class` and functions. Another line that begins with `import` or
//! `export` is an error. An importer gets the value of what is exported, so that it has to be constant: `export let` is an error,
//! too.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{Error, Result};

/// What a line says of other modules. The lists of names are as they stand between the braces.
enum Line<'s> {
    Import {
        names: &'s str,
        from: &'s str,
    },
    /// Names of this module.
    Export {
        names: &'s str,
    },
    /// Names that are passed on from another module.
    Passed {
        names: &'s str,
        from: &'s str,
    },
    /// What is declared and exported: its name, and the declaration.
    Declaration {
        name: &'s str,
        text: &'s str,
    },
    Code(&'s str),
}

/// A script that is being written.
pub struct Bundle<'s> {
    sources: &'s BTreeMap<String, Vec<u8>>,
    /// The module with which it begins to run.
    entry: &'s str,
    /// What the modules export that are in it.
    exports: BTreeMap<&'s str, BTreeSet<&'s str>>,
    /// The modules that are being read: each imports the next.
    open: Vec<&'s str>,
    text: String,
}

impl<'s> Bundle<'s> {
    /// The script that begins with a module. `sources` has the modules by name.
    ///
    /// `is_for_others` makes it a module again, with all that its first one exports. What modules pass on from others is for
    /// applications: the pages import it from where it is, and other modules get nothing of it.
    pub fn of(
        entry: &'s str,
        sources: &'s BTreeMap<String, Vec<u8>>,
        is_for_others: bool,
    ) -> Result<Self> {
        let mut bundle = Bundle {
            sources,
            entry,
            exports: BTreeMap::new(),
            open: Vec::new(),
            text: String::new(),
        };
        bundle.add(entry)?;
        if is_for_others {
            let names: Vec<&str> = bundle.exports[entry].iter().copied().collect();
            let (names, variable) = (names.join(", "), variable(entry));
            let _ = writeln!(bundle.text, "export const {{ {names} }} = {variable};");
        }
        Ok(bundle)
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The names of the modules in it.
    pub fn modules(&self) -> impl Iterator<Item = &'s str> {
        self.exports.keys().copied()
    }

    /// Adds a module, and before it all that it imports.
    fn add(&mut self, name: &'s str) -> Result<()> {
        if self.exports.contains_key(name) {
            return Ok(());
        }
        if self.open.contains(&name) {
            let circle = self.open.join(" → ");
            return Err(Error::other(format!("an import cycle: {circle} → {name}")));
        }
        let source = self.sources.get(name);
        let source = source.ok_or_else(|| Error::other(format!("no such file: {name}")))?;
        let source = std::str::from_utf8(source).map_err(Error::other)?;
        self.open.push(name);
        let mut exports = BTreeSet::new();
        let mut returned = Vec::new();
        let mut body = String::with_capacity(source.len());
        for line in source.lines() {
            match parsed(line).ok_or_else(|| Error::other(format!("{name}: {line}")))? {
                Line::Import { names, from } => {
                    self.add(from)?;
                    let found = self.found(names, from)?;
                    let names = found.map(|(theirs, own)| member(theirs, own));
                    let names = names.collect::<Vec<_>>().join(", ");
                    let _ = write!(body, "const {{ {names} }} = {};", variable(from));
                }
                Line::Export { names } => {
                    for (own, theirs) in pairs(names) {
                        exports.insert(theirs);
                        returned.push(member(theirs, own));
                    }
                }
                Line::Passed { names, from } if name == self.entry => {
                    self.add(from)?;
                    for (name, theirs) in self.found(names, from)? {
                        exports.insert(theirs);
                        returned.push(format!("{theirs}: {}.{name}", variable(from)));
                    }
                }
                Line::Passed { .. } => {}
                Line::Declaration { name, text } => {
                    exports.insert(name);
                    returned.push(name.to_owned());
                    body.push_str(text);
                }
                Line::Code(text) => body.push_str(text),
            }
            body.push('\n');
        }
        self.open.pop();
        let (variable, returned) = (variable(name), returned.join(", "));
        let _ = write!(
            self.text,
            "const {variable} = (() => {{ // {name}\n{body}return {{{returned}}};\n}})();\n"
        );
        self.exports.insert(name, exports);
        Ok(())
    }

    /// The names of a list, all of which a module in the script has to export: there, and here.
    fn found(
        &self,
        names: &'s str,
        from: &'s str,
    ) -> Result<impl Iterator<Item = (&'s str, &'s str)> + use<'s>> {
        let missing = pairs(names).find(|(name, _)| !self.exports[from].contains(name));
        match missing {
            Some((name, _)) => Err(Error::other(format!("{from} exports no {name}"))),
            None => Ok(pairs(names)),
        }
    }
}

/// Whether a script is a module: it imports or exports.
pub fn is_module(source: &str) -> bool {
    source
        .lines()
        .any(|line| !matches!(parsed(line), Some(Line::Code(_))))
}

/// `None` if it begins as an import or an export, and is not understood.
fn parsed(line: &str) -> Option<Line<'_>> {
    if let Some(rest) = line.strip_prefix("import ") {
        let (names, from) = listed(rest)?;
        return Some(Line::Import { names, from: from? });
    }
    let Some(text) = line.strip_prefix("export ") else {
        return Some(Line::Code(line));
    };
    if text.starts_with('{') {
        return Some(match listed(text)? {
            (names, Some(from)) => Line::Passed { names, from },
            (names, None) => Line::Export { names },
        });
    }
    let kinds = [
        "const ",
        "class ",
        "function ",
        "function* ",
        "async function ",
    ];
    let rest = kinds.iter().find_map(|kind| text.strip_prefix(kind))?;
    let end = rest.find(|letter: char| !letter.is_alphanumeric() && !"_$".contains(letter));
    let name = &rest[..end?];
    (!name.is_empty()).then_some(Line::Declaration { name, text })
}

/// A list of names in braces, and the file that is named behind it.
fn listed(text: &str) -> Option<(&str, Option<&str>)> {
    let (names, rest) = text.strip_prefix('{')?.split_once('}')?;
    if rest == ";" {
        return Some((names, None));
    }
    let from = rest.strip_prefix(" from './")?.strip_suffix("';")?;
    Some((names, Some(from)))
}

/// `a, b as c` are a and a, b and c.
fn pairs(names: &str) -> impl Iterator<Item = (&str, &str)> {
    names.split(',').map(|name| {
        let name = name.trim();
        name.split_once(" as ").unwrap_or((name, name))
    })
}

/// A member of an object, in a literal or in a pattern.
fn member(name: &str, value: &str) -> String {
    match name == value {
        true => name.to_owned(),
        false => format!("{name}: {value}"),
    }
}

/// What has the exports of a module in the script.
fn variable(name: &str) -> String {
    name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "_")
}
