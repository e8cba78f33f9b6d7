//! Reads the config file.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

use crate::config::CONFIG_FILE_BYTES_MAX;

/// Reads a config file whole.
///
/// # Errors
/// A message that names the file: it cannot be read, is larger than [`CONFIG_FILE_BYTES_MAX`], or is not a regular file.
pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    let fail = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
    // Without this flag, a FIFO that nobody writes to would block here.
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits() as i32);
    let file = options.open(path).map_err(|error| fail(&error))?;
    let is_file = file.metadata().map_err(|error| fail(&error))?.is_file();
    if !is_file {
        return Err(fail(&"not a regular file"));
    }
    let mut bytes = Vec::new();
    let count = file.take(CONFIG_FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    match count.map_err(|error| fail(&error))? as u64 {
        0..=CONFIG_FILE_BYTES_MAX => Ok(bytes),
        _ => Err(fail(&"the file is too large")),
    }
}
