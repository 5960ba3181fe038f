//! The gate's engine: policy text in, verdicts out. Invariant: pure, total and fail closed. A `Verdict` can be made only
//! here, and whatever cannot be evaluated is an error, never an allow.
//!
//! How to add
//! * a fact: the field in `facts.rs`, its line in `schema.rs` and in `context.rs`; a test holds the three equal. Raise
//!   `input::INPUT_VERSION`, so that older evaluations say that they cannot be replayed.
//! * a manifest member: `manifest.rs`; a licence spelling: `licenses.rs`.
//! * an annotation: `rule.rs`; a reason to refuse a text: `document.rs` (meaning) or `scan.rs` (letters and nesting).
//! * another language: implement `engine::Engine`; nothing outside this room names Cedar.

mod asked;
mod context;
mod document;
mod due;
mod engine;
mod evaluate;
mod facts;
mod fault;
mod input;
mod known;
mod licenses;
mod manifest;
mod mentions;
mod rule;
mod scan;
mod schema;
mod totality;
mod verdict;

pub use asked::Asked;
pub use document::{Document, RULE_LIMIT, TEXT_LIMIT_BYTES};
pub use engine::{CedarEngine, Engine};
pub use facts::{DIGEST_LIMIT, EXTENSION_LIMIT};
pub use fault::Fault;
pub use manifest::REQUIRES_LIMIT;
pub use mentions::Mentions;
pub use rule::{Mode, Rule};
pub use schema::SCHEMA;
pub use verdict::{Outcome, PolicyInForce, Verdict, digest_of_policies, policy_digest};

#[cfg(test)]
mod document_tests;
#[cfg(test)]
mod due_tests;
#[cfg(test)]
mod engine_tests;
#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod property_tests;
