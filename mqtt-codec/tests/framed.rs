//! `Codec` in a `Framed` of tokio-util.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use futures_util::{SinkExt, StreamExt};
use mqttkit_codec::{
    Codec, Connect, EncodeError, FramedError, Packet, Publish, Str, Subscribe, TopicName, Version,
};
use tokio::io::AsyncWriteExt;
use tokio_util::codec::Framed;

fn publish() -> Publish {
    Publish::new(TopicName::try_from("a/b").unwrap(), "hello".into())
}

#[tokio::test]
async fn packets_pass_a_pipe_that_is_smaller_than_they_are() {
    let (near, far) = tokio::io::duplex(7);
    let mut client = Framed::new(near, Codec::new(Version::V5));
    let mut server = Framed::new(far, Codec::new(Version::V311));
    let connect = Connect::new(Version::V5, Str::try_from("client").unwrap());
    let sent = async {
        client.send(connect.clone().into()).await.unwrap();
        client.send(publish().into()).await.unwrap();
        client.send(Packet::PingReq).await.unwrap();
        client.close().await.unwrap();
    };
    let received = async {
        let mut packets = Vec::new();
        while let Some(packet) = server.next().await {
            packets.push(packet.unwrap());
        }
        packets
    };
    let ((), received) = tokio::join!(sent, received);
    assert_eq!(received, [connect.clone().into(), publish().into(), Packet::PingReq]);
    assert_eq!(server.codec().version(), Version::V5);
}

#[tokio::test]
async fn each_kind_of_error_comes_as_itself() {
    let (mut near, far) = tokio::io::duplex(64);
    let mut framed = Framed::new(far, Codec::new(Version::V311));
    let empty = Subscribe::new(mqttkit_codec::PacketId::new(1).unwrap(), []);
    let refused = framed.send(empty.into()).await;
    assert!(matches!(refused, Err(FramedError::Encode(EncodeError::EmptyList(_)))));
    framed.send(publish().into()).await.unwrap();

    near.write_all(&[0xc0]).await.unwrap();
    near.shutdown().await.unwrap();
    assert!(matches!(framed.next().await, Some(Err(FramedError::Io(_)))), "it ends within a packet");

    let (mut near, far) = tokio::io::duplex(64);
    let mut framed = Framed::new(far, Codec::new(Version::V311));
    near.write_all(&[0x00, 0x00]).await.unwrap();
    assert!(matches!(framed.next().await, Some(Err(FramedError::Decode(_)))));
}
