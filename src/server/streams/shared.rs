//! Event streams of a server that shares its events with others: only one of them samples, and what it or anybody tells comes to
//! all of them by number.

use std::time::Duration;

use super::{Streams, gap_data};
use crate::domain::api_figures::Traffic;
use crate::domain::drafts::Draft;
use crate::domain::event_log::{Gap, KeptEvents};
use crate::domain::working_set::KeptEvent;
use crate::wire::event_stream::encode_notice;

impl Streams {
    /// Shares events with other servers, under this name.
    pub fn share(&mut self, node: Box<str>) {
        self.is_shared = true;
        self.metrics.share(node);
    }

    /// The responses of this server alone.
    pub fn own_traffic(&self) -> Traffic {
        self.own
    }

    /// What the other servers have counted since: responses, and how many event streams they have now. Whether this one
    /// samples for all.
    pub fn take_others(
        &mut self,
        traffic: Traffic,
        subscribers: usize,
        is_sampler: bool,
        now: Duration,
    ) {
        self.metrics.api().count(traffic);
        self.others = if is_sampler { subscribers } else { 0 };
        self.metrics.set_sampler(is_sampler, now);
        if self.others > 0 {
            self.metrics.wake(now);
        } else if self.subscriber_count() == 0 {
            self.metrics.rest(now);
        }
    }

    /// Somebody has subscribed at another server.
    pub fn wake(&mut self, now: Duration) {
        self.metrics.wake(now);
    }

    /// An event of this server is numbered: it comes back as one of all servers.
    pub fn stored_elsewhere(&mut self, draft: &Draft, is_sampled: bool) {
        self.end_sampling(is_sampled);
        self.metrics.stored_elsewhere(draft);
    }

    /// Takes an event of all servers, and the figures that were posted with it. False if events before it are missing.
    pub fn take_event(&mut self, event: KeptEvent, figures: Option<&str>) -> bool {
        let id = event.id;
        if let Some(figures) = figures {
            self.metrics.take_figures(figures);
        }
        let held = self.selections.held(&self.fan_out);
        if let Some(sample) = self.metrics.log.take(event, held) {
            self.metrics.take(&sample);
            self.send_sample(&sample);
        }
        id <= self.metrics.log.newest()
    }

    /// Takes all events that are kept by the engine. Subscribers get those that are new to this server; if some of those are not
    /// kept any more they are told so.
    pub fn take_events(&mut self, kept: KeptEvents) {
        let newest = kept.newest.unwrap_or(0);
        let own = self.metrics.log.newest();
        if let Some(figures) = &kept.figures {
            self.metrics.take_figures(figures);
        }
        if newest <= own {
            return;
        }
        let first = kept.events.first().map(|event| event.id);
        let is_new = self.metrics.log.count() == 0;
        if !is_new && first.is_some_and(|first| first <= own + 1) {
            for event in kept.events.into_iter().filter(|event| event.id > own) {
                self.take_event(event, None);
            }
            return;
        }
        self.metrics.replace(newest, kept.events, kept.latest);
        if !is_new {
            let oldest = self.metrics.log.base() + 1;
            let gap = Gap {
                oldest: oldest.min(newest),
                newest,
                is_restart: false,
            };
            self.frame.clear();
            encode_notice(
                "gap",
                &gap_data(own.to_string(), &gap).to_string(),
                &mut self.frame,
            );
            self.broadcast(|_| true);
        }
    }
}
