//! A load generator for MQTT brokers: how many messages, at what cost, how late, and how many are lost.
//!
//! One thread, one event loop, no client library: packets are encoded once and sent many in a write, and what arrives
//! is counted without being decoded. So one core loads the fastest broker.

#![expect(clippy::cast_precision_loss, reason = "figures are shown with a few digits")]

mod batch;
mod conn;
mod connections;
mod flow;
mod frame;
mod latency;
mod load;
mod meter;
mod pace;
mod plain;
mod progress;
mod relay;
mod report;
mod retained;
mod saturate;
mod scan;
mod stop;
mod stream;
mod subscriptions;
mod target;
mod world;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use connections::ConnectionsOptions;
use load::LoadOptions;
use plain::{ConnOptions, PubOptions, SubOptions};
use relay::RelayOptions;
use report::Report;
use retained::RetainedOptions;
use saturate::Shape;
use subscriptions::SubscriptionsOptions;
use target::{Target, TargetOptions};
use world::World;

/// Loads an MQTT broker and measures what it does.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    #[command(flatten)]
    target: TargetOptions,
    #[command(flatten)]
    load: LoadOptions,
    /// The result as one line of JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Debug, Subcommand)]
enum Scenario {
    /// Point to point, as fast as it goes: each publisher has a subscriber of its own.
    Pairs {
        #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 1)]
        pairs: usize,
    },
    /// One publisher, as fast as it goes, and many subscribers, each of which gets everything.
    FanOut {
        #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 100)]
        subscribers: usize,
    },
    /// Many publishers, as fast as it goes, and one subscriber with a wildcard.
    FanIn {
        #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 100)]
        publishers: usize,
    },
    /// Many publishers, as fast as it goes, and a shared subscription.
    Shared {
        #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 100)]
        publishers: usize,
        #[arg(short, long, value_name = "COUNT", default_value_t = 10)]
        members: usize,
    },
    /// How late messages are at a steady pace that waits for nobody.
    Latency {
        #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 50)]
        pairs: usize,
        /// Messages a second of all pairs together.
        #[arg(short, long, value_name = "RATE", default_value_t = 5000.0)]
        rate: f64,
    },
    /// Many idle connections: made, kept, cut and made again all at once.
    Connections(ConnectionsOptions),
    /// Many filters, then messages that match one each.
    Subscriptions(SubscriptionsOptions),
    /// Many retained messages, then one subscriber that gets them all.
    Retained(RetainedOptions),
    /// Only connect, and stay.
    Conn(ConnOptions),
    /// Only publish.
    Pub(PubOptions),
    /// Only subscribe, and count.
    Sub(SubOptions),
    /// Be the floor to compare brokers with: a server that copies bytes.
    Relay(RelayOptions),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let json = arguments.json;
    match run(arguments) {
        Ok(report) => {
            if let Some(report) = report {
                report.print(json);
            }
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("bench: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<Option<Report>, Box<dyn Error>> {
    let Arguments { target, load, scenario, .. } = arguments;
    allow_many_sockets();
    if let Scenario::Relay(options) = scenario {
        relay::run(&options)?;
        return Ok(None);
    }
    let world = &mut World::new(Target::try_from(target)?)?;
    let report = match scenario {
        Scenario::Pairs { pairs } => saturate::run(world, Shape::Pairs(pairs), &load),
        Scenario::FanOut { subscribers } => saturate::run(world, Shape::FanOut(subscribers), &load),
        Scenario::FanIn { publishers } => saturate::run(world, Shape::FanIn(publishers), &load),
        Scenario::Shared { publishers, members } => {
            saturate::run(world, Shape::Shared { publishers, members }, &load)
        }
        Scenario::Latency { pairs, rate } => latency::run(world, pairs, rate, &load),
        Scenario::Connections(options) => connections::run(world, &options, load.broker_pid),
        Scenario::Subscriptions(options) => subscriptions::run(world, &options, &load),
        Scenario::Retained(options) => retained::run(world, &options, &load),
        Scenario::Conn(options) => plain::conn(world, &options, &load),
        Scenario::Pub(options) => plain::publish(world, &options, &load),
        Scenario::Sub(options) => plain::subscribe(world, &options, &load),
        Scenario::Relay(_) => return Ok(None),
    };
    report.map(Some)
}

/// Raises the limit of open files as far as it goes. Where it does not go far enough opening connections says so.
fn allow_many_sockets() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).ok();
    }
}
