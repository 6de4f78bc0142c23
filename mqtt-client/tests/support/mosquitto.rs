//! Debian's mosquitto as a child process.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PROGRAM: &str = "/usr/sbin/mosquitto";
/// How much of its log is kept: a test that goes on for long measures its own memory.
const LOG: usize = 1 << 20;

pub struct Mosquitto {
    child: Child,
    directory: PathBuf,
    tcp: u16,
    ws: u16,
    log: Arc<Mutex<String>>,
}

impl Mosquitto {
    /// With two listeners and anonymous access.
    pub fn start() -> Self {
        Self::with("allow_anonymous true")
    }

    /// With these lines of configuration, and persistence that survives [`restart`](Self::restart).
    pub fn with(config: &str) -> Self {
        Self::with_listeners(config, "")
    }

    /// With lines for each listener in addition.
    pub fn with_listeners(config: &str, listener: &str) -> Self {
        assert!(
            std::path::Path::new(PROGRAM).exists(),
            "{PROGRAM} is missing: install Debian's package `mosquitto`, these tests run against it"
        );
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("mqttkit-client-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        // Another program may take a free port before mosquitto does.
        for _ in 0..5 {
            let (tcp, ws) = (free_port(), free_port());
            let text = format!(
                // As another user it could not write into our directory.
                "{config}\nuser root\npersistence true\npersistence_location {}/\nmax_queued_messages 100000\n\
                 listener {tcp} 127.0.0.1\nprotocol mqtt\n{listener}\n\
                 listener {ws} 127.0.0.1\nprotocol websockets\n{listener}\n",
                directory.display()
            );
            std::fs::write(directory.join("mosquitto.conf"), text).unwrap();
            if let Some((child, log)) = launch(&directory) {
                return Self { child, directory, tcp, ws, log };
            }
        }
        panic!("mosquitto does not start with:\n{config}");
    }

    pub fn tcp(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.tcp)
    }

    pub fn ws(&self) -> String {
        format!("ws://127.0.0.1:{}/mqtt", self.ws)
    }

    pub fn tcp_port(&self) -> u16 {
        self.tcp
    }

    /// A file in its directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Stops it as a service manager does: it says goodbye and saves its sessions.
    pub fn stop(&mut self) {
        let killed = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(killed.success());
        self.child.wait().unwrap();
    }

    /// Starts it again on the same ports.
    pub fn restart(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if let Some((child, log)) = launch(&self.directory) {
                (self.child, self.log) = (child, log);
                return;
            }
        }
        panic!("mosquitto does not start again");
    }

    /// What it has written to its log, not much more than the last [`LOG`] bytes at most.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        std::fs::remove_dir_all(&self.directory).ok();
    }
}

/// Runs it, and returns when it listens; `None` when it ends instead.
fn launch(directory: &std::path::Path) -> Option<(Child, Arc<Mutex<String>>)> {
    let mut child = Command::new(PROGRAM)
        .arg("-v")
        .arg("-c")
        .arg(directory.join("mosquitto.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("mosquitto can be run");
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let log = Arc::new(Mutex::new(String::new()));
    for line in lines.by_ref() {
        let line = line.unwrap();
        log.lock().unwrap().push_str(&(line.clone() + "\n"));
        if line.ends_with(" running") {
            let sink = Arc::clone(&log);
            std::thread::spawn(move || {
                for line in lines.map_while(Result::ok) {
                    let mut log = sink.lock().unwrap();
                    log.push_str(&(line + "\n"));
                    if log.len() > LOG {
                        let half = log[LOG / 2..].find('\n').map_or(0, |end| LOG / 2 + end + 1);
                        log.drain(..half);
                    }
                }
            });
            return Some((child, log));
        }
    }
    child.wait().ok();
    None
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
