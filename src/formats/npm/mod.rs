//! npm.

mod base64;
mod document;
mod intake;
mod members;
mod name;
mod scan;
mod tarball;
