//! The lower bound of a fan-out: only a loop around `send`.

use std::io::{self, Read, Write};
use std::net::TcpListener;

use crate::Result;

/// Accepts `clients_count` connections, then writes everything the first one sends to all of them.
pub fn serve(clients_count: usize) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("listening on http://{}", listener.local_addr()?);
    io::stdout().flush()?;
    let mut clients = Vec::with_capacity(clients_count);
    for _ in 0..clients_count {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        clients.push(stream);
    }
    let mut scratch = vec![0; 64 * 1024];
    loop {
        let count = clients[0].read(&mut scratch)?;
        if count == 0 {
            return Ok(());
        }
        for client in &mut clients {
            client.write_all(&scratch[..count])?;
        }
    }
}
