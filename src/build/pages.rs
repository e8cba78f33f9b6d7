//! The files of `static`, made ready to be embedded: each has a name that its content determines, by which browsers keep it for
//! good, and all refer to each other by those names. So a reload asks for nothing but the page.
//!
//! Comments of scripts and style sheets stay behind, where they fill or begin a line: a fifth of the bytes. The lines stay, so that
//! a browser names the same numbers as the sources have.
//!
//! A module that a page starts is one script with all that it imports (`build/bundle.rs`), and so is one with declarations beside
//! it, which is for other people's pages. Other modules are not embedded by themselves.
//!
//! What is rewritten is what one line shows: `"static/x.js"` in pages, and `"x.png"` in the manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::{Error, Result, Write as _};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::bundle::{Bundle, is_module};

/// The folder of the files.
const FOLDER: &str = "static";

/// How the name of the declarations of a script ends.
const DECLARATIONS: &str = ".d.ts";

/// The table of the files, in the output folder: an array of what `server/assets.rs` makes with `file`.
const TABLE: &str = "assets.rs";

/// A file that is ready.
struct Page {
    content: Vec<u8>,
    /// The hash of the content, in hexadecimal digits.
    hash: String,
}

/// The files that are ready, and those that are still as they are in the folder.
struct Pages {
    sources: BTreeMap<String, Vec<u8>>,
    ready: BTreeMap<String, Page>,
    /// The modules that are in the scripts that are ready.
    bundled: BTreeSet<String>,
}

/// Writes each file, compressed where that is shorter, and the table of all into a folder. The same file gives the same bytes:
/// its time does not go in.
pub fn embed(directory: &Path) -> Result<()> {
    println!("cargo:rerun-if-changed={FOLDER}");
    let mut pages = Pages {
        sources: sources()?,
        ready: BTreeMap::new(),
        bundled: BTreeSet::new(),
    };
    pages.make_all_ready()?;
    let mut table = format!("static ASSETS: [Asset; {}] = [\n", pages.ready.len());
    for (name, page) in &pages.ready {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&page.content)?;
        let compressed = encoder.finish()?;
        // Pictures are compressed already: a few bytes are not worth the work of a client.
        let is_gzip = compressed.len() < page.content.len() / 8 * 7;
        let stored = if is_gzip { &compressed } else { &page.content };
        fs::write(directory.join(name), stored)?;
        let bytes = format!("include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}\"))");
        let tag = format!("\"\\\"{}\\\"\"", page.hash);
        writeln!(table, "    file({name:?}, {tag}, {is_gzip}, {bytes}),").map_err(Error::other)?;
    }
    table.push_str("];\n");
    fs::write(directory.join(TABLE), table)
}

/// The files of the folder by name, scripts and style sheets without their comments.
fn sources() -> Result<BTreeMap<String, Vec<u8>>> {
    let mut sources = BTreeMap::new();
    for entry in fs::read_dir(FOLDER)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let content = fs::read(entry.path())?;
        let content = match extension(&name) {
            "js" | "css" => without_comments(&String::from_utf8(content).map_err(Error::other)?),
            _ => content,
        };
        sources.insert(name, content);
    }
    Ok(sources)
}

impl Pages {
    /// All but the modules, which something has to refer to.
    fn make_all_ready(&mut self) -> Result<()> {
        let names: Vec<String> = self.sources.keys().cloned().collect();
        for name in &names {
            if extension(name) != "js" {
                self.make_ready(name)?;
            }
            if let Some(described) = name.strip_suffix(DECLARATIONS) {
                self.make_ready(&format!("{described}.js"))?;
            }
        }
        let is_there = |name: &String| self.ready.contains_key(name) || self.bundled.contains(name);
        match names.iter().find(|name| !is_there(name)) {
            Some(name) => Err(Error::other(format!("nothing refers to {name}"))),
            None => Ok(()),
        }
    }

    /// Makes a file ready, and before it all that it refers to.
    fn make_ready(&mut self, name: &str) -> Result<()> {
        if self.ready.contains_key(name) {
            return Ok(());
        }
        let Some(content) = self.sources.get(name).cloned() else {
            return Err(Error::other(format!("no such file: {name}")));
        };
        let content = match extension(name) {
            "js" => self.script(name, content)?,
            // Its addresses are relative to its own.
            "webmanifest" => self.rewritten(&content, ("\"src\": \"", '"'))?,
            "html" => self.rewritten(&content, ("\"static/", '"'))?,
            _ => content,
        };
        let hash = hash(&content);
        self.ready.insert(name.to_owned(), Page { content, hash });
        Ok(())
    }

    /// A script, with all that it imports.
    fn script(&mut self, name: &str, source: Vec<u8>) -> Result<Vec<u8>> {
        if !is_module(std::str::from_utf8(&source).map_err(Error::other)?) {
            return Ok(source);
        }
        let declarations = name.replace(".js", DECLARATIONS);
        let is_for_others = self.sources.contains_key(&declarations);
        let bundle = Bundle::of(name, &self.sources, is_for_others)?;
        self.bundled.extend(bundle.modules().map(str::to_owned));
        Ok(bundle.text().into())
    }

    /// A text whose references lead to the names by content: what stands right before a name, and what ends it.
    fn rewritten(&mut self, content: &[u8], (start, end): (&str, char)) -> Result<Vec<u8>> {
        let text = std::str::from_utf8(content).map_err(Error::other)?;
        let mut out = String::with_capacity(text.len() + text.len() / 8);
        let mut rest = text;
        while let Some((before, name, after)) = first_reference(rest, start, end) {
            self.make_ready(name)?;
            out.push_str(before);
            out.push_str(&by_content(name, &self.ready[name].hash));
            rest = after;
        }
        out.push_str(rest);
        Ok(out.into_bytes())
    }
}

/// The first reference of a text: the text before the name, the name, and the text after it.
fn first_reference<'t>(
    text: &'t str,
    start: &str,
    end: char,
) -> Option<(&'t str, &'t str, &'t str)> {
    let at = text.find(start)? + start.len();
    let end = at + text[at..].find(end)?;
    Some((&text[..at], &text[at..end], &text[end..]))
}

/// A script or a style sheet whose lines that are nothing but comments are empty, and whose other lines begin behind the comment that
/// they begin with. What begins inside a template literal is none.
fn without_comments(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let (mut is_comment, mut is_template) = (false, false);
    for line in text.lines() {
        let trimmed = line.trim();
        let begins = !is_template && trimmed.starts_with("/*");
        let is_whole = !is_template && trimmed.starts_with("//");
        if is_comment || is_whole || begins && !ends_early(trimmed) {
            is_comment = (is_comment || begins) && !trimmed.ends_with("*/");
        } else {
            is_template ^= line.matches('`').count() % 2 == 1;
            let code = if begins {
                behind_comment(trimmed)
            } else {
                line
            };
            out.extend_from_slice(code.as_bytes());
        }
        out.push(b'\n');
    }
    out
}

/// Whether there is code behind a comment.
fn ends_early(line: &str) -> bool {
    line.find("*/").is_some_and(|at| at + 2 < line.len())
}

/// What stands behind the comment that a line begins with.
fn behind_comment(line: &str) -> &str {
    line.split_once("*/")
        .map_or(line, |(_, code)| code.trim_start())
}

fn extension(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

/// The name of a file by its content: `chat.js` is `chat.0123456789abcdef.js`.
fn by_content(name: &str, hash: &str) -> String {
    match name.rsplit_once('.') {
        Some((stem, extension)) => format!("{stem}.{hash}.{extension}"),
        None => format!("{name}.{hash}"),
    }
}

/// FNV-1a, 64 bits: it has to tell the versions of a file apart, not to withstand anybody.
fn hash(content: &[u8]) -> String {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = content.iter().fold(0xcbf2_9ce4_8422_2325, mix);
    format!("{hash:016x}")
}
