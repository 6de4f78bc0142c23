//! Whole messages, text too, against a peer made by hand: what Autobahn's cases ask in its sections 1 to 7, in short, for
//! machines on which the suite cannot run.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(feature = "tokio")]

mod support;

use mqttkit_ws_transport::ws::{WsFrames, WsLimits, WsLink, WsRole};
use mqttkit_ws_transport::{LinkError, LinkExt, TokioIo, Violation};
use support::raw::{BINARY, CLOSE, CONTINUE, PING, PONG, TEXT, frame, header};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

/// An echo of whole messages on one end of a pipe, in memory.
fn echo(role: WsRole) -> (DuplexStream, JoinHandle<Result<(), LinkError>>) {
    let (near, far) = duplex(1 << 20);
    let task = tokio::spawn(async move {
        let mut socket = WsFrames::new(TokioIo::new(far), role, Vec::new(), WsLimits::default());
        let result = async {
            while let Some(message) = socket.recv_message().await? {
                socket.send_message(message).await?;
            }
            Ok(())
        }
        .await;
        WsLink::new(socket).finish().await.ok();
        result
    });
    (near, task)
}

fn server_frame(fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    [header(fin, opcode, payload.len(), false), payload.to_vec()].concat()
}

/// What a server sends back for `input`, byte by byte or in one piece.
async fn answer(input: &[u8], step: usize) -> (Vec<u8>, Result<(), LinkError>) {
    let (mut peer, task) = echo(WsRole::Server);
    for part in input.chunks(step) {
        peer.write_all(part).await.unwrap();
        tokio::task::yield_now().await;
    }
    peer.shutdown().await.unwrap();
    let mut output = Vec::new();
    peer.read_to_end(&mut output).await.unwrap();
    (output, task.await.unwrap())
}

const BYE: [u8; 2] = 1000_u16.to_be_bytes();

#[tokio::test]
async fn messages_come_back_whole_and_pings_in_order() {
    let text = "Hello-µ@ßöäüàá-UTF-8!!";
    let long = vec![0xFE; 65_536];
    let (head, tail) = text.as_bytes().split_at(7);
    assert!(std::str::from_utf8(head).is_err(), "the fragment ends within a character");
    let cases = [
        (frame(true, TEXT, b""), server_frame(true, TEXT, b"")),
        (frame(true, BINARY, b""), server_frame(true, BINARY, b"")),
        (frame(true, TEXT, text.as_bytes()), server_frame(true, TEXT, text.as_bytes())),
        (frame(true, BINARY, &long[..125]), server_frame(true, BINARY, &long[..125])),
        (frame(true, BINARY, &long[..126]), server_frame(true, BINARY, &long[..126])),
        (frame(true, BINARY, &long[..65_535]), server_frame(true, BINARY, &long[..65_535])),
        (frame(true, BINARY, &long), server_frame(true, BINARY, &long)),
        (
            [
                frame(false, TEXT, head),
                frame(true, PING, b"p"),
                frame(false, CONTINUE, b""),
                frame(true, CONTINUE, tail),
            ]
            .concat(),
            [server_frame(true, PONG, b"p"), server_frame(true, TEXT, text.as_bytes())].concat(),
        ),
        (
            (0..10).flat_map(|i| frame(true, PING, &[i])).collect(),
            (0..10).flat_map(|i| server_frame(true, PONG, &[i])).collect(),
        ),
        (frame(true, PING, &[0xFE; 125]), server_frame(true, PONG, &[0xFE; 125])),
        (frame(true, PONG, b"unasked"), vec![]),
    ];
    for (input, expected) in cases {
        for step in [1, 997, input.len()] {
            let input = [&input[..], &frame(true, CLOSE, &BYE)].concat();
            let (output, result) = answer(&input, step).await;
            assert!(
                output == [&expected[..], &server_frame(true, CLOSE, &BYE)].concat(),
                "{} bytes",
                input.len()
            );
            result.unwrap();
        }
    }
}

#[tokio::test]
async fn violations_are_told_with_their_code() {
    let mut rsv2 = frame(true, TEXT, b"x");
    rsv2[0] |= 0x20;
    let mut rsv3 = frame(true, PING, b"x");
    rsv3[0] |= 0x10;
    let mut cases = vec![
        (rsv2, 1002, Violation::ReservedBits),
        (rsv3, 1002, Violation::ReservedBits),
        (frame(true, 7, b""), 1002, Violation::Opcode(7)),
        (frame(true, 15, b""), 1002, Violation::Opcode(15)),
        (frame(true, PING, &[0; 126]), 1002, Violation::LongControl),
        (frame(false, PONG, b""), 1002, Violation::FragmentedControl),
        (frame(false, CLOSE, &BYE), 1002, Violation::FragmentedControl),
        (frame(true, CONTINUE, b"x"), 1002, Violation::NothingToContinue),
        ([frame(false, TEXT, b"x"), frame(true, TEXT, b"y")].concat(), 1002, Violation::Interleaved),
        (server_frame(true, TEXT, b"x"), 1002, Violation::NotMasked),
        (frame(true, CLOSE, b"\x03"), 1002, Violation::BadClose),
        (frame(true, CLOSE, b"\x03\xE8\xCE\xBA\xE1\xBD\xB9\xED\xA0\x80"), 1007, Violation::InvalidUtf8),
        ([frame(false, TEXT, b"\xCE"), frame(true, CONTINUE, b"x")].concat(), 1007, Violation::InvalidUtf8),
        (frame(true, TEXT, b"cut \xE1\xBD"), 1007, Violation::InvalidUtf8),
        (frame(true, TEXT, b"\xED\xA0\x80"), 1007, Violation::InvalidUtf8),
    ];
    for code in [0_u16, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65_535] {
        cases.push((frame(true, CLOSE, &code.to_be_bytes()), 1002, Violation::BadClose));
    }
    for (input, code, expected) in cases {
        for step in [1, input.len()] {
            let (output, result) = answer(&input, step).await;
            assert_eq!(output[..1], [0x88], "{expected}: {output:?}");
            assert_eq!(u16::from_be_bytes([output[2], output[3]]), code, "{expected}");
            match result {
                Err(LinkError::Protocol(violation)) => assert_eq!(violation, expected),
                other => panic!("{expected}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn every_code_that_may_be_sent_is_taken_and_reaches_the_application() {
    for code in [1000_u16, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] {
        let close = [&code.to_be_bytes()[..], &[b'x'; 123]].concat();
        let (output, result) = answer(&frame(true, CLOSE, &close), 7).await;
        assert_eq!(output, server_frame(true, CLOSE, &close));
        match result {
            Ok(()) => assert!(code < 1002),
            Err(LinkError::ClosedByPeer(reason)) => {
                assert_eq!((reason.code(), reason.reason().len()), (code, 123));
            }
            other => panic!("{code}: {other:?}"),
        }
    }
}

/// Text fails at its first bad byte, in the middle of a frame whose rest never comes.
#[tokio::test]
async fn bad_text_is_not_waited_for() {
    for bad in [&b"ok \xCE\xBA\xFF"[..], b"\xF4\x90", b"\xC0", b"\xED\xA0"] {
        let (mut peer, task) = echo(WsRole::Server);
        let whole = frame(true, TEXT, &[bad, &[b'.'; 50]].concat());
        for byte in &whole[..whole.len() - 50] {
            peer.write_all(&[*byte]).await.unwrap();
        }
        let mut head = [0; 4];
        peer.read_exact(&mut head).await.unwrap();
        assert_eq!((head[0], u16::from_be_bytes([head[2], head[3]])), (0x88, 1007), "{bad:?}");
        drop(peer);
        assert!(matches!(task.await.unwrap(), Err(LinkError::Protocol(Violation::InvalidUtf8))));
    }
}

#[tokio::test]
async fn a_client_masks_each_frame_anew_and_refuses_masked_ones() {
    let (mut peer, task) = echo(WsRole::Client);
    let mut masks = std::collections::HashSet::new();
    for _ in 0..10 {
        peer.write_all(&server_frame(true, TEXT, b"hello")).await.unwrap();
        let mut back = [0; 11];
        peer.read_exact(&mut back).await.unwrap();
        assert_eq!(back[..2], [0x81, 0x85]);
        let text: Vec<u8> = (0..5).map(|i| back[6 + i] ^ back[2 + i % 4]).collect();
        assert_eq!(text, b"hello");
        masks.insert([back[2], back[3], back[4], back[5]]);
    }
    assert!(masks.len() > 8);
    peer.write_all(&frame(true, TEXT, b"hello")).await.unwrap();
    drop(peer);
    assert!(matches!(task.await.unwrap(), Err(LinkError::Protocol(Violation::Masked))));
}

/// RFC 6455 section 5.5.3 allows to answer only the latest ping; a peer that floods and reads nothing must not make us
/// buffer an answer for each.
#[tokio::test]
async fn a_flood_of_pings_is_not_hoarded() {
    let (near, far) = duplex(4096);
    let task = tokio::spawn(async move {
        let mut socket = WsFrames::new(TokioIo::new(far), WsRole::Server, Vec::new(), WsLimits::default());
        let last = socket.recv_message().await;
        // It has waited for the stream meanwhile; now all that is owed leaves.
        WsLink::new(socket).finish().await.ok();
        last
    });
    let (mut read, mut write) = tokio::io::split(near);
    // It takes all of them, though nobody reads the answers.
    for i in 0..50_000_u32 {
        write.write_all(&frame(true, PING, &i.to_be_bytes())).await.unwrap();
    }
    write.write_all(&frame(true, BINARY, b"done")).await.unwrap();
    write.write_all(&frame(true, CLOSE, &BYE)).await.unwrap();
    let mut output = Vec::new();
    read.read_to_end(&mut output).await.unwrap();
    assert!(task.await.unwrap().unwrap().is_some());
    assert!(output.len() < 64 * 1024, "{} bytes of answers", output.len());
    let latest = server_frame(true, PONG, &49_999_u32.to_be_bytes());
    assert!(output.windows(6).any(|window| window == latest), "the latest one is answered");
}
