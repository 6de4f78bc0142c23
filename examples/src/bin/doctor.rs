//! Why does my URL not work, and which one does?

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use mqttkit_ws_transport::doctor::{Report, diagnose};
use mqttkit_ws_transport::http::{HeaderName, HeaderValue};
use mqttkit_ws_transport::tls::ClientTls;
use mqttkit_ws_transport::{ConnectOptions, TokioRuntime};

/// Opens an MQTT session step by step and says what is wrong
///
/// Exit codes: 0 all is well, 1 another failure, 2 wrong arguments of this program;
/// 10 the URL;
/// 20 the name is not found;
/// 30 refused, 31 unreachable, 32 nobody answers, 33 no way through the proxy;
/// 40 TLS, 41 certificate for another name, 42 expired, 43 not yet valid, 44 unknown issuer,
/// 45 client certificate required, 46 client certificate refused, 47 TLS to a plain port, 48 plain to a TLS port;
/// 50 upgrade, 51 wrong path, 52 sub-protocol, 53 redirect, 54 credentials or permission (401, 403),
/// 55 proxy credentials (407), 56 server error (5xx), 57 a page instead of an upgrade,
/// 58 WebSocket to an MQTT port, 59 MQTT to an HTTP or WebSocket port;
/// 60 refused by the broker, 61 not MQTT, 62 CONNECT not answered.
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
struct Arguments {
    /// Where to: mqtt://, mqtts://, ws:// or wss://; user and password may be in it
    url: String,
    /// Give up a step after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    timeout: u64,
    /// Send this with the upgrade, as "Name: value"; may be repeated
    #[arg(short = 'H', long, value_name = "HEADER", value_parser = header)]
    header: Vec<(HeaderName, HeaderValue)>,
    /// Trust the CA certificates in this PEM file, and no others
    #[arg(long, value_name = "FILE")]
    cafile: Option<String>,
    /// Show this certificate chain (PEM) when the server asks for one
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<String>,
    /// The private key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match examine(Arguments::parse()).await {
        Ok(report) => {
            println!("{report}");
            ExitCode::from(report.exit_code())
        }
        Err(problem) => {
            eprintln!("doctor: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn examine(arguments: Arguments) -> Result<Report, String> {
    let mut options = ConnectOptions::new().timeout(Duration::from_secs(arguments.timeout)).proxy_from_env();
    for (name, value) in arguments.header {
        options = options.header(name, value);
    }
    if arguments.cafile.is_some() || arguments.cert.is_some() {
        let mut tls = ClientTls::new();
        if let Some(file) = arguments.cafile {
            tls = tls.ca_file(file).only_given_cas();
        }
        if let (Some(certificate), Some(key)) = (arguments.cert, arguments.key) {
            tls = tls.identity_files(certificate, key);
        }
        options = options.tls(tls.build().map_err(|error| error.to_string())?);
    }
    Ok(diagnose(&TokioRuntime::new(), &arguments.url, &options).await)
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write it as \"Name: value\"")?;
    let name = name.trim().parse().map_err(|_| format!("\"{name}\" is not the name of a header"))?;
    let value = value.trim().parse().map_err(|_| "the value cannot be sent".to_owned())?;
    Ok((name, value))
}
