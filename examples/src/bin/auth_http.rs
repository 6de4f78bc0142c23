//! A broker whose clients another server knows: it is asked over HTTP who may connect, and says what they may do.
//!
//! The question is a POST with the client identifier, user name and password, as a form. The answer to somebody who may
//! connect is 200, with a line for each thing they may do:
//!
//! ```text
//! publish sensors/ada/#
//! subscribe news/#
//! valid 3600
//! ```
//!
//! 401 and 403 keep them out; after the seconds of `valid` they must connect again. The answer travels with the client, so
//! that no message ever waits for the other server. A token is looked into in the same way, with less waiting.

use std::process::ExitCode;
use std::time::Duration;

use mqttkit_broker_core::{
    Action, Admission, BoxFuture, Broker, Client, ConnectRequest, Decision, Identity, Limits, Listen, Policy,
    ReasonCode, Refusal, TopicFilter,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::main]
async fn main() -> ExitCode {
    let Some((host, path)) = std::env::args().nth(1).as_deref().and_then(split_url) else {
        eprintln!("usage: auth_http http://HOST:PORT/PATH");
        return ExitCode::FAILURE;
    };
    let broker = Broker::builder().policy(AskHttp { host, path }).build();
    match broker.listen(Listen::tcp(([127, 0, 0, 1], 1883))).await {
        Ok(listening) => println!("listening on {}; ctrl-c ends this", listening.local_addr()),
        Err(error) => {
            eprintln!("auth_http: {error}");
            return ExitCode::FAILURE;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
    broker.shutdown(Duration::from_secs(1)).await;
    ExitCode::SUCCESS
}

/// Asks a server about each client that connects.
struct AskHttp {
    /// With the port.
    host: String,
    path: String,
}

/// What one client may do, as the server said when it came.
#[derive(Debug, Default, PartialEq)]
struct Permissions {
    publish: Vec<TopicFilter>,
    subscribe: Vec<TopicFilter>,
    valid: Option<Duration>,
}

impl Policy for AskHttp {
    fn authenticate<'a>(&'a self, request: ConnectRequest<'a>) -> BoxFuture<'a, Result<Admission, Refusal>> {
        Box::pin(async move {
            if request.exchange.is_some() {
                return Err(Refusal::unknown_method());
            }
            let connect = request.connect;
            let user = connect.user_name.as_ref().ok_or_else(Refusal::unknown)?;
            let password = connect.password.as_deref().unwrap_or_default();
            let form = format!(
                "client={}&user={}&password={}",
                escape(connect.client_id.as_bytes()),
                escape(user.as_bytes()),
                escape(password)
            );
            // It may take as long as `Config::authenticate_timeout`: then this future is dropped.
            let (status, body) =
                self.post(&form).await.map_err(|_| Refusal::new(ReasonCode::ServerUnavailable))?;
            match status {
                200 => {
                    let permissions =
                        Permissions::parse(&body).ok_or(Refusal::new(ReasonCode::ServerUnavailable))?;
                    let mut limits = Limits::default();
                    limits.valid_for = permissions.valid;
                    Ok(Admission::new(Identity::named(user)).with_limits(limits).with_data(permissions))
                }
                401 | 403 => Err(Refusal::new(ReasonCode::BadUserNameOrPassword)),
                _ => Err(Refusal::new(ReasonCode::ServerUnavailable)),
            }
        })
    }

    fn authorise(&self, client: &Client, action: &Action<'_>) -> Decision {
        let Some(permissions) = client.data::<Permissions>() else { return Decision::NO };
        Decision::from(match action {
            Action::Publish(message) => {
                permissions.publish.iter().any(|filter| filter.matches(&message.topic))
            }
            Action::Subscribe(subscription) => permissions.subscribe.contains(&subscription.filter),
            _ => false,
        })
    }
}

impl AskHttp {
    /// The status and the body of the answer.
    async fn post(&self, form: &str) -> std::io::Result<(u16, String)> {
        let Self { host, path } = self;
        let length = form.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{form}"
        );
        let mut stream = TcpStream::connect(host).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.take(LONGEST).read_to_string(&mut answer).await?;
        let parsed = || {
            let (head, body) = answer.split_once("\r\n\r\n")?;
            Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
        };
        parsed().ok_or_else(|| std::io::ErrorKind::InvalidData.into())
    }
}

/// Bytes of the longest answer.
const LONGEST: u64 = 64 << 10;

impl Permissions {
    fn parse(text: &str) -> Option<Self> {
        let mut permissions = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            match line.split_once(' ')? {
                ("publish", filter) => permissions.publish.push(filter.try_into().ok()?),
                ("subscribe", filter) => permissions.subscribe.push(filter.try_into().ok()?),
                ("valid", seconds) => permissions.valid = Some(Duration::from_secs(seconds.parse().ok()?)),
                _ => return None,
            }
        }
        Some(permissions)
    }
}

/// For a form: everything but letters and digits as `%XX`.
fn escape(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() {
            text.push(char::from(byte));
        } else {
            text.push('%');
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
            }
        }
    }
    text
}

fn split_url(url: &str) -> Option<(String, String)> {
    let rest = url.strip_prefix("http://")?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    Some((host, if path.is_empty() { "/".to_owned() } else { path.to_owned() }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use mqttkit_client::{Client as Mqtt, ConnectError, Messages, QoS};
    use tokio::net::TcpListener;

    use super::*;

    /// Knows Ada, and takes a moment for it.
    async fn serve(listener: TcpListener) {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(&request[..length]);
            assert!(request.starts_with("POST /who HTTP/1.1\r\n"), "{request}");
            tokio::time::sleep(Duration::from_millis(5)).await;
            let answer = if request.ends_with("\r\n\r\nclient=c%2D1&user=ada&password=s%26cret") {
                "HTTP/1.1 200 OK\r\n\r\npublish sensors/ada/#\nsubscribe news/#\nvalid 3600\n"
            } else {
                "HTTP/1.1 403 Forbidden\r\n\r\n"
            };
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }

    async fn connect(url: &str, user: &str, password: &str) -> Result<(Mqtt, Messages), ConnectError> {
        let (user, password) = (user.to_owned(), password.to_owned());
        Mqtt::builder(url).client_id("c-1").user_name(user).password(password).connect().await
    }

    #[tokio::test]
    async fn the_other_server_decides_who_may_come_and_what_they_may_do() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        tokio::spawn(serve(listener));
        let broker = Broker::builder().policy(AskHttp { host, path: "/who".to_owned() }).build();
        let listening = broker.listen(Listen::tcp(([127, 0, 0, 1], 0))).await.unwrap();
        let url = format!("mqtt://{}", listening.local_addr());
        assert!(connect(&url, "ada", "guess").await.is_err());
        assert!(connect(&url, "bob", "s&cret").await.is_err());
        let (ada, _messages) = connect(&url, "ada", "s&cret").await.unwrap();
        assert!(ada.subscribe("news/#", QoS::AtLeastOnce).await.is_ok());
        assert!(ada.subscribe("#", QoS::AtLeastOnce).await.is_err());
        assert!(ada.publish("sensors/ada/1", "x", QoS::AtLeastOnce).await.unwrap().await.is_ok());
        assert!(ada.publish("news/1", "x", QoS::AtLeastOnce).await.unwrap().await.is_err());
        let info = broker.clients().remove(0).client.unwrap();
        assert_eq!(info.limits().valid_for, Some(Duration::from_secs(3600)));
    }

    #[test]
    fn an_answer_that_is_not_understood_gives_nothing() {
        assert_eq!(Permissions::parse("publish a/#/b"), None);
        assert_eq!(Permissions::parse("everything"), None);
        assert_eq!(Permissions::parse("").unwrap(), Permissions::default());
    }

    #[test]
    fn urls() {
        assert_eq!(split_url("http://h/p?q"), Some(("h:80".into(), "/p?q".into())));
        assert_eq!(split_url("http://h:81"), Some(("h:81".into(), "/".into())));
        assert_eq!(split_url("https://h"), None);
    }
}
