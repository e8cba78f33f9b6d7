//! The corpus of the fuzz target `engine`: what the model of the engine says in such a conversation.

use std::path::Path;
use std::time::Duration;

use crate::engine::Engine;

#[path = "../../fuzz/src/engine.rs"]
mod target;

/// A conversation with the model, as pieces behind their lengths.
fn conversation(early_pushes: bool) -> Vec<u8> {
    let mut engine = Engine::new(1);
    engine.set_early_pushes(early_pushes);
    let client = engine.connect();
    let mut node = target::Node::start();
    let (mut said, mut clock) = (Vec::new(), Duration::from_secs(1_705_314_600));
    for _ in 0..24 {
        clock += Duration::from_millis(300);
        engine.receive(client, &node.turn(), clock);
        let piece = engine.take_output(client);
        node.hear(&piece);
        said.extend((piece.len() as u16).to_be_bytes());
        said.extend(piece);
    }
    said
}

#[test]
fn the_corpus_of_the_fuzz_target_is_what_an_engine_says() {
    for (name, early_pushes) in [("pushes-after", false), ("pushes-before", true)] {
        let said = conversation(early_pushes);
        let text = String::from_utf8_lossy(&said).into_owned();
        for part in ["message", "sg:{", "kim"] {
            assert!(text.contains(part), "{part}");
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz/corpus/engine")
            .join(name);
        if std::env::var_os("SARANG_WRITE_CORPUS").is_some() {
            std::fs::write(&path, &said).expect("can be written");
        }
        let kept = std::fs::read(&path).expect("is there");
        assert!(kept == said, "SARANG_WRITE_CORPUS=1 writes {name} anew");
        target::run(&kept);
    }
}
