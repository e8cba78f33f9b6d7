//! One script from modules, as the build script writes it for the pages.

use std::collections::BTreeMap;

use crate::bundle::{Bundle, is_module};

/// A file is its name, a line break and its lines.
fn sources(files: &[&str]) -> BTreeMap<String, Vec<u8>> {
    let files = files.iter().map(|file| {
        let (name, text) = file.split_once('\n').expect("a name");
        (name.to_owned(), text.as_bytes().to_vec())
    });
    files.collect()
}

/// The script of `entry`, or the error.
fn bundled(entry: &str, is_for_others: bool, files: &[&str]) -> Result<String, String> {
    let sources = sources(files);
    match Bundle::of(entry, &sources, is_for_others) {
        Ok(bundle) => Ok(bundle.text().to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

const WORDS: &str = "words.js\nexport const words = {};\nexport function* each() {}\n";

#[test]
fn modules_stand_behind_what_they_import_and_are_there_once() {
    let log = "log.js\nimport { words as common } from './words.js';\nexport class Log {}\n";
    let page = "page.js\nimport { Log } from './log.js';\nimport { each, words } from './words.js';\n\nnew Log(words);\n";
    let script = bundled("page.js", false, &[page, log, WORDS]);
    let expected = "\
const words_js = (() => { // words.js
const words = {};
function* each() {}
return {words, each};
})();
const log_js = (() => { // log.js
const { words: common } = words_js;
class Log {}
return {Log};
})();
const page_js = (() => { // page.js
const { Log } = log_js;
const { each, words } = words_js;

new Log(words);
return {};
})();
";
    assert_eq!(script.as_deref(), Ok(expected));
}

#[test]
fn a_module_for_others_exports_what_its_source_exports_and_what_it_passes_on() {
    let events = "events.js\nexport const events = 1;\n";
    let module = "module.js\nimport { words } from './words.js';\nexport { events as streams } from './events.js';\n\
                  export { words };\nexport async function say() {}\n";
    let files = [events, module, WORDS];
    let script = bundled("module.js", true, &files).expect("a script");
    assert!(
        script.contains("return {streams: events_js.events, words, say};\n"),
        "{script}"
    );
    assert!(
        script.ends_with("export const { say, streams, words } = module_js;\n"),
        "{script}"
    );
    // A page has only what it imports itself.
    let page = "page.js\nimport { say } from './module.js';\n";
    let script = bundled("page.js", false, &[events, module, WORDS, page]).expect("a script");
    assert!(!script.contains("events"), "{script}");
    assert!(!script.contains("export "), "{script}");
}

#[test]
fn what_is_not_understood_is_an_error_that_names_it() {
    for (line, expected) in [
        (
            "import { none } from './words.js';",
            "words.js exports no none",
        ),
        (
            "import { words } from './none.js';",
            "no such file: none.js",
        ),
        (
            "import * as all from './words.js';",
            "page.js: import * as all from './words.js';",
        ),
        (
            "import words from './words.js';",
            "page.js: import words from './words.js';",
        ),
        ("import './words.js';", "page.js: import './words.js';"),
        (
            "import { words } from 'words';",
            "page.js: import { words } from 'words';",
        ),
        ("import { words }", "page.js: import { words }"),
        ("import {", "page.js: import {"),
        ("export let one = 1;", "page.js: export let one = 1;"),
        ("export default 1;", "page.js: export default 1;"),
        (
            "export * from './words.js';",
            "page.js: export * from './words.js';",
        ),
        (
            "export const { one } = all;",
            "page.js: export const { one } = all;",
        ),
        (
            "import { page } from './page.js';",
            "an import cycle: page.js → page.js",
        ),
        (
            "import { loop } from './loop.js';",
            "an import cycle: page.js → loop.js → page.js",
        ),
    ] {
        let page = format!("page.js\nexport const page = 1;\n{line}\n");
        let looping = "loop.js\nimport { page } from './page.js';\n";
        let script = bundled("page.js", false, &[&page, looping, WORDS]);
        assert_eq!(script, Err(expected.to_owned()));
    }
}

#[test]
fn a_script_knows_the_modules_that_are_in_it() {
    let sources = sources(&[
        "page.js\nimport { words } from './words.js';\n",
        WORDS,
        "other.js\n",
    ]);
    let script = Bundle::of("page.js", &sources, false).expect("a script");
    let modules: Vec<&str> = script.modules().collect();
    assert_eq!(modules, ["page.js", "words.js"]);
}

#[test]
fn a_script_that_neither_imports_nor_exports_is_no_module() {
    for (text, expected) in [
        ("const important = 1;\n", false),
        ("  export const a = 1;\n", false),
        ("\nimport { words } from './words.js';\n", true),
        ("export class A {}\n", true),
        ("export default 1;\n", true),
    ] {
        assert_eq!(is_module(text), expected, "{text}");
    }
}
