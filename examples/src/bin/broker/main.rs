//! A broker on TCP and WebSocket, with a page to try it: what the crates make together.

mod access;
mod file;
mod listeners;
mod logging;
mod page;
mod passwd;
mod settings;

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::thread::available_parallelism;

use mimalloc::MiMalloc;
use mqttkit_broker_core::{Broker, Replaceable};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use access::Placed;
use listeners::Listeners;
use logging::Logging;
use settings::{CommandLine, Settings};

/// Measured with `bench`: QoS 1 and 2 cost a third less than with the allocator of glibc. The crates choose none.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match passwd::run().unwrap_or_else(serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("broker: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), String> {
    let line = CommandLine::read()?;
    let settings = line.settings()?;
    let runtime = runtime(settings.threads).map_err(|error| format!("cannot start its threads: {error}"))?;
    runtime.block_on(run(line, settings))
}

/// One thread wastes nothing on telling another what to do: on few processors, which clients of the same machine need
/// as well, that is the fastest.
fn runtime(threads: usize) -> std::io::Result<Runtime> {
    let processors = available_parallelism().map_or(1, NonZeroUsize::get);
    let mut builder = match (threads, processors) {
        (1, _) | (0, 1 | 2) => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    if threads > 1 {
        builder.worker_threads(threads);
    }
    builder.enable_all().build()
}

async fn run(line: CommandLine, settings: Settings) -> Result<(), String> {
    let mut listeners = Listeners::default();
    listeners.check(&settings.listeners, &settings.broker)?;
    let policy = access::policy(&settings.access, &settings.listeners)?;
    logging::check(&settings.log, &settings.trace)?;
    if line.check_config {
        return Ok(());
    }
    let mut signals = Signals::new()?;
    let logging = Logging::start(&settings.log)?;
    // Without a policy nobody is asked, which is quicker than asking somebody who allows everything.
    let policy = policy.map(Replaceable::new);
    let builder = Broker::builder().config(settings.broker.clone());
    let broker = match &policy {
        Some(policy) => builder.policy(policy.clone()),
        None => builder,
    }
    .build();
    logging::trace(&broker, &settings.trace)?;
    listeners.open(&broker, &settings.listeners).await?;
    if let Some(port) = listeners.page_port() {
        eprintln!("open http://localhost:{port}/ in a browser");
    }
    let shutdown_timeout = settings.shutdown_timeout;
    let mut running = Running { line, settings, listeners, policy, logging, broker };
    loop {
        match signals.next().await {
            Asked::Stop => break,
            Asked::Reload => running.reload().await,
        }
    }
    tokio::select! {
        _ = running.broker.shutdown(shutdown_timeout) => Ok(()),
        () = signals.stop() => Err("stopped at once: asked twice".to_owned()),
    }
}

/// The broker and all that can be changed while it runs.
struct Running {
    line: CommandLine,
    settings: Settings,
    listeners: Listeners,
    policy: Option<Replaceable>,
    logging: Logging,
    broker: Broker,
}

impl Running {
    /// Reads everything again. What cannot be used is said, and stays as it was.
    async fn reload(&mut self) {
        let settings = match self.line.settings() {
            Ok(settings) => settings,
            Err(problem) => {
                warn!("the settings stay as they were: {problem}");
                // The files that they name may be new all the same.
                self.settings.clone()
            }
        };
        if let Err(problem) = self.logging.change_to(&settings.log) {
            warn!("the log stays as it was: {problem}");
        }
        if let Err(problem) = logging::trace(&self.broker, &settings.trace) {
            warn!("the traces stay as they were: {problem}");
        }
        match (access::policy(&settings.access, &settings.listeners), &self.policy) {
            (Ok(policy), Some(replaceable)) => replaceable.replace(policy.unwrap_or_else(Placed::nobody)),
            (Ok(Some(_)), None) => warn!("who may do what stays as it was, everything, until a restart"),
            (Ok(None), None) => {}
            (Err(problem), _) => warn!("the users stay as they were: {problem}"),
        }
        self.listeners.reload_certificates();
        self.listeners.change_to(&self.broker, &settings.listeners).await;
        if settings.broker != self.settings.broker {
            warn!("[broker] stays as it was until a restart");
        }
        let Settings { broker, threads, .. } = &self.settings;
        self.settings = Settings { broker: broker.clone(), threads: *threads, ..settings };
        info!("reloaded");
    }
}

enum Asked {
    Stop,
    Reload,
}

/// SIGINT and SIGTERM, and SIGHUP.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self, String> {
        let on = |kind| signal(kind).map_err(|error| format!("cannot wait for signals: {error}"));
        Ok(Self {
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
            hangup: on(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }

    async fn stop(&mut self) {
        while !matches!(self.next().await, Asked::Stop) {}
    }
}
