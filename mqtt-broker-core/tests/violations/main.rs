//! Clients that break the rules, in bytes, over TCP and WebSocket: each is told the reason that the specification
//! names, where its version can be told, and closed; the broker goes on to serve the others.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(feature = "tokio")]

mod house;
mod malformed;
mod order;
#[path = "../support/mod.rs"]
mod support;
#[allow(dead_code, reason = "the codec's own tests use the rest")]
#[path = "../../../mqtt-codec/tests/vectors/parse.rs"]
mod vectors;
mod websocket;
