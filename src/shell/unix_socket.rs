//! Unix sockets to listen on, and their files.

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind as bind_socket, connect, listen,
    socket_with,
};
use rustix::process::umask;

use crate::config::LISTEN_BACKLOG;

/// The file of a socket, removed when this is dropped, unless it has become another file.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

/// The device and the inode of a file. The inode is not used again while the socket is open.
type Identity = (u64, u64);

fn identity(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let found = fs::symlink_metadata(&self.path);
        if found.is_ok_and(|metadata| identity(&metadata) == self.identity) {
            // Whoever may not remove it has found it made by another user: it is stale then, and replaced.
            _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens on a unix socket at this path, whose file has these permissions from the first moment. The file of a socket
/// on which nobody listens any more is replaced.
///
/// The process must have no other thread: its file mode creation mask is changed for a moment.
///
/// # Errors
/// A sentence: somebody listens there, another file is there, or the system refuses it.
pub fn bind(path: &Path, mode: u32) -> Result<(OwnedFd, SocketFile), String> {
    let at = format!("unix:{}", path.display());
    let fail = |error: Errno| match (error, path.parent()) {
        (Errno::NOENT, Some(folder)) => {
            format!("{at}: there is no folder {}", folder.display())
        }
        (Errno::ADDRINUSE, _) => in_use(&at),
        _ => format!("cannot listen on {at}: {error}"),
    };
    let address = SocketAddrUnix::new(path).map_err(fail)?;
    make_way(path, &address, &at)?;
    let socket = new_socket().map_err(fail)?;
    let mask = Mode::from_bits_truncate(!mode & 0o777);
    let previous = umask(mask);
    let bound = bind_socket(&socket, &address);
    umask(previous);
    bound.map_err(fail)?;
    let metadata = fs::symlink_metadata(path)
        .map_err(|error| format!("cannot listen on {at}, whose file is gone: {error}"))?;
    let file = SocketFile {
        path: path.to_owned(),
        identity: identity(&metadata),
    };
    listen(&socket, LISTEN_BACKLOG).map_err(fail)?;
    Ok((socket, file))
}

fn new_socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

/// Connects without waiting: a server whose queue of connections is full is `EAGAIN`.
///
/// # Errors
/// Of the system.
pub fn connect_at_once(address: &SocketAddrUnix) -> Result<OwnedFd, Errno> {
    let socket = new_socket()?;
    connect(&socket, address)?;
    Ok(socket)
}

fn in_use(at: &str) -> String {
    format!("{at} is in use: a process listens there already; end it, or choose another path")
}

/// Removes the file of a socket on which nobody listens any more.
fn make_way(path: &Path, address: &SocketAddrUnix, at: &str) -> Result<(), String> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(format!("cannot listen on {at}: {error}")),
    };
    if !metadata.file_type().is_socket() {
        return Err(format!(
            "cannot listen on {at}: a file that is no socket is there, and stays; remove it, or choose another path"
        ));
    }
    match connect_at_once(address) {
        Err(Errno::CONNREFUSED) => {}
        Err(Errno::NOENT) => return Ok(()),
        // A queue that is full, or a socket of another kind, has somebody behind it, too.
        Ok(_) | Err(Errno::AGAIN | Errno::PROTOTYPE) => return Err(in_use(at)),
        Err(error) => {
            return Err(format!(
                "cannot listen on {at}: a socket is there, and whether somebody listens on it cannot be told: {error}"
            ));
        }
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(format!(
            "cannot listen on {at}: a socket nobody listens on is there, and cannot be removed: {error}"
        )),
        _ => Ok(()),
    }
}
