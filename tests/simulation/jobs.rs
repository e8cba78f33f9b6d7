//! Jobs of the server, done by the simulation: each takes a time of its own, and what comes of it is handed in later.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sarang::domain::accounts::Accounts;
use sarang::domain::credentials::Reload;
use sarang::domain::ids::Serial;
use sarang::domain::metrics::Machine;
use sarang::server::jobs::{Done, Job, PasswordCheck};

use super::plan::credentials;
use super::run::World;
use super::stage::Todo;

/// What comes of jobs that are under way.
#[derive(Debug, Default)]
pub struct Jobs {
    under_way: BTreeMap<u64, (Serial, Done)>,
    count: u64,
    /// Whether the operator's files have one more account.
    pub has_one_more: bool,
}

impl World {
    /// Takes what the server wants done.
    pub fn take_jobs(&mut self) {
        while let Some((serial, job)) = self.server.poll_job() {
            let (delay, done) = match job {
                Job::CheckPassword(check) => self.check_password(&check),
                Job::ReadCredentials(in_force) => self.read_credentials(&in_force),
                Job::DropAccounts(_) => continue,
                Job::SampleMachine => self.sample_machine(),
                Job::RedeemTicket(ticket) => {
                    self.redeem(serial, &ticket);
                    continue;
                }
                Job::Publish(publication) => {
                    self.publish(serial, publication);
                    continue;
                }
                Job::Open(opening) => {
                    self.open(serial, &opening);
                    continue;
                }
            };
            self.finish_at(self.stage.at() + delay, serial, done);
        }
    }

    /// Hands in what comes of a job when it is done, which may be now.
    pub fn finish_at(&mut self, at: Duration, serial: Serial, done: Done) {
        let is_prompt = self
            .stage
            .backend
            .as_ref()
            .is_none_or(|backend| backend.is_prompt);
        if at <= self.stage.at() && (is_prompt || matches!(done, Done::MachineSampled(_))) {
            return self.hand_in(serial, done);
        }
        self.jobs.count += 1;
        let number = self.jobs.count;
        self.jobs.under_way.insert(number, (serial, done));
        self.stage.agenda.add(at, Todo::Finish(number));
    }

    /// A job is done.
    pub fn finish(&mut self, number: u64) {
        let under_way = self.jobs.under_way.remove(&number);
        let (serial, done) = under_way.expect("is done once");
        self.hand_in(serial, done);
        self.has_more = true;
    }

    fn hand_in(&mut self, serial: Serial, done: Done) {
        if let Done::Answered(outcome) = &done {
            self.check_answer(outcome);
        }
        self.server.finished(serial, done, self.stage.now());
    }

    /// A password says whether it is right, and how long it takes to find out.
    fn check_password(&mut self, check: &PasswordCheck) -> (Duration, Done) {
        self.stage.model.count("password checks");
        let password = std::str::from_utf8(&check.password).expect("ours are text");
        let mut words = password.split(' ');
        let is_accepted = words.next() == Some("yes");
        let delay = words.next().and_then(|delay| delay.parse().ok());
        let delay = Duration::from_millis(delay.expect("a delay"));
        (delay, Done::PasswordChecked(is_accepted))
    }

    /// The operator's files are read, or cannot be.
    fn read_credentials(&mut self, in_force: &Arc<Accounts>) -> (Duration, Done) {
        let delay = self.stage.seed.millis(0, 800);
        if self.stage.seed.chance(10) {
            self.stage.model.count("reloads failed");
            return (delay, Done::CredentialsRead(Err("not today".into())));
        }
        self.stage.model.count("reloads");
        let newer = credentials(&self.stage.model.secret, self.jobs.has_one_more);
        let reload = Reload::new(newer, in_force);
        (delay, Done::CredentialsRead(Ok(Box::new(reload))))
    }

    /// The machine is sampled at once, or, now and then, when it has time.
    fn sample_machine(&mut self) -> (Duration, Done) {
        let delay = match self.stage.seed.chance(15) {
            true => self.stage.seed.millis(1, 120),
            false => Duration::ZERO,
        };
        if !delay.is_zero() {
            self.stage.model.count("samples late");
        }
        (delay, Done::MachineSampled(Machine::default()))
    }
}
