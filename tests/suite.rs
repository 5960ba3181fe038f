//! The tests over the whole project, in one binary, so that it is linked once. A file per subject; test names are sentences.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

mod authorization;
mod bad_input;
mod bad_upload;
mod clients;
mod command_line;
mod command_line_hostile;
mod command_line_retries;
mod crash;
mod crash_queue;
mod degraded;
mod firings;
mod gate;
mod leaks;
mod lifecycle;
mod metrics;
mod model;
mod operations;
mod plans;
mod policy_cases;
mod quarantine;
mod queue;
mod races;
mod ranking;
mod reads;
mod routes;
mod schema;
mod search;
mod support;
mod tidy;
mod upgrade;
mod visibility;
mod visibility_pypi;
mod webhook_rights;
mod webhook_seams;
mod webhooks;
