//! The program.

use std::process::ExitCode;

fn main() -> ExitCode {
    artifortress::cli::run()
}
