//! The page of `GET /metrics`, in the Prometheus exposition format (text version 0.0.4).

use std::fmt::Write as _;

use super::Server;
use super::connections::PHASE_LABELS;
use super::counters::Counters;
use super::disk::Disk;
use super::histogram::Histogram;
use super::node::Node;
use crate::domain::time::Now;

/// Microseconds in a second.
const MICROS: f64 = 1e6;

/// A page of metrics under construction.
#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing into a String cannot fail, here and below.
        _ = writeln!(
            self.0,
            "# HELP sarang_{name} {help}\n# TYPE sarang_{name} {kind}"
        );
    }

    fn value(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        _ = writeln!(self.0, "sarang_{name}{labels} {value}");
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, kind, help);
        self.value(name, "", value);
    }

    /// A histogram whose values are divided by `unit`.
    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram, unit: f64) {
        self.family(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        for (bound, count) in histogram.buckets() {
            let label = format!("{{le=\"{}\"}}", bound as f64 / unit);
            self.value(&bucket, &label, count);
        }
        self.value(&bucket, "{le=\"+Inf\"}", histogram.count());
        let sum = histogram.sum() as f64 / unit;
        self.value(&format!("{name}_sum"), "", sum);
        self.value(&format!("{name}_count"), "", histogram.count());
    }

    fn labelled<L: std::fmt::Display>(
        &mut self,
        (name, kind, help): (&str, &str, &str),
        label: &str,
        values: impl IntoIterator<Item = (L, u64)>,
    ) {
        self.family(name, kind, help);
        for (text, value) in values {
            self.value(name, &format!("{{{label}=\"{text}\"}}"), value);
        }
    }
}

impl Server {
    /// The page of `GET /metrics`.
    pub(super) fn exposition(&self, now: Now) -> String {
        let mut page = Page::default();
        self.show_process(&mut page);
        self.show_connections(&mut page);
        self.show_traffic(&mut page);
        self.show_waiting(&mut page, now);
        show_outcomes(&mut page, &self.counters);
        let help = "Bytes queued for and half received from all connections.";
        page.single("buffer_bytes", "gauge", help, self.buffered_bytes());
        show_pressure(&mut page, &self.counters);
        show_turns(&mut page, &self.counters);
        if let Some(disk) = self.chat.backend().disk() {
            show_store(&mut page, disk);
        }
        if let Some(node) = self.chat.backend().node() {
            show_cluster(&mut page, node);
        }
        page.0
    }

    fn show_process(&self, page: &mut Page) {
        let help = "The version of the server, always 1.";
        page.family("build_info", "gauge", help);
        let version = env!("CARGO_PKG_VERSION");
        page.value("build_info", &format!("{{version=\"{version}\"}}"), 1);
        if let Some(started) = self.started {
            // The name that the clients of Prometheus give it, whatever the program.
            let name = "process_start_time_seconds";
            let help = "Start of the process, in seconds since 1970.";
            let seconds = started.as_secs_f64();
            _ = writeln!(
                page.0,
                "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {seconds}"
            );
        }
    }

    /// What is kept for a time, or waits for its turn.
    fn show_waiting(&self, page: &mut Page, now: Now) {
        let help = "Members whose connections have closed and who have not left their room yet.";
        let members = self.chat.rooms().members_in_grace();
        page.single("members_in_grace", "gauge", help, members);
        let help = "Names that guests hold by a key.";
        let names = self.sign_ins.held_names(now.monotonic);
        page.single("guest_names_held", "gauge", help, names);
        let help = "Channels of one's own with a kept event or a subscriber.";
        page.single("own_channels", "gauge", help, self.streams.own_channels());
        let help = "Attempts to sign in whose password check has not begun.";
        let waiting = self.sign_ins.checks.waiting();
        page.single("password_checks_waiting", "gauge", help, waiting);
    }

    fn show_traffic(&self, page: &mut Page) {
        let counters = &self.counters;
        let help = "Whether the server is to stop: it is not ready, and drains at once or after its delay.";
        let is_stopping = u8::from(self.is_stopping());
        page.single("draining", "gauge", help, is_stopping);
        page.single("rooms", "gauge", "Rooms.", self.chat.rooms().count());
        page.single(
            "users",
            "gauge",
            "People connected.",
            self.chat.rooms().people().count(),
        );
        page.single(
            "messages_total",
            "counter",
            "Chat messages committed.",
            self.chat.messages(),
        );
        let deliveries = [
            ("chat", self.chat.deliveries()),
            ("event", self.streams.deliveries()),
        ];
        let family = (
            "deliveries_total",
            "counter",
            "Messages and events times those they were broadcast to.",
        );
        page.labelled(family, "kind", deliveries);
        page.single(
            "events_total",
            "counter",
            "Events of all channels.",
            self.streams.events(),
        );
        let bytes = [
            ("received", counters.shell.received_bytes),
            ("sent", counters.shell.sent_bytes),
        ];
        page.labelled(
            ("bytes_total", "counter", "Bytes over all sockets."),
            "direction",
            bytes,
        );
    }

    fn show_connections(&self, page: &mut Page) {
        let kinds = PHASE_LABELS
            .into_iter()
            .zip(self.connections.phase_counts());
        page.labelled(
            ("connections", "gauge", "Open connections by kind."),
            "kind",
            kinds,
        );
        let subscribers = self.streams.subscribers();
        page.labelled(
            (
                "subscribers",
                "gauge",
                "Event streams by channel (other: a channel of one's own, or several channels).",
            ),
            "channel",
            subscribers.map(|(channel, count)| (channel, count as u64)),
        );
    }
}

fn show_pressure(page: &mut Page, counters: &Counters) {
    let forwarded = &counters.forwarded;
    let help = "Requests by what became of their X-Forwarded-For or Forwarded field: taken from a \
        trusted proxy, missing there, differing from each other, ignored from any other peer.";
    page.labelled(
        ("forwarded_addresses_total", "counter", help),
        "outcome",
        [
            ("taken", forwarded.taken),
            ("missing", forwarded.missing),
            ("differing", forwarded.differing),
            ("ignored", forwarded.ignored),
        ],
    );
    let help = "Connections refused: too many, or no descriptor left.";
    page.single(
        "connections_refused_total",
        "counter",
        help,
        counters.refused_connections,
    );
    let help = "PROXY protocol headers that were understood.";
    page.single(
        "proxy_headers_total",
        "counter",
        help,
        counters.proxy_headers,
    );
    let help =
        "Connections closed because their PROXY protocol header was malformed, missing or late.";
    page.single(
        "proxy_headers_refused_total",
        "counter",
        help,
        counters.proxy_headers_refused,
    );
    let help =
        "Connections whose buffers were given up because all together were over their limit.";
    page.single("buffers_shed_total", "counter", help, counters.shed);
    let help = "Most bytes that ever waited for one peer.";
    page.single(
        "outbox_high_water_bytes",
        "gauge",
        help,
        counters.outbox_high_water_bytes,
    );
    let help = "Times a lagging subscriber was cut down to the latest values.";
    page.single(
        "event_streams_relieved_total",
        "counter",
        help,
        counters.streams_relieved,
    );
    let help = "Subscribers dropped because they took nothing for a minute.";
    page.single(
        "event_streams_stalled_total",
        "counter",
        help,
        counters.streams_stalled,
    );
    if let Some(bytes) = counters.shell.resident_bytes {
        let help = "Memory of the process.";
        page.single("resident_memory_bytes", "gauge", help, bytes);
    }
}

fn show_outcomes(page: &mut Page, counters: &Counters) {
    let family = ("responses_total", "counter", "HTTP responses by status.");
    page.labelled(
        family,
        "status",
        counters
            .responses
            .iter()
            .map(|(status, count)| (*status, *count)),
    );
    let family = (
        "closes_total",
        "counter",
        "WebSockets closed by the server, by close code (4008: slow consumers).",
    );
    page.labelled(
        family,
        "code",
        counters.closes.iter().map(|(code, count)| (*code, *count)),
    );
    let family = ("logins_total", "counter", "Attempts to sign in by outcome.");
    page.labelled(
        family,
        "outcome",
        counters
            .logins
            .iter()
            .map(|(outcome, count)| (*outcome, *count)),
    );
}

fn show_turns(page: &mut Page, counters: &Counters) {
    let help = "Duration of a turn of the event loop.";
    page.histogram("turn_duration_seconds", help, &counters.turns, MICROS);
}

fn show_cluster(page: &mut Page, node: &Node) {
    let figures = node.figures();
    let help = "Whether the engine that the nodes share takes what is said.";
    page.single("cluster_up", "gauge", help, u8::from(node.is_up()));
    let help = "Time from a request of the engine to its reply.";
    page.histogram("cluster_latency_seconds", help, &figures.replies, MICROS);
    let help = "Requests of the engine without a reply.";
    page.single("cluster_requests", "gauge", help, node.requests());
    let help = "Rooms that this node follows.";
    page.single("cluster_rooms", "gauge", help, node.rooms());
    let help = "Nodes alive, this one included.";
    page.single("cluster_nodes", "gauge", help, figures.nodes);
    let help = "Requests that were sent again, over a new connection or after the engine had lost its scripts.";
    page.single("cluster_resends_total", "counter", help, figures.resends);
    let help = "Messages that had been missed here, and were asked for.";
    page.single("cluster_gaps_filled_total", "counter", help, figures.filled);
    let help = "New epochs given to rooms that had lost their past.";
    page.single("cluster_epochs_total", "counter", help, figures.epochs);
    let help = "Times the lease of this node was over.";
    page.single(
        "cluster_leases_lost_total",
        "counter",
        help,
        figures.leases_lost,
    );
    let help = "Connections made to the engine.";
    page.single("cluster_connects_total", "counter", help, figures.connects);
}

fn show_store(page: &mut Page, disk: &Disk) {
    let figures = disk.figures();
    let help = "Whether the store on disk takes what is said.";
    page.single("store_up", "gauge", help, u8::from(disk.is_up()));
    let help = "Messages, rooms, events and logouts that wait for the batch under way.";
    page.single("store_queue", "gauge", help, disk.queued());
    let help = "Duration of a commit of the store, with the wait for the disk.";
    page.histogram("store_commit_seconds", help, &figures.commits, MICROS);
    let help = "Messages, rooms, events and logouts in a batch.";
    page.histogram("store_batch_size", help, &figures.batches, 1.0);
    let help = "Commits, and rewrites of the whole store, that failed.";
    page.single("store_failures_total", "counter", help, figures.failures);
    let help = "Size of the file of the store.";
    page.single("store_file_bytes", "gauge", help, figures.file_bytes);
}
