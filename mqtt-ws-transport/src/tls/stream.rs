//! The encrypted stream: tokio-rustls over our byte seam.
//!
//! tokio-rustls needs tokio's IO traits and nothing of its runtime, so that this one implementation serves every
//! runtime; on tokio's own sockets the adapters compile to nothing.

use super::{TlsError, TlsInfo};
use crate::io::{ByteStream, TokioIo};
use crate::url::Host;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion, ServerConfig};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A TLS session over the byte stream `S`, of either side.
#[derive(Debug)]
pub struct TlsStream<S>(TokioIo<tokio_rustls::TlsStream<Compat<S>>>);

impl<S: ByteStream> TlsStream<S> {
    /// The stream below.
    pub fn get_ref(&self) -> &S {
        &self.0.get_ref().get_ref().0.0
    }

    /// What was agreed on, and who the client is.
    pub fn info(&self) -> TlsInfo {
        let (_, session) = self.0.get_ref().get_ref();
        let server_name = match self.0.get_ref() {
            tokio_rustls::TlsStream::Server(stream) => stream.get_ref().1.server_name().map(str::to_owned),
            tokio_rustls::TlsStream::Client(_) => None,
        };
        TlsInfo {
            server_name,
            client_certificates: match self.0.get_ref() {
                tokio_rustls::TlsStream::Server(_) => session
                    .peer_certificates()
                    .unwrap_or_default()
                    .iter()
                    .map(|certificate| certificate.to_vec())
                    .collect(),
                tokio_rustls::TlsStream::Client(_) => Vec::new(),
            },
            alpn: session.alpn_protocol().map(<[u8]>::to_vec),
            version: session.protocol_version().and_then(|version| match version {
                ProtocolVersion::TLSv1_2 => Some("TLSv1_2"),
                ProtocolVersion::TLSv1_3 => Some("TLSv1_3"),
                _ => None,
            }),
            resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }
}

/// The client's side of the handshake with `host`.
pub(crate) async fn connect<S: ByteStream>(
    stream: S,
    host: &Host,
    config: Arc<ClientConfig>,
) -> Result<TlsStream<S>, TlsError> {
    let name = match host {
        Host::Ip(ip) => ServerName::IpAddress((*ip).into()),
        // A fully qualified name may end with a dot in DNS, but not in a certificate.
        Host::Name(name) => ServerName::try_from(name.trim_end_matches('.').to_owned())
            .map_err(|_| TlsError::WrongName { expected: name.clone(), presented: Vec::new() })?,
    };
    let connector = tokio_rustls::TlsConnector::from(config);
    let stream = connector.connect(name, Compat(stream)).await.map_err(TlsError::from_handshake)?;
    Ok(TlsStream(TokioIo::new(tokio_rustls::TlsStream::Client(stream))))
}

/// The server's side of the handshake.
pub(crate) async fn accept<S: ByteStream>(
    stream: S,
    config: Arc<ServerConfig>,
) -> Result<TlsStream<S>, TlsError> {
    let acceptor = tokio_rustls::TlsAcceptor::from(config);
    let stream = acceptor.accept(Compat(stream)).await.map_err(TlsError::from_handshake)?;
    Ok(TlsStream(TokioIo::new(tokio_rustls::TlsStream::Server(stream))))
}

impl<S: ByteStream> ByteStream for TlsStream<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.0.poll_read(cx, buf)
    }
    fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, data)
    }
    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write_vectored(cx, slices)
    }
    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(cx)
    }
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_shutdown(cx)
    }
}

/// A [`ByteStream`] with tokio's IO traits.
#[derive(Debug)]
struct Compat<S>(S);

impl<S: ByteStream> AsyncRead for Compat<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // rustls reads into memory that is initialised already, so nothing is cleared here.
        let n = ready!(self.0.poll_read(cx, buf.initialize_unfilled()))?;
        buf.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl<S: ByteStream> AsyncWrite for Compat<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, data)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_shutdown(cx)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write_vectored(cx, slices)
    }
    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
}
