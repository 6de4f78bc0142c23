//! The log: what the crates say through `tracing`, on the standard error, as text or JSON.

use std::io::IsTerminal;

use mqttkit_broker_core::{Broker, TopicFilter};
use tracing::level_filters::LevelFilter;
use tracing::{Subscriber, warn};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::file::{Log, LogFormat, Trace};

/// What is logged can be changed while the broker runs.
pub(crate) struct Logging {
    filter: reload::Handle<Targets, Registry>,
}

impl Logging {
    /// From here on everything is logged.
    pub(crate) fn start(log: &Log) -> Result<Self, String> {
        let (filter, handle) = reload::Layer::new(targets(log)?);
        let registry = tracing_subscriber::registry().with(lines(log.format).with_filter(filter));
        registry.try_init().map_err(|error| error.to_string())?;
        Ok(Self { filter: handle })
    }

    /// Another filter from here on.
    pub(crate) fn change_to(&self, log: &Log) -> Result<(), String> {
        self.filter.reload(targets(log)?).map_err(|error| error.to_string())
    }
}

/// What is traced is traced, whatever the filter.
pub(crate) fn targets(log: &Log) -> Result<Targets, String> {
    let targets: Targets =
        log.filter.parse().map_err(|error| format!("log.filter \"{}\": {error}", log.filter))?;
    Ok(targets.with_target("mqttkit_broker_core::trace", LevelFilter::INFO))
}

fn lines<S: Subscriber + for<'a> LookupSpan<'a>>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync> {
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_ansi(false).boxed(),
    }
}

/// Finds what is wrong with it.
pub(crate) fn check(log: &Log, trace: &Trace) -> Result<(), String> {
    targets(log)?;
    filters(trace).map(drop)
}

fn filters(trace: &Trace) -> Result<Vec<TopicFilter>, String> {
    let filters = trace.topics.iter().map(|filter| {
        TopicFilter::try_from(filter.as_str()).map_err(|error| format!("trace.topics \"{filter}\": {error}"))
    });
    filters.collect()
}

/// Has the broker trace this and nothing else.
pub(crate) fn trace(broker: &Broker, trace: &Trace) -> Result<(), String> {
    let filters = filters(trace)?;
    for client_id in broker.traced_clients() {
        if !trace.clients.iter().any(|wanted| **wanted == *client_id) {
            broker.untrace_client(&client_id);
        }
    }
    for filter in broker.traced_topics() {
        if !filters.contains(&filter) {
            broker.untrace_topic(&filter);
        }
    }
    for client_id in &trace.clients {
        if let Err(error) = broker.trace_client(client_id) {
            warn!(client = client_id, "not traced: {error}");
        }
    }
    for filter in filters {
        if let Err(error) = broker.trace_topic(&filter) {
            warn!(filter = filter.as_str(), "not traced: {error}");
        }
    }
    Ok(())
}
