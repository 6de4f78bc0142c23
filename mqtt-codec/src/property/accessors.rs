//! A getter and a setter for each property of each set.

use core::marker::PhantomData;
use core::num::{NonZeroU16, NonZeroU32};

use bytes::BufMut;

use super::table::set;
use super::{ConnAckProperties, Properties, PublishProperties, SubscribeProperties, WillProperties};
use crate::text::{Binary, Str};
use crate::types::QoS;
use crate::wire::{self, MAX_VARINT};

/// One getter and one setter for each property of a set.
macro_rules! accessors {
    ($set:ident: $($(#[$doc:meta])* $kind:ident $get:ident $with:ident = $id:literal;)*) => {
        impl Properties<set::$set> {
            $(accessors!(@ $kind $(#[$doc])* $get $with $id);)*
        }
    };
    (@ flag $(#[$doc:meta])* $get:ident $with:ident $id:literal) => {
        $(#[$doc])*
        pub fn $get(&self) -> Option<bool> {
            self.u8_of($id).map(|value| value != 0)
        }

        $(#[$doc])*
        #[must_use]
        pub fn $with(self, value: bool) -> Self {
            self.set($id, |out| out.put_u8(u8::from(value)))
        }
    };
    (@ u16 $(#[$doc:meta])* $get:ident $with:ident $id:literal) => {
        $(#[$doc])*
        pub fn $get(&self) -> Option<u16> {
            self.u16_of($id)
        }

        $(#[$doc])*
        #[must_use]
        pub fn $with(self, value: u16) -> Self {
            self.set($id, |out| out.put_u16(value))
        }
    };
    (@ nonzero_u16 $(#[$doc:meta])* $get:ident $with:ident $id:literal) => {
        $(#[$doc])*
        pub fn $get(&self) -> Option<NonZeroU16> {
            self.u16_of($id).and_then(NonZeroU16::new)
        }

        $(#[$doc])*
        #[must_use]
        pub fn $with(self, value: NonZeroU16) -> Self {
            self.set($id, |out| out.put_u16(value.get()))
        }
    };
    (@ u32 $(#[$doc:meta])* $get:ident $with:ident $id:literal) => {
        $(#[$doc])*
        pub fn $get(&self) -> Option<u32> {
            self.u32_of($id)
        }

        $(#[$doc])*
        #[must_use]
        pub fn $with(self, value: u32) -> Self {
            self.set($id, |out| out.put_u32(value))
        }
    };
    (@ nonzero_u32 $(#[$doc:meta])* $get:ident $with:ident $id:literal) => {
        $(#[$doc])*
        pub fn $get(&self) -> Option<NonZeroU32> {
            self.u32_of($id).and_then(NonZeroU32::new)
        }

        $(#[$doc])*
        #[must_use]
        pub fn $with(self, value: NonZeroU32) -> Self {
            self.set($id, |out| out.put_u32(value.get()))
        }
    };
    (@ text $(#[$doc:meta])* $get:ident $with:ident $id:literal) => {
        $(#[$doc])*
        pub fn $get(&self) -> Option<Str> {
            self.text_at(self.value($id)?)
        }

        $(#[$doc])*
        #[must_use]
        pub fn $with(self, value: &Str) -> Self {
            self.set($id, |out| wire::put_field(out, value.as_bytes()))
        }
    };
    (@ topic $(#[$doc:meta])* $get:ident $with:ident $id:literal) => {
        $(#[$doc])*
        pub fn $get(&self) -> Option<crate::TopicName> {
            self.field_at(self.value($id)?).map(crate::TopicName::from_checked)
        }

        $(#[$doc])*
        ///
        /// [`TopicName::ALIASED`](crate::TopicName::ALIASED) is no name and is ignored.
        #[must_use]
        pub fn $with(self, value: &crate::TopicName) -> Self {
            if value.is_aliased() {
                return self;
            }
            self.set($id, |out| wire::put_field(out, value.as_bytes()))
        }
    };
    (@ data $(#[$doc:meta])* $get:ident $with:ident $id:literal) => {
        $(#[$doc])*
        pub fn $get(&self) -> Option<Binary> {
            self.field_at(self.value($id)?).map(Binary::from_checked)
        }

        $(#[$doc])*
        #[must_use]
        pub fn $with(self, value: &Binary) -> Self {
            self.set($id, |out| wire::put_field(out, value))
        }
    };
}

accessors! { Connect:
    /// How long the session outlives the connection, in seconds; `u32::MAX` is for ever, absent is 0.
    u32 session_expiry_interval with_session_expiry_interval = 0x11;
    /// How many QoS 1 and 2 messages the client takes at a time; absent is 65,535.
    nonzero_u16 receive_maximum with_receive_maximum = 0x21;
    /// The largest packet the client takes, in bytes.
    nonzero_u32 maximum_packet_size with_maximum_packet_size = 0x27;
    /// The highest topic alias the client takes; absent is 0, none.
    u16 topic_alias_maximum with_topic_alias_maximum = 0x22;
    /// Whether CONNACK may carry Response Information; absent is no.
    flag request_response_information with_request_response_information = 0x19;
    /// Whether any packet may carry a Reason String or User Properties; absent is yes.
    flag request_problem_information with_request_problem_information = 0x17;
    /// The method of an enhanced authentication.
    text authentication_method with_authentication_method = 0x15;
    /// Data of that method.
    data authentication_data with_authentication_data = 0x16;
}

/// What a message and a will have in common.
macro_rules! message_accessors {
    ($set:ident) => {
        accessors! { $set:
            /// Whether the payload is UTF-8 text; absent is unspecified bytes.
            flag payload_format_indicator with_payload_format_indicator = 0x01;
            /// The lifetime of the message, in seconds.
            u32 message_expiry_interval with_message_expiry_interval = 0x02;
            /// What the payload is, a MIME type usually.
            text content_type with_content_type = 0x03;
            /// The topic for a response.
            topic response_topic with_response_topic = 0x08;
            /// What tells the requester which request a response belongs to.
            data correlation_data with_correlation_data = 0x09;
        }
    };
}

message_accessors!(Will);
message_accessors!(Publish);

accessors! { Will:
    /// How long the server waits before it publishes the will, in seconds.
    u32 will_delay_interval with_will_delay_interval = 0x18;
}

impl WillProperties {
    /// The properties of the message that the will becomes: all but the Will Delay Interval.
    pub fn into_message_properties(mut self) -> PublishProperties {
        self.remove(0x18);
        Properties { raw: self.raw, present: self.present, set: PhantomData }
    }
}

accessors! { Publish:
    /// A number that stands for the topic on this connection.
    nonzero_u16 topic_alias with_topic_alias = 0x23;
}

impl PublishProperties {
    /// The identifiers of the subscriptions that caused this delivery.
    pub fn subscription_identifiers(&self) -> impl Iterator<Item = NonZeroU32> + '_ {
        self.values(0x0B).filter_map(|at| self.varint_at(at))
    }

    /// Adds the identifier of a subscription; numbers above 268,435,455 cannot be expressed and are ignored.
    #[must_use]
    pub fn with_subscription_identifier(self, id: NonZeroU32) -> Self {
        if id.get() > MAX_VARINT {
            return self;
        }
        self.append(0x0B, |out| wire::put_varint(out, id.get()))
    }

    /// Drops the topic alias, which means something on one connection only.
    #[must_use]
    pub fn without_topic_alias(mut self) -> Self {
        self.remove(0x23);
        self
    }

    /// Drops the subscription identifiers, which are for one receiver only.
    #[must_use]
    pub fn without_subscription_identifiers(mut self) -> Self {
        self.remove(0x0B);
        self
    }
}

impl SubscribeProperties {
    /// The number that deliveries for these subscriptions carry.
    pub fn subscription_identifier(&self) -> Option<NonZeroU32> {
        self.varint_at(self.value(0x0B)?)
    }

    /// Sets that number; one above 268,435,455 cannot be expressed and is ignored.
    #[must_use]
    pub fn with_subscription_identifier(self, id: NonZeroU32) -> Self {
        if id.get() > MAX_VARINT {
            return self;
        }
        self.set(0x0B, |out| wire::put_varint(out, id.get()))
    }
}

accessors! { ConnAck:
    /// The session expiry the server chose, in seconds; absent is the client's.
    u32 session_expiry_interval with_session_expiry_interval = 0x11;
    /// How many QoS 1 and 2 messages the server takes at a time; absent is 65,535.
    nonzero_u16 receive_maximum with_receive_maximum = 0x21;
    /// Whether the server keeps retained messages; absent is yes.
    flag retain_available with_retain_available = 0x25;
    /// The largest packet the server takes, in bytes.
    nonzero_u32 maximum_packet_size with_maximum_packet_size = 0x27;
    /// The client identifier the server gave to a client that had none.
    text assigned_client_identifier with_assigned_client_identifier = 0x12;
    /// The highest topic alias the server takes; absent is 0, none.
    u16 topic_alias_maximum with_topic_alias_maximum = 0x22;
    /// The reason in words, for logs.
    text reason_string with_reason_string = 0x1F;
    /// Whether the server takes wildcard subscriptions; absent is yes.
    flag wildcard_subscription_available with_wildcard_subscription_available = 0x28;
    /// Whether the server takes subscription identifiers; absent is yes.
    flag subscription_identifier_available with_subscription_identifier_available = 0x29;
    /// Whether the server takes shared subscriptions; absent is yes.
    flag shared_subscription_available with_shared_subscription_available = 0x2A;
    /// The keep-alive the client must use instead of its own, in seconds.
    u16 server_keep_alive with_server_keep_alive = 0x13;
    /// The basis for a response topic.
    text response_information with_response_information = 0x1A;
    /// Another server to use.
    text server_reference with_server_reference = 0x1C;
    /// The method of an enhanced authentication.
    text authentication_method with_authentication_method = 0x15;
    /// Data of that method.
    data authentication_data with_authentication_data = 0x16;
}

impl ConnAckProperties {
    /// The highest QoS the server takes; absent is QoS 2.
    pub fn maximum_qos(&self) -> Option<QoS> {
        self.u8_of(0x24).and_then(QoS::from_u8)
    }

    /// Sets the highest QoS the server takes. QoS 2 is said by leaving the property out.
    #[must_use]
    pub fn with_maximum_qos(mut self, qos: QoS) -> Self {
        if qos == QoS::ExactlyOnce {
            self.remove(0x24);
            return self;
        }
        self.set(0x24, |out| out.put_u8(qos.as_u8()))
    }
}

accessors! { Ack:
    /// The reason in words, for logs.
    text reason_string with_reason_string = 0x1F;
}

accessors! { Disconnect:
    /// A new session expiry, in seconds; sent by clients only.
    u32 session_expiry_interval with_session_expiry_interval = 0x11;
    /// The reason in words, for logs.
    text reason_string with_reason_string = 0x1F;
    /// Another server to use.
    text server_reference with_server_reference = 0x1C;
}

accessors! { Auth:
    /// The method of the authentication.
    text authentication_method with_authentication_method = 0x15;
    /// Data of that method.
    data authentication_data with_authentication_data = 0x16;
    /// The reason in words, for logs.
    text reason_string with_reason_string = 0x1F;
}
