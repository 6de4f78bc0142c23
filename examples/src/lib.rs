//! What the example programs have in common.

pub mod cli;
pub mod conversation;

/// The README's examples, which must compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
