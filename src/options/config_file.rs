//! The options of a config file: one `option = value` per line.

use super::names::nearest_option;
use super::setting::Setting;
use super::source::Source;
use super::table::find;
use crate::config::Config;

/// Applies the options of a file. Its name is for messages.
///
/// # Errors
/// A message that names the file and the line.
pub fn apply(config: &mut Config, name: &str, bytes: &[u8]) -> Result<(), String> {
    let mut source = Source::new(config);
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        apply_line(&mut source, line).map_err(|what| format!("{name}:{}: {what}", index + 1))?;
    }
    Ok(())
}

fn apply_line(source: &mut Source<'_>, line: &[u8]) -> Result<(), String> {
    let line = str::from_utf8(line).map_err(|_| "the line is not UTF-8")?;
    // This also removes the CR of files written on Windows.
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(());
    }
    let Some((name, value)) = line.split_once('=') else {
        return Err(without_value(line));
    };
    let (name, value) = (name.trim(), value.trim());
    let setting = find(name).ok_or_else(|| unknown(name))?;
    if !setting.is_in_file() {
        return Err(format!("{name} cannot be set in a config file"));
    }
    // On a command line the last value counts, because it may be appended to another; in a file it is a mistake.
    if source.has(setting) && !setting.is_list() {
        return Err(format!("{name} is set twice"));
    }
    if value.is_empty() {
        return Err(format!("{name} needs a value"));
    }
    source
        .set(setting, value)
        .map_err(|what| format!("{name}: {what}"))
}

/// A sentence about a line that has no `=`.
fn without_value(line: &str) -> String {
    let example = |setting: &Setting| match &setting.value {
        Some(value) => format!("{} = {}", setting.name, value.name),
        None => format!("{} = true", setting.name),
    };
    let name = line.split_whitespace().next().unwrap_or_default();
    let form = find(name).map_or("option = value".into(), example);
    format!("{:?} is not of the form {form}", shortened(line))
}

fn unknown(name: &str) -> String {
    let hint = nearest_option(name)
        .filter(|setting| setting.is_in_file())
        .map(|setting| format!("; did you mean {}?", setting.name))
        .unwrap_or_default();
    format!("there is no option {:?}{hint}", shortened(name))
}

/// The beginning of a text from a file that may be another than was meant.
fn shortened(text: &str) -> String {
    text.chars().take(QUOTED_CHARS_MAX).collect()
}

/// As much of a line is quoted in a message, in characters.
const QUOTED_CHARS_MAX: usize = 64;
