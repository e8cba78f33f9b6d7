//! The limits of event streams, of what is sampled and posted, and of `GET /series`.

use std::time::Duration;

/// Between two `system_metrics` events.
pub const SYSTEM_EVERY: Duration = Duration::from_secs(1);
/// Between two `api_metrics` events.
pub const API_EVERY: Duration = Duration::from_secs(5);
/// Between two `business_metrics` events.
pub const BUSINESS_EVERY: Duration = Duration::from_secs(10);
/// How long sampling goes on after the last subscriber has left, so that one that reconnects finds no hole in time.
pub const SAMPLING_GRACE: Duration = Duration::from_secs(60);
/// Between two samples while nobody listens: so few that an idle server stays idle. They are shown by `GET /series` only, and
/// are no events: they have no ids, and are not stored.
pub const IDLE_SAMPLE_EVERY: Duration = Duration::from_secs(15);
/// The time that `GET /series` goes back.
pub const SERIES_FOR: Duration = Duration::from_secs(15 * 60);
/// Samples of `system_metrics` in `GET /series`; above it the oldest is dropped.
pub const SERIES_SYSTEM_SAMPLES_MAX: usize = 900;
/// Samples of `api_metrics` in `GET /series`; above it the oldest is dropped.
pub const SERIES_API_SAMPLES_MAX: usize = 180;
/// Samples of `business_metrics` in `GET /series`; above it the oldest is dropped.
pub const SERIES_BUSINESS_SAMPLES_MAX: usize = 450;
/// Of figures posted more often only the last in each such time is in `GET /series`, so that it reaches back far enough.
pub const SERIES_BUSINESS_EVERY: Duration = Duration::from_secs(2);
/// Figures of `business_metrics` in `GET /series`, those of earlier posts included; above it the one that was posted
/// longest ago is dropped.
pub const SERIES_FIGURES_MAX: usize = POSTED_FIGURES_MAX + 3;
/// The names of these figures, in bytes; above it the ones that were posted longest ago are dropped.
pub const SERIES_NAMES_BYTES_MAX: usize = POSTED_FIGURES_BYTES_MAX;
/// Events kept for subscribers that resume; older ones are a gap.
pub const EVENTS_KEPT: usize = 200;
/// The longest name of a channel of one's own, in characters, which are bytes.
pub const CHANNEL_NAME_CHARS_MAX: usize = 64;
/// Channels of one's own at a time: with events among those kept, or with subscribers; above it `too_many_channels`.
pub const OWN_CHANNELS_MAX: usize = 64;
/// Channels named by one `GET /sse/{channel},{channel}…`, without duplicates; above it 404.
pub const CHANNELS_PER_STREAM_MAX: usize = 16;
/// Different selections of events that have subscribers, beside the channels every server has; above it
/// `too_many_channels`.
pub const SELECTIONS_MAX: usize = 256;
/// One part in so many of [`OWN_CHANNELS_MAX`] and of [`SELECTIONS_MAX`] is what subscribers without a token may take
/// where others need one (`--public-dashboard`): channels nobody has posted to, and selections.
pub const STRANGERS_PARTS: usize = 2;
/// The largest ID of the first event, whatever the clock says: JavaScript represents integers below 2^53 exactly.
pub const FIRST_EVENT_ID_MAX: u64 = 1 << 52;
/// A wall clock before this time, 2024-01-01T00:00:00Z, cannot be right, in seconds since 1970: this server is younger. So
/// is the clock of a board without a battery until it has asked a time server.
pub const CLOCK_SET_FROM_SECS: u64 = 1_704_067_200;
/// IDs of the first event up to this number are random, and are those of a start with such a clock. As times in milliseconds
/// since 1970 they would be before 2005.
pub const RANDOM_EVENT_ID_MAX: u64 = 1 << 40;
/// How far ids of events move on when a backup is restored: more than can have been given out since it was made, and small
/// enough for JavaScript's exact integers, 2^53.
pub const RESTORED_EVENT_IDS: u64 = 1 << 30;
/// The `retry` field of event streams: the time a client waits before it reconnects, in milliseconds.
pub const EVENT_RETRY_MILLISECONDS: u64 = 3_000;
/// Events in the outbox of one subscriber, in bytes; above it only the latest of each name are kept, and of these the
/// newest, up to half of it.
pub const EVENT_OUTBOX_BYTES: usize = 256 * 1024;
/// A subscriber whose socket takes no bytes for this long is disconnected.
pub const EVENT_STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// The body of a `POST /events/{channel}`, in bytes; above it 413.
pub const POSTED_BYTES_MAX: usize = 4 * 1024;
/// Posted figures that are kept beside `revenue` and `orders`, which always fit; a post that would keep more is refused
/// with 413.
pub const POSTED_FIGURES_MAX: usize = 64;
/// These figures as JSON, in bytes; a post that would keep more is refused with 413. Every `business_metrics` event has
/// all of them, and [`EVENTS_KEPT`] events are kept.
pub const POSTED_FIGURES_BYTES_MAX: usize = 64 * 1024;
