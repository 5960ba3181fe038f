//! The words of the registry and their rules. Invariant: pure; no I/O, no SQL, no clock, no HTTP, nothing async.
//!
//! How to add
//! * a state: `lifecycle::State`; the compiler then asks `visibility::decide`, the schema's CHECK and the state diagram.
//! * a happening: `event::Event`; the compiler then asks for its audit row, its outbox event and what it reaches.
//! * a role or duty: `access`.
//! * an id: one line in `id.rs`.

pub mod access;
pub mod advisory;
pub mod backup;
pub mod canary;
pub mod candidate;
pub mod contents;
pub mod coordinates;
pub mod dependency;
pub mod digest;
pub mod download;
pub mod event;
pub mod exception;
pub mod finding;
pub mod freeze;
pub mod id;
pub mod lifecycle;
pub mod lockable;
pub mod mark;
pub mod name;
pub mod named;
pub mod order;
pub mod outbox;
pub mod owner;
pub mod quarantine;
pub mod reach;
pub mod repo;
pub mod reservation;
pub mod retention;
pub mod roles;
pub mod space;
mod spelling;
pub mod time;
pub mod version;
pub mod version_range;
pub mod visibility;
pub mod waiver;
pub mod webhook;
pub mod words;
