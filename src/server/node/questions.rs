//! Questions to all nodes, and their answers. A node that does not answer soon is not waited for.

use std::time::Duration;

use super::Node;
use super::ask::Ask;
use super::link::State;
use super::news::News;
use super::waits::Question;
use crate::config::{QUESTION_PATIENCE, QUESTIONS_MAX};
use crate::domain::error::ErrorCode;
use crate::domain::ids::Serial;
use crate::domain::time::Now;
use crate::wire::resp::Command;

impl Node {
    /// Asks all other nodes something. [`News::Answers`] has what they say: of all that have heard it, which the engine tells, or
    /// of those that have answered within [`QUESTION_PATIENCE`]. It is `backend_unavailable` if too many questions are under way,
    /// or the engine does not say that it was heard.
    pub fn ask_all(&mut self, serial: Serial, text: &str, now: Now) {
        let is_up = self.link.state == State::Up;
        if !is_up || self.questions.len() >= QUESTIONS_MAX {
            let unheard = Err(ErrorCode::BackendUnavailable);
            return self.report(News::Answers(serial, unheard));
        }
        self.asked += 1;
        self.questions.push(Question {
            number: self.asked,
            serial,
            heard_by: None,
            answered: Vec::new(),
            answers: Vec::new(),
            until: now.monotonic + QUESTION_PATIENCE,
        });
        let mut command = Command::new("PUBLISH");
        command.text(&self.keys.single("ctl"));
        command.text(&format!("q {} {} {text}", self.id, self.asked));
        self.ask(Ask::Question(self.asked), command.finish(), now);
    }

    fn place_of_question(&self, number: u64) -> Option<usize> {
        let place = self
            .questions
            .binary_search_by_key(&number, |question| question.number);
        place.ok()
    }

    /// So many connections of nodes have heard a question, this one's among them.
    pub(super) fn question_heard(&mut self, number: u64, connections: usize) {
        if let Some(at) = self.place_of_question(number) {
            self.questions[at].heard_by = Some(connections.saturating_sub(1));
            self.end_if_answered(at);
        }
    }

    /// Nobody has heard a question.
    pub(super) fn question_refused(&mut self, number: u64) {
        if let Some(at) = self.place_of_question(number) {
            self.end_question(at);
        }
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
        if !question.answered.iter().any(|other| **other == *node) {
            question.answered.push(node.into());
            question.answers.push(text.into());
            self.end_if_answered(at);
        }
    }

    fn end_if_answered(&mut self, at: usize) {
        let question = &self.questions[at];
        let count = question.answered.len();
        if question.heard_by.is_some_and(|heard_by| heard_by <= count) {
            self.end_question(at);
        }
    }

    fn end_question(&mut self, at: usize) {
        let question = self.questions.remove(at);
        let count = question.answered.len();
        let answers = match question.heard_by {
            Some(heard_by) => Ok((question.answers, heard_by <= count)),
            None => Err(ErrorCode::BackendUnavailable),
        };
        self.report(News::Answers(question.serial, answers));
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
