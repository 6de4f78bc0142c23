//! The broker program with a configuration file: what it refuses, and what SIGHUP changes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use mqttkit_client::{Client, Messages, QoS};

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// A folder of one test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("broker-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn check(file: &Path) -> Output {
    let broker = env!("CARGO_BIN_EXE_broker");
    Command::new(broker).arg("--check-config").arg("--config").arg(file).output().unwrap()
}

#[test]
fn the_example_file_is_fine() {
    let output = check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("broker.toml"));
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn a_mistake_is_one_line_with_file_and_line() {
    let folder = Folder::new("mistakes");
    for (text, culprits) in [
        ("[broker]\nmax-sesions = 1\n", &["line 2", "max-sesions"][..]),
        ("\n[[listener]]\nscheme = 'tcp'\naddress = 'here'\n", &["line 4", "here"]),
        ("[access]\nacl-file = '/nowhere/rules'\n", &["/nowhere/rules"]),
        ("[log]\nfilter = 'loud=very'\n", &["log.filter", "loud=very"]),
        ("[trace]\ntopics = ['a/#/b']\n", &["trace.topics", "a/#/b"]),
        ("[[listener]]\nscheme = 'ws'\naddress = 0\ntrusted-proxies = ['home']\n", &["home"]),
        ("[tls]\ncertificate = 'no.pem'\nkey = 'no.key'\n", &["no.pem"]),
    ] {
        let output = check(&folder.write("broker.toml", text));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.lines().count() == 1, "{text}: {said}");
        assert!(culprits.iter().all(|culprit| said.contains(culprit)), "{text}: {said}");
    }
}

/// The program, with what it says.
struct Broker {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl Broker {
    fn start(file: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_broker"))
            .arg("--config")
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Arc::default();
        listen(child.stdout.take().unwrap(), &said);
        listen(child.stderr.take().unwrap(), &said);
        Self { child, said }
    }

    fn hang_up(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    }

    /// Waits for a line with all these words.
    fn line(&self, words: &[&str]) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = self.said.lock().unwrap().clone();
            if let Some(line) = said.iter().find(|line| words.iter().all(|word| line.contains(word))) {
                return line.clone();
            }
            assert!(Instant::now() < deadline, "no line with {words:?} in time: {said:#?}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn forget(&self) {
        self.said.lock().unwrap().clear();
    }

    /// Where it says that it listens for this.
    fn address(&self, scheme: &str) -> SocketAddr {
        self.line(&[&format!("listening {scheme} ")]).rsplit(' ').next().unwrap().parse().unwrap()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(stream: impl Read + Send + 'static, said: &Arc<Mutex<Vec<String>>>) {
    let said = Arc::clone(said);
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            said.lock().unwrap().push(line);
        }
    });
}

async fn client(address: SocketAddr, id: &str) -> (Client, Messages) {
    Client::builder(&format!("mqtt://{address}")).client_id(id).connect().await.unwrap()
}

async fn publish(client: &Client, topic: &str) -> Result<(), String> {
    let ticket = client.publish(topic, "x", QoS::AtLeastOnce).await.unwrap();
    ticket.await.map(drop).map_err(|error| error.to_string())
}

const FIRST: &str = r#"
[access]
acl-file = "RULES"
[[listener]]
scheme = "tcp"
address = "127.0.0.1:0"
name = "one"
"#;

const SECOND: &str = r#"
[log]
filter = "info"
format = "text"
[trace]
clients = ["traced"]
topics = ["t/#"]
[access]
acl-file = "RULES"
[[listener]]
scheme = "tcp"
address = "127.0.0.1:0"
name = "one"
[[listener]]
scheme = "ws"
address = "127.0.0.1:0"
path = "/live"
[broker]
max-sessions = 7
"#;

#[tokio::test]
async fn a_hangup_changes_what_can_be_changed_and_drops_nobody() {
    let folder = Folder::new("reload");
    let rules = folder.write("rules", "allow all all t/#\n");
    let named = |text: &str| text.replace("RULES", rules.to_str().unwrap());
    let file = folder.write("broker.toml", &named(FIRST));
    let broker = Broker::start(&file);
    let tcp = broker.address("tcp");
    let (traced, _messages) = client(tcp, "traced").await;
    publish(&traced, "t/1").await.unwrap();

    folder.write("broker.toml", &named(SECOND));
    folder.write("rules", "allow all all u/#\n");
    broker.hang_up();
    broker.line(&["[broker] stays as it was until a restart"]);
    broker.line(&["reloaded"]);
    let ws = broker.address("ws");
    assert_eq!(TcpStream::connect(ws).unwrap().peer_addr().unwrap(), ws);

    // Still there, now traced, and under the new rules.
    broker.forget();
    let (other, _others) = client(tcp, "other").await;
    broker.line(&["connected", "client=\"other\"", "listener=\"one\""]);
    let refused = publish(&traced, "t/1").await;
    assert!(refused.is_err(), "the rules are the new ones: {refused:?}");
    broker.line(&["mqttkit_broker_core::trace", "client=\"traced\"", "direction=\"in\"", "topic=\"t/1\""]);
    broker.line(&["mqttkit_broker_core::trace", "client=\"traced\"", "PUBACK", "reason=0x87"]);
    publish(&other, "u/1").await.unwrap();

    // A file with a mistake changes nothing.
    folder.write("broker.toml", "[brokr]\n");
    broker.forget();
    broker.hang_up();
    broker.line(&["the settings stay as they were", "line 1", "brokr"]);
    publish(&traced, "u/1").await.unwrap();

    // Nor do listeners that cannot be opened close those that are open.
    let no_certificate = format!("{}[[listener]]\nscheme = 'tls'\naddress = '127.0.0.1:0'\n", named(FIRST));
    folder.write(
        "broker.toml",
        &format!("tls = {{ certificate = 'no.pem', key = 'no.key' }}\n{no_certificate}"),
    );
    broker.forget();
    broker.hang_up();
    broker.line(&["the listeners stay as they were", "no.pem"]);
    assert!(TcpStream::connect(ws).is_ok() && TcpStream::connect(tcp).is_ok());

    folder.write("broker.toml", &named(FIRST));
    broker.forget();
    broker.hang_up();
    broker.line(&["reloaded"]);
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(ws).is_ok() {
        assert!(Instant::now() < deadline, "the socket closes in time");
    }
    publish(&traced, "u/1").await.unwrap();
}

#[tokio::test]
async fn listeners_can_have_mount_points_of_their_own() {
    let folder = Folder::new("mounts");
    let text = r#"
        [access]
        client-id = "%c"
        [[listener]]
        scheme = "tcp"
        address = "127.0.0.1:0"
        name = "inner"
        [[listener]]
        scheme = "any"
        address = "127.0.0.1:0"
        name = "outer"
        mount-point = "guests/%c"
    "#;
    let broker = Broker::start(&folder.write("broker.toml", text));
    let (inner, mut all) = client(broker.address("tcp"), "host").await;
    inner.subscribe("#", QoS::AtLeastOnce).await.unwrap();
    let (outer, _) = client(broker.address("any"), "ada").await;
    publish(&outer, "hello").await.unwrap();
    let message = all.recv().await.unwrap();
    assert_eq!(message.topic.as_str(), "guests/ada/hello");
}
