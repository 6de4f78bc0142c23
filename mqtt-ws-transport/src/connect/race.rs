//! Choosing among the addresses of a host: one after the other, without waiting long for any.
//!
//! After RFC 8305 in short: the families alternate, each attempt gets a head start of 250 ms before the next joins
//! in, the first connection wins and the others are dropped.

use super::ConnectError;
use crate::rt::{Runtime, Sleep};
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

const HEAD_START: Duration = Duration::from_millis(250);

type Attempt<'a, S> = Pin<Box<dyn Future<Output = io::Result<S>> + Send + 'a>>;

/// Connects to the first of `addresses` that accepts.
pub(crate) async fn connect<R: Runtime>(
    runtime: &R,
    addresses: Vec<SocketAddr>,
) -> Result<R::Stream, ConnectError> {
    let mut waiting = alternate(addresses).into_iter();
    let mut running: Vec<(SocketAddr, Attempt<'_, R::Stream>)> = Vec::new();
    let mut failed = Vec::new();
    let mut head_start = runtime.sleep(HEAD_START);
    poll_fn(|cx| {
        loop {
            let failures = failed.len();
            let mut i = 0;
            while i < running.len() {
                match running[i].1.as_mut().poll(cx) {
                    Poll::Ready(Ok(stream)) => return Poll::Ready(Ok(stream)),
                    Poll::Ready(Err(error)) => failed.push((running.remove(i).0, error)),
                    Poll::Pending => i += 1,
                }
            }
            if waiting.as_slice().is_empty() {
                if running.is_empty() {
                    return Poll::Ready(Err(ConnectError::Tcp { attempts: std::mem::take(&mut failed) }));
                }
                // Nobody is left to wait for a turn; a timer that has ended must not be polled again.
                return Poll::Pending;
            }
            let hurry = running.is_empty() || failed.len() > failures;
            if !hurry && Pin::new(&mut head_start).poll(cx).is_pending() {
                return Poll::Pending;
            }
            if let Some(address) = waiting.next() {
                running.push((address, Box::pin(runtime.connect(address))));
            }
            head_start.reset(runtime.now().saturating_add(HEAD_START));
        }
    })
    .await
}

/// The order of the resolver, with the families taking turns.
fn alternate(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut ordered = Vec::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    loop {
        match (first.next(), second.next()) {
            (None, None) => return ordered,
            (a, b) => ordered.extend(a.into_iter().chain(b)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::alternate;
    use std::net::SocketAddr;

    #[test]
    fn families_take_turns() {
        let parse = |list: &[&str]| list.iter().map(|a| a.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let given = parse(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"]);
        assert_eq!(alternate(given), parse(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]));
        assert!(alternate(Vec::new()).is_empty());
    }
}
