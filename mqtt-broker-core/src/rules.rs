//! `Rules`: what every connection goes by.

use std::sync::Arc;

use mqttkit_codec::ServerConfig;

use crate::budget::Budget;
use crate::capabilities::Capabilities;
use crate::config::Config;
use crate::doorman::Doorman;
use crate::policy::Policy;

/// The same for all connections of a broker, which share it.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) config: Arc<Config>,
    pub(crate) capabilities: Capabilities,
    pub(crate) policy: Option<Arc<dyn Policy>>,
    pub(crate) doorman: Arc<Doorman>,
    pub(crate) budget: Arc<Budget>,
    /// What the protocol asks of clients, without a store and with one.
    servers: [Arc<ServerConfig>; 2],
}

impl Rules {
    pub(crate) fn new(config: Config, policy: Option<Arc<dyn Policy>>) -> Self {
        let config = Arc::new(config);
        let doorman = Arc::new(Doorman::new(Arc::clone(&config)));
        let budget = Arc::new(Budget::new(config.max_memory));
        let capabilities = Capabilities::new(&config);
        let servers = [false, true].map(|stepwise| Arc::new(server(&config, stepwise)));
        Self { config, capabilities, policy, doorman, budget, servers }
    }

    /// For a connection that takes each step of QoS 2 by itself, or not.
    pub(crate) fn server(&self, stepwise: bool) -> Arc<ServerConfig> {
        let [without, with] = &self.servers;
        Arc::clone(if stepwise { with } else { without })
    }
}

fn server(config: &Config, stepwise: bool) -> ServerConfig {
    let mut server = ServerConfig::default();
    server.connect_timeout = config.connect_timeout;
    server.max_packet_size = config.max_packet_size;
    server.max_connect_size = config.max_connect_size;
    server.receive_maximum = config.receive_maximum;
    server.topic_alias_maximum = config.topic_alias_maximum;
    server.automatic_topic_aliases = config.outgoing_topic_aliases;
    server.stepwise = stepwise;
    server
}
