//! The files of `static`, made ready to be embedded: each has a name that its content determines, by which browsers keep it for
//! good, and all refer to each other by those names. So a reload asks for nothing but the page.
//!
//! Comments of scripts and style sheets stay behind, where they fill whole lines: a fifth of the bytes. The lines stay, so that a
//! browser names the same numbers as the sources have.
//!
//! What is rewritten is what one line shows: `from './x.js'`, `import './x.js'` and `import('./x.js')` in scripts,
//! `"static/x.js"` in pages, `"x.png"` in the manifest, `url(x.svg)` in style sheets. A page also gets a `modulepreload` link for
//! each module that its scripts import, so that the browser does not find them one after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::{Error, Result, Write as _};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

/// The folder of the files.
const FOLDER: &str = "static";

/// The table of the files, in the output folder: an array of what `server/assets.rs` makes with `file`.
const TABLE: &str = "assets.rs";

/// A file that is ready.
struct Page {
    content: Vec<u8>,
    /// The hash of the content, in hexadecimal digits.
    hash: String,
    /// The names of the files it imports, directly and through others.
    imports: BTreeSet<String>,
}

/// The files that are ready, and those that are still as they are in the folder.
struct Pages {
    sources: BTreeMap<String, Vec<u8>>,
    ready: BTreeMap<String, Page>,
    /// The files that are being made ready: each refers to the next.
    open: Vec<String>,
}

/// Writes each file, compressed where that is shorter, and the table of all into a folder. The same file gives the same bytes:
/// its time does not go in.
pub fn embed(directory: &Path) -> Result<()> {
    println!("cargo:rerun-if-changed={FOLDER}");
    let mut pages = Pages {
        sources: BTreeMap::new(),
        ready: BTreeMap::new(),
        open: Vec::new(),
    };
    for entry in fs::read_dir(FOLDER)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let content = fs::read(entry.path())?;
        let content = match extension(&name) {
            "js" | "css" => without_comments(&String::from_utf8(content).map_err(Error::other)?),
            _ => content,
        };
        pages.sources.insert(name, content);
    }
    for name in pages.sources.keys().cloned().collect::<Vec<_>>() {
        pages.make_ready(&name)?;
    }
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

impl Pages {
    /// Makes a file ready, and before it all that it refers to.
    fn make_ready(&mut self, name: &str) -> Result<()> {
        if self.ready.contains_key(name) {
            return Ok(());
        }
        if self.open.iter().any(|open| open == name) {
            let circle = self.open.join(" → ");
            return Err(Error::other(format!("an import cycle: {circle} → {name}")));
        }
        let content = self.sources[name].clone();
        self.open.push(name.to_owned());
        let mut imports = BTreeSet::new();
        let content = match extension(name) {
            "js" => self.rewritten(&content, script_references, &mut imports)?,
            "css" => self.rewritten(&content, style_references, &mut imports)?,
            "webmanifest" => self.rewritten(&content, manifest_references, &mut imports)?,
            "html" => {
                let page = self.rewritten(&content, page_references, &mut imports)?;
                self.with_preloads(page, &imports)?
            }
            _ => content,
        };
        self.open.pop();
        let hash = hash(&content);
        let page = Page {
            content,
            hash,
            imports,
        };
        self.ready.insert(name.to_owned(), page);
        Ok(())
    }

    /// A text whose references lead to the names by content. `references` finds them in a line: what stands right before a name,
    /// and what ends it.
    fn rewritten(
        &mut self,
        content: &[u8],
        references: fn(&str) -> &'static [(&'static str, char)],
        imports: &mut BTreeSet<String>,
    ) -> Result<Vec<u8>> {
        let text = std::str::from_utf8(content).map_err(Error::other)?;
        let mut out = String::with_capacity(text.len() + text.len() / 8);
        for line in text.split_inclusive('\n') {
            let mut rest = line;
            while let Some((before, name, after)) = first_reference(rest, references(line)) {
                let is_there = self.sources.contains_key(name);
                out.push_str(before);
                if is_there {
                    self.make_ready(name)?;
                    let page = &self.ready[name];
                    out.push_str(&by_content(name, &page.hash));
                    imports.extend(page.imports.iter().cloned());
                    imports.insert(name.to_owned());
                } else if before.ends_with("./") || before.ends_with("static/") {
                    return Err(Error::other(format!("no such file: {name}")));
                } else {
                    out.push_str(name);
                }
                rest = after;
            }
            out.push_str(rest);
        }
        Ok(out.into_bytes())
    }

    /// A page with a link for each module that its scripts import, at the end of its head.
    fn with_preloads(&self, page: Vec<u8>, imports: &BTreeSet<String>) -> Result<Vec<u8>> {
        let mut page = String::from_utf8(page).map_err(Error::other)?;
        let Some(end) = page.find("</head>") else {
            return Err(Error::other("a page without the end of its head"));
        };
        let mut links = String::new();
        for name in imports.iter().filter(|name| extension(name) == "js") {
            let address = by_content(name, &self.ready[name].hash);
            // What the page itself starts is found as early.
            if !page.contains(&format!("src=\"static/{address}\"")) {
                let _ = writeln!(
                    links,
                    "<link rel=\"modulepreload\" href=\"static/{address}\">"
                );
            }
        }
        page.insert_str(end, &links);
        Ok(page.into_bytes())
    }
}

/// The first reference of a line: the text before the name, the name, and the text after it.
fn first_reference<'l>(
    line: &'l str,
    references: &[(&str, char)],
) -> Option<(&'l str, &'l str, &'l str)> {
    let found = references.iter().filter_map(|(start, end)| {
        let at = line.find(start)? + start.len();
        let length = line[at..].find(*end)?;
        Some((at, at + length))
    });
    let (at, end) = found.min()?;
    Some((&line[..at], &line[at..end], &line[end..]))
}

/// A script or a style sheet whose lines that are nothing but comments are empty. What begins inside a template literal is none.
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
            out.extend_from_slice(line.as_bytes());
        }
        out.push(b'\n');
    }
    out
}

/// Whether there is code behind a comment.
fn ends_early(line: &str) -> bool {
    line.find("*/").is_some_and(|at| at + 2 < line.len())
}

/// Those of a script. Comments have references, too, to types: they stay.
fn script_references(line: &str) -> &'static [(&'static str, char)] {
    match line.trim_start() {
        line if line.starts_with(['*', '/']) || line.contains("/**") => &[],
        line if line.starts_with("import '") => &[("import './", '\'')],
        line if line.starts_with(['}', 'i', 'e']) => &[(" from './", '\''), ("import('./", '\'')],
        _ => &[("import('./", '\'')],
    }
}

/// Those of a style sheet.
fn style_references(_line: &str) -> &'static [(&'static str, char)] {
    &[("url(", ')')]
}

/// Those of a manifest, whose addresses are relative to its own.
fn manifest_references(_line: &str) -> &'static [(&'static str, char)] {
    &[("\"src\": \"", '"')]
}

/// Those of a page.
fn page_references(_line: &str) -> &'static [(&'static str, char)] {
    &[("\"static/", '"')]
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
