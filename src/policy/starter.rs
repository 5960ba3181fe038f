//! The policy that a new instance can switch on with one command. Invariant: it passes the cases beside it, a test shows.

/// The starter policy, commented for whoever makes it their own.
pub const STARTER: &str = include_str!("starter.cedar");
/// The cases that it passes.
pub const STARTER_CASES: &str = include_str!("starter.cases.toml");
