//! The protocol of one connection, without IO: bytes and time go in, events and bytes come out.

mod acks;
mod aliases;
mod client;
mod closed;
mod common;
mod server;

pub use acks::AckToken;
pub use client::{ClientConfig, ClientConnection, ClientEvent};
pub use closed::{Closed, ProtocolError, PublishError, Timeout};
pub use server::{ServerConfig, ServerConnection, ServerEvent};
