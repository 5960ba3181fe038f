//! artifortress, a package registry with a policy gate in it. This page is the map of the code.

pub mod access;
pub mod advisories;
pub mod api;
pub mod app;
pub mod blobs;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod error;
pub mod formats;
pub mod hop;
pub mod http;
pub mod inspect;
pub mod jobs;
pub mod logging;
pub mod metrics;
pub mod pages;
pub mod policy;
pub mod pulse;
pub mod quarantine;
pub mod registry;
pub mod routes;
pub mod serve;
pub mod store;
pub mod ui;
