//! `pub`: publishes messages, from the command line, a file or standard input.

use clap::Parser;
use mqttkit_client::{Client, Event, Events, Message, PublishError, QoS, Ticket};
use mqttkit_examples::cli::{self, Connection, Failure};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

/// Publishes messages to an MQTT server.
#[derive(Debug, Parser)]
#[command(name = "pub")]
struct Arguments {
    #[command(flatten)]
    connection: Connection,
    /// Where to publish.
    #[arg(short, long, value_name = "TOPIC")]
    topic: String,
    /// 0: at most once, 1: at least once, 2: exactly once.
    #[arg(short, long, value_name = "QOS", default_value = "0", value_parser = cli::qos)]
    qos: QoS,
    /// The server keeps the message for later subscribers.
    #[arg(short, long)]
    retain: bool,
    #[command(flatten)]
    source: Source,
}

/// What to publish.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Source {
    /// This text.
    #[arg(short, long, value_name = "MESSAGE")]
    message: Option<String>,
    /// The contents of this file.
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// A message without content; retained, it removes what was retained before.
    #[arg(short, long)]
    null_message: bool,
    /// Each line of standard input.
    #[arg(short = 'l', long)]
    stdin_line: bool,
    /// All of standard input.
    #[arg(short, long)]
    stdin_file: bool,
}

/// What fits into an MQTT packet, in bytes.
const MAX_PAYLOAD: u64 = 268_435_455;

fn main() -> ExitCode {
    cli::run("pub", run(Arguments::parse()))
}

async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let template =
        Message::new(cli::topic(&arguments.topic)?, "").with_qos(arguments.qos).with_retain(arguments.retain);
    let Some(whole) = cli::until_stopped(arguments.source.whole()).await? else {
        return Ok(ExitCode::SUCCESS);
    };
    // Whoever calls this program wants to know of a failure rather than to wait for the server's return.
    let options = arguments.connection.options(None)?.reconnect_period(None);
    let Some((client, _)) = cli::until_stopped(options.connect()).await? else {
        return Ok(ExitCode::SUCCESS);
    };
    let events = client.events();
    let mut sender = Sender { events, template, tickets: VecDeque::new(), client: client.clone() };
    let sending = async {
        match whole {
            Some(payload) => sender.send(payload).await?,
            None => sender.send_lines().await?,
        }
        sender.finish().await
    };
    cli::until_stopped(sending).await?;
    client.disconnect().await.map_err(Failure::new)?;
    Ok(ExitCode::SUCCESS)
}

impl Source {
    /// The one payload, or `None` for a stream of lines.
    async fn whole(self) -> Result<Option<Vec<u8>>, Failure> {
        let mut payload = Vec::new();
        if self.stdin_line {
            return Ok(None);
        } else if self.stdin_file {
            tokio::io::stdin().take(MAX_PAYLOAD).read_to_end(&mut payload).await.map_err(Failure::new)?;
        } else if let Some(file) = self.file {
            payload = std::fs::read(&file)
                .map_err(|error| Failure::new(format_args!("{}: {error}", file.display())))?;
        } else if let Some(text) = self.message {
            payload = text.into_bytes();
        }
        Ok(Some(payload))
    }
}

/// Publishes, and looks after what was published.
struct Sender {
    client: Client,
    events: Events,
    template: Message,
    tickets: VecDeque<Ticket>,
}

impl Sender {
    async fn send(&mut self, payload: Vec<u8>) -> Result<(), Failure> {
        let message = Message { payload: payload.into(), ..self.template.clone() };
        match self.client.publish_message(message).await {
            Ok(ticket) => self.tickets.push_back(ticket),
            Err(error) => return Err(self.explain(error).await),
        }
        // As many wait as the client's queue holds.
        while self.tickets.front().is_some_and(Ticket::is_complete) {
            self.settle().await?;
        }
        Ok(())
    }

    async fn send_lines(&mut self) -> Result<(), Failure> {
        let mut input = BufReader::new(tokio::io::stdin());
        loop {
            let mut line = Vec::new();
            let limited = &mut (&mut input).take(MAX_PAYLOAD);
            if limited.read_until(b'\n', &mut line).await.map_err(Failure::new)? == 0 {
                return Ok(());
            }
            line.pop_if(|last| *last == b'\n');
            self.send(line).await?;
        }
    }

    async fn settle(&mut self) -> Result<(), Failure> {
        match self.tickets.pop_front() {
            None => Ok(()),
            Some(ticket) => match ticket.await {
                Ok(_) => Ok(()),
                Err(error) => Err(self.explain(error).await),
            },
        }
    }

    async fn finish(&mut self) -> Result<(), Failure> {
        while !self.tickets.is_empty() {
            self.settle().await?;
        }
        Ok(())
    }

    /// "Closed" alone explains nothing: why the connection ended does.
    async fn explain(&mut self, error: PublishError) -> Failure {
        if matches!(error, PublishError::Closed | PublishError::Lost) {
            while let Some(event) = self.events.recv().await {
                if let Event::Disconnected(cause) = event {
                    return Failure::new(format_args!("not published: {cause}"));
                }
            }
        }
        Failure::new(error)
    }
}
