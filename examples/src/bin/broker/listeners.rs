//! The listening sockets: what the settings want, opened, and closed again when they want it no more.

use mqttkit_broker_core::{Broker, Config, Listen, Listening};
use mqttkit_ws_transport::tls::{ClientAuth, ReloadableTls, Revocation, ServerTls, TlsVersion, self_signed};
use mqttkit_ws_transport::ws::{KeepAlive, PacketsPerFrame, WsLimits};
use mqttkit_ws_transport::{AcceptOptions, Cidr, ForwardedHeader, ProxyProtocol};
use tracing::{error, info, warn};

use crate::file::{self, AddressHeader, Demand, Listener, Scheme, Tls, is_set};
use crate::page;

/// Those that are open, and the certificates that they show.
#[derive(Default)]
pub(crate) struct Listeners {
    open: Vec<(Listener, Listening)>,
    certificates: Vec<(Tls, ReloadableTls)>,
}

impl Listeners {
    /// Finds everything that can be wrong before the first socket opens.
    pub(crate) fn check(&mut self, wanted: &[Listener], config: &Config) -> Result<(), String> {
        wanted.iter().try_for_each(|listener| self.listen(listener, config).map(drop))
    }

    /// Opens all.
    pub(crate) async fn open(&mut self, broker: &Broker, wanted: &[Listener]) -> Result<(), String> {
        for listener in wanted {
            self.open_one(broker, listener).await?;
        }
        Ok(())
    }

    /// Closes what is not wanted any more and opens what is new; connections live on. What fails is said, and the rest
    /// goes on.
    pub(crate) async fn change_to(&mut self, broker: &Broker, wanted: &[Listener]) {
        // What cannot be opened must not close what is open.
        if let Err(problem) = self.check(wanted, broker.config()) {
            warn!("the listeners stay as they were: {problem}");
            return;
        }
        for (listener, listening) in std::mem::take(&mut self.open) {
            if wanted.contains(&listener) {
                self.open.push((listener, listening));
            } else {
                listening.stop().await;
                info!(listener = listener.display_name(), "closed");
            }
        }
        for listener in wanted {
            if !self.open.iter().any(|(open, _)| open == listener)
                && let Err(problem) = self.open_one(broker, listener).await
            {
                error!("{problem}");
            }
        }
        let Self { open, certificates } = self;
        certificates.retain(|(tls, _)| open.iter().any(|(listener, _)| listener.tls.as_ref() == Some(tls)));
    }

    /// Reads the certificates and their lists again; connections live on.
    pub(crate) fn reload_certificates(&self) {
        for (_, tls) in &self.certificates {
            match tls.reload() {
                Ok(()) => info!("the certificate and its lists were read again"),
                Err(error) => warn!("the old certificate stays: {error}"),
            }
        }
    }

    /// The port of the page, if there is one.
    pub(crate) fn page_port(&self) -> Option<u16> {
        let serves = |(listener, _): &&(Listener, Listening)| {
            listener.page && matches!(listener.scheme, Scheme::Ws | Scheme::Any)
        };
        self.open.iter().rfind(serves).map(|(_, listening)| listening.local_addr().port())
    }

    async fn open_one(&mut self, broker: &Broker, listener: &Listener) -> Result<(), String> {
        let listen = self.listen(listener, broker.config())?;
        let scheme = listener.scheme.name();
        let listening = broker.listen(listen).await.map_err(|error| format!("--{scheme}: {error}"))?;
        println!("listening {scheme} {}", listening.local_addr());
        self.open.push((listener.clone(), listening));
        Ok(())
    }

    fn listen(&mut self, listener: &Listener, config: &Config) -> Result<Listen, String> {
        let mut options = options(listener, config)?;
        if let Some(tls) = &listener.tls {
            options = options.tls(self.certificate(tls)?);
        }
        let address = listener.address.0;
        let listen = match listener.scheme {
            Scheme::Tcp => Listen::tcp(address),
            Scheme::Ws => Listen::ws(address),
            Scheme::Tls => Listen::tls(address),
            Scheme::Wss => Listen::wss(address),
            Scheme::Any => Listen::any(address),
        };
        Ok(listen.options(options).sniff(listener.sniff).named(&listener.display_name()))
    }

    /// Listeners with the same settings show the same certificate, which matters for one that is made here.
    fn certificate(&mut self, tls: &Tls) -> Result<&ReloadableTls, String> {
        let known = self.certificates.iter().position(|(known, _)| known == tls);
        let index = known.unwrap_or(self.certificates.len());
        if known.is_none() {
            let made = ReloadableTls::new(server_tls(tls)?).map_err(|error| error.to_string())?;
            self.certificates.push((tls.clone(), made));
        }
        Ok(&self.certificates[index].1)
    }
}

fn options(listener: &Listener, config: &Config) -> Result<AcceptOptions, String> {
    let proxies = listener
        .trusted_proxies
        .iter()
        .map(|network| network.parse::<Cidr>())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("{}: {error}", listener.display_name()))?;
    let proxy_protocol = match listener.proxy_protocol {
        Demand::Off => ProxyProtocol::Off,
        Demand::Optional => ProxyProtocol::Optional,
        Demand::Required => ProxyProtocol::Required,
    };
    let packets = match listener.packets_per_frame {
        file::PacketsPerFrame::Many => PacketsPerFrame::Many,
        file::PacketsPerFrame::Single => PacketsPerFrame::Single,
    };
    // Clients send a packet in one message; a little more than that for those that gather.
    let message = listener.max_message_size.unwrap_or(config.max_packet_size as usize + (64 << 10));
    let limits = WsLimits::default().max_message_size(message);
    let keep_alive =
        listener.ping_interval.map(|interval| KeepAlive::every(interval).pong_within(listener.pong_timeout));
    let mut options = AcceptOptions::new()
        .handshake_timeout(listener.handshake_timeout)
        .trusted_proxies(proxies)
        .proxy_protocol(proxy_protocol)
        .require_origin(listener.require_origin)
        .require_subprotocol(listener.require_subprotocol)
        .packets_per_frame(packets)
        .keep_alive(keep_alive)
        .max_head_size(listener.max_head_size)
        .limits(limits.max_frame_size(listener.max_frame_size.unwrap_or(message)));
    options = if listener.path_prefix {
        options.path_prefix(listener.path.as_str())
    } else {
        options.path(listener.path.as_str())
    };
    if listener.page {
        options = options.http(page::handler());
    }
    if !listener.origins.is_empty() {
        options = options.origins(&listener.origins);
    }
    options = match listener.client_address_from {
        AddressHeader::Off => options,
        AddressHeader::XForwardedFor => options.client_address_from(ForwardedHeader::XForwardedFor),
        AddressHeader::XRealIp => options.client_address_from(ForwardedHeader::XRealIp),
        AddressHeader::Forwarded => options.client_address_from(ForwardedHeader::Forwarded),
    };
    if let Some(limit) = listener.max_connections {
        options = options.max_connections(limit);
    }
    if let Some(limit) = listener.max_handshakes {
        options = options.max_handshakes(limit);
    }
    if let Some(limit) = listener.max_connections_per_address {
        options = options.max_connections_per_address(limit);
    }
    Ok(options)
}

fn server_tls(tls: &Tls) -> Result<ServerTls, String> {
    let mut server = if tls.self_signed {
        let made = self_signed(&[]).map_err(|error| error.to_string())?;
        if is_set(&tls.write_certificate) {
            std::fs::write(&tls.write_certificate, &made.certificate_pem).map_err(|error| {
                format!("cannot write the certificate to {}: {error}", tls.write_certificate.display())
            })?;
        }
        ServerTls::from_pem(made.certificate_pem, made.key_pem)
    } else {
        ServerTls::from_files(&tls.certificate, &tls.key)
    };
    for pair in &tls.more {
        server = server.also_files(&pair.certificate, &pair.key);
    }
    if is_set(&tls.client_ca) {
        server = match tls.client_certificate {
            Demand::Off => server,
            Demand::Optional => server.client_ca_file(&tls.client_ca, ClientAuth::Optional),
            Demand::Required => server.client_ca_file(&tls.client_ca, ClientAuth::Required),
        };
    }
    for list in &tls.client_crl {
        server = server.client_crl_file(list);
    }
    let revocation = Revocation::new()
        .only_end_entity(tls.crl_only_end_entity)
        .allow_uncovered(tls.crl_allow_uncovered)
        .refuse_outdated(tls.crl_refuse_outdated);
    let versions = tls.versions.iter().map(|version| match version {
        file::TlsVersion::V1_2 => TlsVersion::V1_2,
        file::TlsVersion::V1_3 => TlsVersion::V1_3,
    });
    Ok(server.revocation(revocation).versions(versions).alpn(tls.alpn.iter().map(String::as_str)))
}
