//! The protocol of one connection, without IO: bytes and time go in, events and bytes come out.
//!
//! ```text
//!   client, server     what each role does by itself
//!        │
//!      frame           the loop and the clock around them
//!        │
//!      common          codec, session, transmit, and the end
//!      │     │
//!   outgoing incoming  messages and their acknowledgements
//! ```

mod acks;
mod aliases;
mod client;
mod closed;
mod common;
mod frame;
mod incoming;
mod outgoing;
mod progress;
mod refused;
mod server;
mod text;

pub use client::{ClientConfig, ClientConnection, ClientEvent};
pub use closed::{Closed, ProtocolError, Timeout};
pub use refused::{DisconnectError, PublishError};
pub use server::{ServerConfig, ServerConnection, ServerEvent};
