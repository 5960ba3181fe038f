//! npm.

mod base64;
mod document;
mod intake;
mod manifest;
mod members;
mod name;
mod packument;
mod read;
mod scan;
mod tags;
mod tarball;
