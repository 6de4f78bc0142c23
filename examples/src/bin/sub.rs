//! `sub`: subscribes, and writes what arrives to standard output.

use clap::Parser;
use mqttkit_client::{Client, Event, Message, Messages, QoS, SubscribeProperties, Subscription};
use mqttkit_examples::cli::{self, Connection, Failure};
use std::io::{self, ErrorKind, Write};
use std::iter;
use std::process::ExitCode;
use std::time::Duration;

/// Subscribes at an MQTT server and writes the messages to standard output.
#[derive(Debug, Parser)]
#[command(name = "sub")]
struct Arguments {
    #[command(flatten)]
    connection: Connection,
    /// What to subscribe to; may be given more than once.
    #[arg(short, long = "topic", value_name = "FILTER", required = true)]
    topics: Vec<String>,
    /// The highest QoS to receive with.
    #[arg(short, long, value_name = "QOS", default_value = "0", value_parser = cli::qos)]
    qos: QoS,
    /// Ends after so many messages.
    #[arg(short = 'C', long, value_name = "N")]
    count: Option<u64>,
    /// Ends so many seconds after it has connected, with exit code 27.
    #[arg(short = 'W', long, value_name = "SECONDS")]
    timeout: Option<u32>,
    /// Writes the topic in front of the payload.
    #[arg(short, long)]
    verbose: bool,
    /// Writes no newline behind the payload.
    #[arg(short = 'N')]
    no_newline: bool,
    /// For how many seconds the server keeps the session after the end (MQTT 5).
    #[arg(short = 'x', long, value_name = "SECONDS")]
    session_expiry: Option<u32>,
}

/// As with mosquitto_sub.
const TIMED_OUT: u8 = 27;

/// Messages written before it is time to look for other things, such as the end.
const BATCH: usize = 256;

fn main() -> ExitCode {
    cli::run("sub", run(Arguments::parse()))
}

async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let mut subscriptions = Vec::new();
    for topic in &arguments.topics {
        subscriptions.push(Subscription::new(cli::filter(topic)?, arguments.qos));
    }
    let options = arguments.connection.options(arguments.session_expiry)?;
    let printer = Printer {
        verbose: arguments.verbose,
        newline: !arguments.no_newline,
        left: arguments.count.unwrap_or(u64::MAX),
    };
    let Some((client, messages)) = cli::until_stopped(options.connect()).await? else {
        return Ok(ExitCode::SUCCESS);
    };
    let work = async {
        tokio::select! {
            result = receive(&client, messages, subscriptions, printer) => result,
            () = after(arguments.timeout) => Ok(ExitCode::from(TIMED_OUT)),
        }
    };
    let result = cli::until_stopped(work).await.map(|code| code.unwrap_or(ExitCode::SUCCESS));
    // Everything received is acknowledged; there is nothing else to wait for.
    client.disconnect().await.ok();
    result
}

async fn receive(
    client: &Client,
    mut messages: Messages,
    subscriptions: Vec<Subscription>,
    mut printer: Printer,
) -> Result<ExitCode, Failure> {
    let mut events = client.events();
    let filters: Vec<_> = subscriptions.iter().map(|subscription| subscription.filter.clone()).collect();
    let subscribing = client.subscribe_many(subscriptions, SubscribeProperties::new());
    tokio::pin!(subscribing);
    let mut subscribed = false;
    loop {
        tokio::select! {
            // A resumed session delivers before it answers.
            answer = &mut subscribing, if !subscribed => {
                let reasons = answer.map_err(Failure::new)?;
                if let Some((filter, reason)) = filters.iter().zip(reasons).find(|(_, reason)| reason.is_error()) {
                    return Err(Failure::new(format_args!("the server refused {filter}: {reason}")));
                }
                eprintln!("subscribed");
                subscribed = true;
            }
            message = messages.recv() => match message {
                None => return Err(Failure::new("the connection has ended")),
                Some(message) => match printer.print_all(message, &mut messages) {
                    Ok(false) => {}
                    Ok(true) => return Ok(ExitCode::SUCCESS),
                    // Whoever reads has seen enough.
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
                    Err(error) => return Err(Failure::new(error)),
                },
            },
            Some(event) = events.recv() => report(&event),
        }
    }
}

/// Tells of what a user may wonder about.
fn report(event: &Event) {
    match event {
        Event::Disconnected(cause) => eprintln!("sub: connection lost: {cause}"),
        Event::ConnectFailed(error) => eprintln!("sub: {error}"),
        Event::Reconnecting { delay, .. } => {
            eprintln!("sub: connecting again in {:.1} s", delay.as_secs_f32());
        }
        Event::Connected(continuity) if continuity.connection > 1 => eprintln!("sub: connected again"),
        Event::SubscriptionLost { filter, reason } => eprintln!("sub: {filter} is lost: {reason}"),
        Event::Dropped { messages } => eprintln!("sub: {messages} messages dropped"),
        _ => {}
    }
}

/// Ends after so many seconds, if any.
async fn after(seconds: Option<u32>) {
    match seconds {
        Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds.into())).await,
        None => std::future::pending().await,
    }
}

struct Printer {
    verbose: bool,
    newline: bool,
    left: u64,
}

impl Printer {
    /// Writes a message and those that are there already, then flushes once. Returns whether it was the last.
    fn print_all(&mut self, first: Message, messages: &mut Messages) -> io::Result<bool> {
        let mut out = io::BufWriter::new(io::stdout().lock());
        let more = iter::from_fn(|| messages.try_recv());
        for message in iter::once(first).chain(more).take(BATCH) {
            self.print(&mut out, &message)?;
            self.left -= 1;
            if self.left == 0 {
                break;
            }
        }
        out.flush()?;
        Ok(self.left == 0)
    }

    fn print(&self, out: &mut impl Write, message: &Message) -> io::Result<()> {
        if self.verbose {
            write!(out, "{} ", message.topic)?;
        }
        out.write_all(&message.payload)?;
        if self.newline { out.write_all(b"\n") } else { Ok(()) }
    }
}
