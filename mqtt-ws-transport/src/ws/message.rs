//! Whole messages, for programs that speak something else than MQTT over a WebSocket.

use super::close::Violation;
use super::frame::{Decoder, Fault, Kind};
use bytes::{Bytes, BytesMut};

/// A WebSocket message. MQTT knows only binary ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WsMessage {
    /// Bytes.
    Binary(Bytes),
    /// Text.
    Text(String),
}

impl WsMessage {
    /// Whether it carries nothing.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Binary(data) => data.is_empty(),
            Self::Text(text) => text.is_empty(),
        }
    }

    /// Its bytes, whatever its kind.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Binary(data) => data,
            Self::Text(text) => text.into(),
        }
    }
}

/// A message that arrives in parts.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    pub(super) data: BytesMut,
    /// How much of a text is known to be UTF-8.
    checked: usize,
}

impl Assembly {
    /// Checks what has arrived of a text. The last character may be incomplete.
    pub(super) fn check_text(&mut self, decoder: &Decoder) -> Result<(), Fault> {
        if decoder.last_kind() != Kind::Text {
            return Ok(());
        }
        match std::str::from_utf8(&self.data[self.checked..]) {
            Ok(_) => self.checked = self.data.len(),
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(Violation::InvalidUtf8.into()),
        }
        Ok(())
    }

    /// The message, now that it is complete. `None` for a text that ends within a character.
    pub(super) fn message(self, kind: Kind) -> Option<WsMessage> {
        match kind {
            Kind::Binary => Some(WsMessage::Binary(self.data.freeze())),
            Kind::Text => String::from_utf8(self.data.into()).ok().map(WsMessage::Text),
        }
    }
}
