//! Jobs of the server, done by the simulation: each takes a time of its own, and what comes of it is handed in later.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sarang::domain::accounts::Accounts;
use sarang::domain::credentials::Reload;
use sarang::domain::ids::Serial;
use sarang::domain::metrics::Machine;
use sarang::server::jobs::{Done, Job, PasswordCheck};

use super::files::{Change, Files, version_of};
use super::register::Checked;
use super::run::{Client, World};
use super::stage::Todo;
use super::verdicts::Verdict;

/// What comes of jobs that are under way.
#[derive(Debug)]
pub struct Jobs {
    under_way: BTreeMap<u64, (Serial, Done)>,
    count: u64,
    /// What the operator's files say now.
    pub files: Files,
    /// What they said when they were read.
    read: Option<Files>,
    /// Password checks: which account's password, whether it was right, and what the server was asked.
    checks: BTreeMap<Serial, (String, Option<u32>, bool)>,
    /// The serials under which each password is checked: two, if that is done early and again in its turn.
    asked: BTreeSet<(String, Serial)>,
    /// Tickets that are being redeemed.
    pub tickets: BTreeMap<Serial, String>,
}

impl Jobs {
    pub fn new(files: Files) -> Self {
        Self {
            under_way: BTreeMap::new(),
            count: 0,
            files,
            read: None,
            checks: BTreeMap::new(),
            asked: BTreeSet::new(),
            tickets: BTreeMap::new(),
        }
    }
}

impl World {
    /// The operator changes the files, and has them read again.
    pub fn reload(&mut self, change: Change) {
        self.jobs.files.change(change);
        if self.jobs.read.is_some() {
            self.stage.model.count("reloads during a reload");
        }
        self.server.reload();
        self.has_more = true;
    }

    /// Takes what the server wants done.
    pub fn take_jobs(&mut self) {
        while let Some((serial, job)) = self.server.poll_job() {
            let (delay, done) = match job {
                Job::CheckPassword(check) => self.check_password(serial, &check),
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
                Job::Store(_) | Job::Rewrite(_) => panic!("there is no disk here"),
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
        match &done {
            Done::Answered(outcome) => self.check_answer(outcome),
            Done::PasswordChecked(_) => self.password_checked(serial),
            Done::CredentialsRead(read) => {
                let files = self.jobs.read.take().expect("was read");
                if read.is_ok() {
                    self.put_in_force(files);
                }
            }
            Done::TicketRedeemed(Some(redeemed)) => self.ticket_redeemed(serial, redeemed.is_ok()),
            Done::TicketRedeemed(None)
            | Done::MachineSampled(_)
            | Done::Stored(_)
            | Done::BackedUp(_) => {}
        }
        self.server.finished(serial, done, self.stage.now());
    }

    /// The server is about to put what was read in force. Some learn at once that they have another password.
    fn put_in_force(&mut self, files: Files) {
        let now = self.stage.now();
        let changed = self.stage.model.register.put_in_force(files, now);
        for name in changed {
            for client in &mut self.clients {
                if let Client::Web(web) = client {
                    web.sign_in_again(name, &mut self.stage);
                }
            }
        }
    }

    /// A password is good if it was right and is still in force when the server learns of it.
    fn password_checked(&mut self, serial: Serial) {
        let check = self.jobs.checks.remove(&serial);
        let (password, version, is_accepted) = check.expect("was asked");
        let mut parts = password.splitn(4, ' ');
        let name = parts.nth(3).expect("an account");
        let model = &mut self.stage.model;
        let is_in_force = version.is_some() && model.register.password_of(name) == version;
        if is_accepted && !is_in_force {
            model.count("replaced passwords accepted by a check");
        }
        let checked = Checked {
            at: self.stage.network.now.monotonic,
            is_good: is_accepted && is_in_force,
        };
        model.register.checks.insert(password, checked);
    }

    /// The server learns who a ticket was for, if anybody.
    fn ticket_redeemed(&mut self, serial: Serial, is_good: bool) {
        let ticket = self.jobs.tickets.remove(&serial).expect("was asked");
        let at = self.stage.at();
        let model = &mut self.stage.model;
        let verdict = model.register.redeemed(&ticket, is_good, at);
        if is_good && matches!(verdict, Some(Verdict::Bad(_))) {
            model.count("tickets redeemed after their end");
        }
    }

    /// A password says which of its account's it is, and how long it takes to find out.
    fn check_password(&mut self, serial: Serial, check: &PasswordCheck) -> (Duration, Done) {
        self.stage.model.count("password checks");
        let password = std::str::from_utf8(&check.password).expect("ours are text");
        let mut words = password.split(' ');
        let version = words.next().and_then(|version| version.parse().ok());
        let delay = words.next().and_then(|delay| delay.parse().ok());
        let delay = Duration::from_millis(delay.expect("a delay"));
        let is_accepted = version.is_some() && version_of(&check.verifier) == version;
        self.jobs.asked.insert((password.to_owned(), serial));
        let of_password =
            (password.to_owned(), Serial(0))..=(password.to_owned(), Serial(u64::MAX));
        if self.jobs.asked.range(of_password).count() > 1 {
            self.stage.model.count("passwords checked twice");
        }
        let asked = (password.to_owned(), version, is_accepted);
        self.jobs.checks.insert(serial, asked);
        (delay, Done::PasswordChecked(is_accepted))
    }

    /// The operator's files are read, or cannot be.
    fn read_credentials(&mut self, in_force: &Arc<Accounts>) -> (Duration, Done) {
        let delay = self.stage.seed.millis(0, 800);
        self.jobs.read = Some(self.jobs.files.clone());
        if self.stage.seed.chance(10) {
            self.stage.model.count("reloads failed");
            return (delay, Done::CredentialsRead(Err("not today".into())));
        }
        self.stage.model.count("reloads");
        let newer = self.jobs.files.credentials(&self.stage.model.register.keys);
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
