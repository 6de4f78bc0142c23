//! The WebSocket rules, seen by a peer that is made by hand: what it may do, what it may not, and what it is told.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(feature = "tokio")]

mod support;

use bytes::BytesMut;
use mqttkit_ws_transport::ws::WsLimits;
use mqttkit_ws_transport::{
    AcceptOptions, CloseReason, ConnectOptions, Endpoint, LinkError, LinkExt, Scheme, TokioRuntime,
    Violation, connect,
};
use support::raw::{BINARY, CLOSE, CONTINUE, PING, PONG, RawPeer, TEXT, frame, header, upgrade};
use support::{EchoServer, Noise};
use tokio::io::AsyncWriteExt;

async fn server() -> EchoServer {
    EchoServer::start(Scheme::Ws, AcceptOptions::new()).await
}

/// A server and an open raw peer of it.
async fn open() -> (EchoServer, RawPeer) {
    let mut server = server().await;
    let peer = RawPeer::open(server.address).await;
    server.link().await;
    (server, peer)
}

#[tokio::test]
async fn frames_are_a_byte_stream() {
    let (_server, mut peer) = open().await;
    // Two packets in one frame, one packet over two frames, one in fragments with a ping between: all just bytes.
    let mut sent = frame(true, BINARY, b"abcd");
    sent.extend(frame(true, BINARY, b"e"));
    sent.extend(frame(false, BINARY, b"fg"));
    sent.extend(frame(true, PING, b"now"));
    sent.extend(frame(false, CONTINUE, b""));
    sent.extend(frame(true, CONTINUE, b"h"));
    for byte in sent {
        peer.send([byte]).await;
    }
    let (mut data, mut pongs) = (Vec::new(), Vec::new());
    while data.len() < 8 {
        match peer.frame().await.unwrap() {
            (BINARY, payload) => data.extend(payload),
            (PONG, payload) => pongs.push(payload),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((data.as_slice(), pongs.as_slice()), (&b"abcdefgh"[..], &[b"now".to_vec()][..]));
}

#[tokio::test]
async fn empty_frames_and_pings_are_not_the_end() {
    let (_server, mut peer) = open().await;
    peer.send(frame(true, BINARY, b"")).await;
    peer.send(frame(true, PONG, b"unasked")).await;
    peer.send(frame(true, PING, b"")).await;
    assert_eq!(peer.frame().await, Some((PONG, vec![])));
    peer.send(frame(true, PING, &[7; 125])).await;
    assert_eq!(peer.frame().await, Some((PONG, vec![7; 125])));
    // More control frames than one poll handles.
    let mut many: Vec<u8> = (0..500).flat_map(|_| frame(true, BINARY, b"")).collect();
    many.extend(frame(true, BINARY, b"still here"));
    peer.send(many).await;
    assert_eq!(peer.frame().await, Some((BINARY, b"still here".to_vec())));
}

#[tokio::test]
async fn the_pong_leaves_while_the_application_only_receives() {
    let (_server, mut peer) = open().await;
    for _ in 0..3 {
        peer.send(frame(true, PING, b"alive?")).await;
        assert_eq!(peer.frame().await, Some((PONG, b"alive?".to_vec())));
    }
}

#[tokio::test]
async fn frames_behind_the_request_are_not_lost() {
    let mut server = server().await;
    let mut peer = RawPeer::connect(server.address).await;
    let mut eager = upgrade("/mqtt").into_bytes();
    eager.extend(frame(true, BINARY, b"too early"));
    peer.send(eager).await;
    peer.read_head().await;
    assert_eq!(peer.frame().await, Some((BINARY, b"too early".to_vec())));
    server.link().await;
}

/// [MQTT-6.0.0-1]
#[tokio::test]
async fn text_closes_with_1003() {
    let (mut server, mut peer) = open().await;
    peer.send(frame(true, TEXT, b"hello")).await;
    assert_eq!(peer.close_code().await, 1003);
    peer.stream.shutdown().await.unwrap();
    assert!(matches!(server.ended().await.0, Err(LinkError::TextFrame)));
    assert_eq!(peer.frame().await, None, "the stream ends after the close frame");
}

#[tokio::test]
async fn violations_close_with_1002_and_are_named() {
    let unmasked = [header(true, BINARY, 2, false), b"ab".to_vec()].concat();
    let mut reserved = frame(true, BINARY, b"x");
    reserved[0] |= 0x40;
    let cases = [
        (unmasked, Violation::NotMasked),
        (reserved, Violation::ReservedBits),
        (frame(true, 3, b""), Violation::Opcode(3)),
        (frame(true, 11, b""), Violation::Opcode(11)),
        (frame(false, PING, b""), Violation::FragmentedControl),
        (frame(true, PING, &[0; 126]), Violation::LongControl),
        (frame(true, CONTINUE, b"x"), Violation::NothingToContinue),
        ([frame(false, BINARY, b"x"), frame(true, BINARY, b"y")].concat(), Violation::Interleaved),
        (frame(true, CLOSE, &[3]), Violation::BadClose),
    ];
    for (bytes, expected) in cases {
        let (mut server, mut peer) = open().await;
        peer.send(bytes).await;
        assert_eq!(peer.close_code_at_last().await, 1002, "{expected}");
        drop(peer);
        match server.ended().await.0 {
            Err(LinkError::Protocol(violation)) => assert_eq!(violation, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn oversized_messages_are_refused_with_1009() {
    let limits = WsLimits::default().max_message_size(1_000);
    let fragments = [frame(false, BINARY, &[0; 600]), frame(true, CONTINUE, &[0; 600])].concat();
    // One is refused by its announced length alone, though it claims more than fits into memory.
    let immense = [header(true, BINARY, 1 << 60, true), vec![0; 4]].concat();
    for bytes in [frame(true, BINARY, &[0; 1_001]), immense, fragments] {
        let mut server = EchoServer::start(Scheme::Ws, AcceptOptions::new().limits(limits)).await;
        let mut peer = RawPeer::open(server.address).await;
        server.link().await;
        peer.send(frame(true, BINARY, &[1; 1_000])).await;
        assert_eq!(peer.frame().await, Some((BINARY, vec![1; 1_000])));
        peer.send(bytes).await;
        assert_eq!(peer.close_code_at_last().await, 1009);
        drop(peer);
        assert!(matches!(server.ended().await.0, Err(LinkError::MessageTooLarge { limit: 1_000, .. })));
    }
}

/// A peer that is still sending must be able to read why it is refused, instead of a reset.
#[tokio::test]
async fn the_refusal_reaches_a_peer_that_is_still_sending() {
    let limits = WsLimits::default().max_message_size(1_000);
    let mut server = EchoServer::start(Scheme::Ws, AcceptOptions::new().limits(limits)).await;
    let mut peer = RawPeer::open(server.address).await;
    server.link().await;
    peer.send(frame(true, BINARY, &Noise::new(1).bytes(3 << 20))).await;
    assert_eq!(peer.close_code().await, 1009);
    peer.stream.shutdown().await.unwrap();
    assert_eq!(peer.frame().await, None);
    assert!(
        matches!(server.ended().await.0, Err(LinkError::MessageTooLarge { size, .. }) if size == 3 << 20)
    );
}

#[tokio::test]
async fn a_normal_close_is_a_clean_end_and_is_answered() {
    for payload in [&b""[..], &[0x03, 0xE8], &[0x03, 0xE9, b'b', b'y', b'e']] {
        let (mut server, mut peer) = open().await;
        peer.send(frame(true, CLOSE, payload)).await;
        let (opcode, answer) = peer.frame().await.unwrap();
        assert_eq!((opcode, answer.as_slice()), (CLOSE, payload));
        assert_eq!(peer.frame().await, None, "the server ends the connection first");
        let (result, reason) = server.ended().await;
        result.unwrap();
        let code = if payload.is_empty() { 1005 } else { 0x0300 | u16::from(payload[1]) };
        assert_eq!(reason.unwrap().code(), code);
    }
}

#[tokio::test]
async fn a_complaint_of_the_peer_is_an_error_with_its_words() {
    let (mut server, mut peer) = open().await;
    peer.send(frame(true, CLOSE, &[0x03, 0xF0, b'n', b'o'])).await;
    assert_eq!(peer.close_code().await, 1008);
    match server.ended().await.0 {
        Err(LinkError::ClosedByPeer(reason)) => assert_eq!((reason.code(), reason.reason()), (1008, "no")),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_end_without_close_frame_is_abrupt() {
    let (mut server, peer) = open().await;
    drop(peer);
    assert!(matches!(server.ended().await.0, Err(LinkError::ClosedAbruptly)));
}

#[tokio::test]
async fn our_close_gives_the_code_that_was_set() {
    for (reason, code) in
        [(None, 1000), (Some(CloseReason::GOING_AWAY), 1001), (CloseReason::new(4001, "x"), 4001)]
    {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint: Endpoint = format!("ws://{}", listener.local_addr().unwrap()).parse().unwrap();
        let theirs = tokio::spawn(accept_with_tungstenite(listener));
        let mut link = connect(&TokioRuntime::new(), &endpoint, &ConnectOptions::new()).await.unwrap();
        if let Some(reason) = reason {
            use mqttkit_ws_transport::Link;
            link.set_close_reason(reason);
        }
        link.finish().await.unwrap();
        let mut buf = BytesMut::new();
        assert_eq!(link.recv(&mut buf).await.unwrap(), 0);
        assert!(matches!(link.send_all(&mut &b"late"[..]).await, Err(LinkError::Closed)));
        assert_eq!(theirs.await.unwrap(), code);
    }
}

/// A server made of plain tokio-tungstenite; gives the close code it received.
async fn accept_with_tungstenite(listener: tokio::net::TcpListener) -> u16 {
    use futures_util::StreamExt;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
    let (stream, _) = listener.accept().await.unwrap();
    #[expect(clippy::result_large_err, reason = "the shape of tungstenite's callback")]
    let choose = |_: &Request, mut response: Response| {
        response.headers_mut().insert("Sec-WebSocket-Protocol", "mqtt".parse().unwrap());
        Ok(response)
    };
    let mut ws = tokio_tungstenite::accept_hdr_async(stream, choose).await.unwrap();
    let mut code = 0;
    while let Some(message) = ws.next().await {
        if let Message::Close(Some(frame)) = message.unwrap() {
            code = frame.code.into();
        }
    }
    code
}

/// Ours against a plain tokio-tungstenite client.
#[tokio::test]
async fn a_tungstenite_client_gets_its_echo() {
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};
    let mut server = server().await;
    let mut request = format!("ws://{}/mqtt", server.address).into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", "mqtt".parse().unwrap());
    let stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let (mut ws, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    let data = Noise::new(5).bytes(100_000);
    ws.send(Message::binary(data.clone())).await.unwrap();
    let mut back = Vec::new();
    while back.len() < data.len() {
        back.extend(ws.next().await.unwrap().unwrap().into_data());
    }
    assert!(back == data);
    ws.close(None).await.unwrap();
    assert!(matches!(ws.next().await, Some(Ok(Message::Close(_)))));
    assert!(ws.next().await.is_none());
    server.link().await;
    server.ended().await.0.unwrap();
}

/// A client that sends without reading must not make the server buffer without bound, and nothing is lost when it
/// reads at last.
#[tokio::test]
async fn back_pressure_reaches_the_peer() {
    let (_server, mut peer) = open().await;
    let data = Noise::new(9).bytes(100_000);
    let message = frame(true, BINARY, &data);
    let mut sent = 0;
    // The echo fills both directions until the server stops reading.
    while tokio::time::timeout(std::time::Duration::from_millis(300), peer.stream.write_all(&message))
        .await
        .is_ok()
    {
        sent += 1;
        assert!(sent < 2_000, "the server takes everything and reads no answer");
    }
    let mut back = 0;
    while back < sent * data.len() {
        match peer.frame().await.unwrap() {
            (BINARY, payload) => {
                assert_eq!(payload[0], data[back % data.len()]);
                back += payload.len();
            }
            other => panic!("{other:?}"),
        }
    }
}
