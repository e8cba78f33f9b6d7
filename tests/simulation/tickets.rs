//! A client in rooms that has a token trades it for a ticket, and shows that: to come, or to stay longer.

use std::time::Duration;

use serde_json::{Value, json};

use super::asks::Ask;
use super::chat::{Chat, Identity, Phase};
use super::network::{Manner, Reading};
use super::reading::Answers;
use super::register::{TicketId, TokenId};
use super::stage::{Stage, post};

impl Chat {
    /// Shows a ticket of its own.
    pub(super) fn show(&mut self, ticket: TicketId, stage: &mut Stage) {
        let found = &stage.model.register.tickets[ticket];
        let query = format!("ticket={}", found.text);
        self.token_expires = stage.model.register.tokens[found.token].expires_at;
        self.shown = Some((ticket, stage.at()));
        self.open(&query, stage);
    }

    pub(super) fn ask_for_longer(&mut self, stage: &mut Stage) {
        let Identity::Member(low, high) = self.identity else {
            return;
        };
        let (now, taken) = (stage.at(), stage.seed.chance(20));
        if taken && let Some(ticket) = stage.take_ticket(Some(&self.name)) {
            return self.extend_with(ticket, stage);
        }
        let desk = stage.connect(
            self.me,
            Manner {
                reading: Reading::Prompt,
                window: 8_192,
                ..self.manner
            },
        );
        let token = stage.choose_token(&self.name, (low, high));
        stage.send(desk, ticket_request(token, stage).as_bytes());
        self.desk = Some((desk, Answers::default(), token, now));
    }

    pub(super) fn extend(
        &mut self,
        status: u16,
        body: &[u8],
        (token, asked): (TokenId, Duration),
        stage: &mut Stage,
    ) {
        assert!(
            [200, 401, 408, 503].contains(&status),
            "a ticket is given or refused: {status}"
        );
        if !stage.gives_ticket(status, token, asked) {
            return;
        }
        let body: Value = serde_json::from_slice(body).expect("is JSON");
        let ticket = body["ticket"].as_str().expect("a ticket");
        let is_free = self.phase != Phase::Open || self.is_mute;
        let ticket = stage.keep_ticket(ticket, token, asked, is_free);
        if !is_free {
            self.extend_with(ticket, stage);
        }
    }

    fn extend_with(&mut self, ticket: TicketId, stage: &mut Stage) {
        self.asks += 1;
        let id = format!("e{}", self.asks);
        let text = &stage.model.register.tickets[ticket].text;
        let text = json!({"type": "auth", "ticket": text, "id": id}).to_string();
        let at = stage.at();
        self.asked.push_back(Ask::Extend { ticket, at, id });
        self.asked_at = at;
        let mut bytes = Vec::new();
        self.push_text(&text, &mut bytes, stage);
        stage.send(self.wire.expect("is open"), &bytes);
    }
}

pub fn ticket_request(token: TokenId, stage: &Stage) -> String {
    let token = &stage.model.register.tokens[token];
    post("/auth/ws-ticket", "", Some(&token.text))
}
