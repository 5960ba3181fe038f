//! artifortress, a package registry with a policy gate in it. This page is the map of the code.

pub mod blobs;
pub mod clock;
pub mod config;
pub mod domain;
pub mod error;
pub mod hop;
pub mod http;
pub mod jobs;
pub mod logging;
pub mod policy;
pub mod store;
