//! `FilterMap`: subscriptions by filter, found by topic name.
/// Placeholder.
#[derive(Debug)]
pub struct FilterMap;
