//! What keeps silent connections alive, at intervals that the operator chooses.

use crate::support::Server;
use crate::support::frames::{FIN, PING, PONG, frame};
use crate::support::subscriber::Subscriber;

#[test]
fn a_silent_websocket_is_pinged_at_the_interval_of_the_option() {
    let server = Server::start(&["--ping-interval", "1"]);
    let mut silent = server.upgraded("/ws?username=guest");
    silent.frame();
    for _ in 0..3 {
        assert_eq!(silent.frame().first, FIN | PING);
        silent.send(frame(FIN | PONG, ""));
    }
}

#[test]
fn a_stream_has_heartbeats_at_the_interval_of_the_option() {
    let server = Server::start(&["--heartbeat", "1"]);
    let mut stream = Subscriber::new(&server, "business");
    for _ in 0..4 {
        let comment = stream.comment();
        assert!(comment.starts_with("heartbeat "), "{comment}");
    }
}
