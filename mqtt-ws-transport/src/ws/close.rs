//! How a WebSocket ends: close codes with their reasons, and the rules a peer can break.

use std::borrow::Cow;
use std::fmt;

/// The code and text of a WebSocket close frame (RFC 6455 section 7.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseReason {
    code: u16,
    reason: Cow<'static, str>,
}

impl CloseReason {
    /// The purpose is fulfilled.
    pub const NORMAL: Self = Self::fixed(1000, "");
    /// The server shuts down, or the page is left.
    pub const GOING_AWAY: Self = Self::fixed(1001, "");
    /// The peer broke the WebSocket protocol.
    pub const PROTOCOL_ERROR: Self = Self::fixed(1002, "WebSocket protocol error");
    /// The peer sent a kind of data that cannot be taken, such as text.
    pub const UNSUPPORTED_DATA: Self = Self::fixed(1003, "MQTT needs binary frames");
    /// What a received close frame without a code reads as. Never sent.
    pub const NO_STATUS: Self = Self::fixed(1005, "");
    /// Text is not valid UTF-8.
    pub const INVALID_DATA: Self = Self::fixed(1007, "invalid UTF-8");
    /// The peer violates a policy, such as a failed authentication.
    pub const POLICY_VIOLATION: Self = Self::fixed(1008, "");
    /// The peer did not answer a ping.
    pub const NO_PONG: Self = Self::fixed(1008, "no answer to the ping in time");
    /// A message exceeds the limit.
    pub const MESSAGE_TOO_BIG: Self = Self::fixed(1009, "message too big");
    /// The server failed.
    pub const INTERNAL_ERROR: Self = Self::fixed(1011, "");

    const fn fixed(code: u16, reason: &'static str) -> Self {
        Self { code, reason: Cow::Borrowed(reason) }
    }

    /// A reason of your own. `None` when `code` may not be sent (it must be a defined one from 1000 to 1014 other
    /// than 1004 to 1006, or in 3000 to 4999) or `reason` is longer than the 123 bytes that fit into the frame.
    pub fn new(code: u16, reason: impl Into<Cow<'static, str>>) -> Option<Self> {
        let reason = reason.into();
        let sendable = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        (sendable && reason.len() <= 123).then_some(Self { code, reason })
    }

    /// The code.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The text for humans, often empty.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Whether it is an ordinary end and no complaint: 1000, 1001 or no code.
    pub fn is_normal(&self) -> bool {
        matches!(self.code, 1000 | 1001 | 1005)
    }

    /// What a peer said. The code has been checked.
    pub(super) fn received(code: u16, reason: &str) -> Self {
        Self { code, reason: Cow::Owned(reason.to_owned()) }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "code {}", self.code)?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, ", {}", self.reason) }
    }
}

/// The rule of RFC 6455 that a peer broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A reserved bit is set although no extension was negotiated.
    #[error("a reserved bit is set")]
    ReservedBits,
    /// A client must mask its frames.
    #[error("the client's frame is not masked")]
    NotMasked,
    /// A server must not mask its frames.
    #[error("the server's frame is masked")]
    Masked,
    /// A control frame came in fragments.
    #[error("a control frame is fragmented")]
    FragmentedControl,
    /// A control frame has more than 125 bytes.
    #[error("a control frame is too long")]
    LongControl,
    /// A reserved opcode.
    #[error("opcode {0} is reserved")]
    Opcode(u8),
    /// A continuation without a beginning.
    #[error("a continuation frame continues nothing")]
    NothingToContinue,
    /// A new message began before the last one was complete.
    #[error("a message began inside another")]
    Interleaved,
    /// The close frame has one byte, or a code that may not be sent.
    #[error("the close frame is malformed")]
    BadClose,
    /// Text or a close reason is not UTF-8.
    #[error("text is not valid UTF-8")]
    InvalidUtf8,
    /// Frames after the close frame.
    #[error("a frame follows the close frame")]
    AfterClose,
    /// Another rule.
    #[error("malformed frame")]
    Other,
}
