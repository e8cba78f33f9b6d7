//! The real binary over real sockets, seen as any client sees it. A file is named by what it tests.
#![forbid(unsafe_code)]

mod accounts;
mod acknowledgements;
mod command_line;
mod conformance;
mod departures;
mod descriptors;
mod drain;
mod event_access;
mod event_resume;
mod event_streams;
mod faults;
mod http;
mod http_bodies;
mod http_pages;
mod http_refusals;
mod journal;
mod limits;
mod metrics;
mod opening;
mod order;
mod people;
mod presence;
mod pressure;
mod rest;
mod restart;
mod resume;
mod revocation;
mod rooms;
mod sign_in;
mod support;
mod throttle;
mod tickets;
mod tokens;
mod websocket;
