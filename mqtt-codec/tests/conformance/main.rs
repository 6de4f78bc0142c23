//! Every normative statement of MQTT 3.1.1 and 5.0, and the tests that prove those of a codec or a connection.
//!
//! `v311.txt` and `v5.txt` are the tables, `statements.rs` reads them; `table.rs` checks that they are complete and that what they claim exists.
//! The other modules hold the tests by chapter, each against real bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod acks;
mod aliases;
mod auth;
mod common;
mod connack;
mod connect;
mod disconnect;
mod errors;
mod flow;
mod header;
mod keep_alive;
mod lenient;
mod limits;
mod publish;
mod quota;
mod session;
mod statements;
mod states;
mod strings;
mod subscribe;
mod table;
mod topics;
