//! `Rules`: what every connection goes by.

use std::sync::Arc;

use crate::budget::Budget;
use crate::config::Config;
use crate::doorman::Doorman;
use crate::policy::Policy;

/// The same for all connections of a broker; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) config: Arc<Config>,
    pub(crate) policy: Option<Arc<dyn Policy>>,
    pub(crate) doorman: Arc<Doorman>,
    pub(crate) budget: Arc<Budget>,
}

impl Rules {
    pub(crate) fn new(config: Config, policy: Option<Arc<dyn Policy>>) -> Self {
        let config = Arc::new(config);
        let doorman = Arc::new(Doorman::new(Arc::clone(&config)));
        let budget = Arc::new(Budget::new(config.max_memory));
        Self { config, policy, doorman, budget }
    }
}
