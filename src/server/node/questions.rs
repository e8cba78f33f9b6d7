//! Questions to all nodes, and their answers. A node that does not answer soon is not waited for.

use std::time::Duration;

use super::Node;
use super::ask::Ask;
use super::link::State;
use super::news::News;
use super::waits::Question;
use crate::config::{QUESTION_PATIENCE, QUESTIONS_MAX};
use crate::domain::ids::Serial;
use crate::domain::time::Now;
use crate::wire::resp::Command;

impl Node {
    /// Asks all other nodes something. [`News::Answers`] has what they say: of all that are alive, or of those that have answered
    /// within [`QUESTION_PATIENCE`]. Nothing comes from nobody, if too many questions are under way or there is no engine.
    pub fn ask_all(&mut self, serial: Serial, text: &str, now: Now) {
        let is_up = self.link.state == State::Up;
        if !is_up || self.peers.is_empty() || self.questions.len() >= QUESTIONS_MAX {
            return self.report(News::Answers(serial, Vec::new()));
        }
        self.asked += 1;
        self.questions.push(Question {
            number: self.asked,
            serial,
            waits_for: self.peers.clone(),
            answers: Vec::new(),
            until: now.monotonic + QUESTION_PATIENCE,
        });
        let message = format!("q {} {} {text}", self.id, self.asked);
        self.announce(&message, now);
    }

    /// Answers the question of another node.
    pub fn answer(&mut self, node: &str, number: u64, text: &str, now: Now) {
        let mut command = Command::new("PUBLISH");
        command.text(&self.keys.node_channel(node));
        command.text(&format!("a {number} {} {text}", self.id));
        self.ask(Ask::Nothing, command.finish(), now);
    }

    /// Takes the answer of another node: the number of the question, its name, what it says.
    pub(super) fn take_reply_of_node(&mut self, message: &str) {
        let mut parts = message.splitn(3, ' ');
        let number = parts.next().and_then(|number| number.parse().ok());
        let (Some(number), Some(node), Some(text)) = (number, parts.next(), parts.next()) else {
            return;
        };
        let questions = &mut self.questions;
        let Ok(at) = questions.binary_search_by_key(&number, |question| question.number) else {
            return;
        };
        let question = &mut questions[at];
        let place = question.waits_for.iter().position(|other| **other == *node);
        if let Some(place) = place {
            question.waits_for.remove(place);
            question.answers.push(text.into());
            if question.waits_for.is_empty() {
                self.end_question(at);
            }
        }
    }

    fn end_question(&mut self, at: usize) {
        let Question {
            serial, answers, ..
        } = self.questions.remove(at);
        self.report(News::Answers(serial, answers));
    }

    /// When the first question is not waited for any more, since the server's start.
    pub(super) fn next_question_end(&self) -> Option<Duration> {
        self.questions.first().map(|question| question.until)
    }

    /// Ends the questions that have waited long enough.
    pub(super) fn end_questions(&mut self, now: Duration) {
        while self.next_question_end().is_some_and(|until| until <= now) {
            self.end_question(0);
        }
    }
}
