//! A program without the standard library that uses the codec and both connections.
//!
//! It brings what `std` would: a panic handler and an allocator. If the codec or anything below it named `std`, there
//! would be two panic handlers, and the compiler refuses that (`duplicate lang item panic_impl`). So the host's own
//! target proves as much as an embedded one, whose compiler would have to be installed first. A static library is the
//! program whose linking is left to somebody else, who has a C start-up file.
#![no_std]

use core::panic::PanicInfo;

use bytes::{Buf, BytesMut};
use dlmalloc::GlobalDlmalloc;
use mqttkit_codec::{
    ClientConfig, ClientConnection, ClientEvent, ConnAck, Connect, Instant, Message, QoS, ReasonCode,
    ServerConfig, ServerConnection, ServerEvent, Session, Str, TopicName, Transmit, Version,
};

#[global_allocator]
static ALLOCATOR: GlobalDlmalloc = GlobalDlmalloc;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}

/// A client says something to a server: whether it was heard and acknowledged.
pub extern "C" fn exchange() -> bool {
    say_something().unwrap_or(false)
}

fn say_something() -> Option<bool> {
    let now = Instant::ZERO;
    let connect = Connect::new(Version::V5, Str::try_from("c").ok()?);
    let mut client = ClientConnection::new(ClientConfig::default(), connect, Session::new(), now).ok()?;
    let mut server = ServerConnection::new(ServerConfig::default(), now);
    let (mut up, mut down) = (BytesMut::new(), BytesMut::new());
    let mut heard = false;
    loop {
        carry(client.transmit(), &mut up);
        while let Some(event) = server.poll_event(now, &mut up) {
            match event {
                ServerEvent::Connect(_) => server.accept(now, ConnAck::accepted(false), Session::new()),
                ServerEvent::Publish { token, .. } => {
                    heard = true;
                    server.ack(now, token?, ReasonCode::Success);
                }
                _ => return None,
            }
        }
        carry(server.transmit(), &mut down);
        while let Some(event) = client.poll_event(now, &mut down) {
            match event {
                ClientEvent::Connected { .. } => {
                    let message =
                        Message::new(TopicName::try_from("t").ok()?, "m").with_qos(QoS::ExactlyOnce);
                    client.publish(now, message).ok()?;
                }
                ClientEvent::Acknowledged { .. } => return Some(heard),
                _ => return None,
            }
        }
    }
}

fn carry(from: &mut Transmit, to: &mut BytesMut) {
    while from.has_remaining() {
        let count = from.chunk().len();
        to.extend_from_slice(from.chunk());
        from.advance(count);
    }
}
