//! `man` and `completions`: what a package installs beside the program. Invariant: both are made from the definition of the command line
//! alone, so that neither says anything else than `--help`, and the same definition gives the same bytes.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

use super::failure::Failure;
use super::terminal::Screen;

/// What each page ends with.
const EXIT_STATUS: &str = ".SH \"EXIT STATUS\"\n.TP\n0\ndone\n.TP\n1\nrefused or failed\n.TP\n2\ntyped wrongly\n";

#[cfg(test)]
mod tests;

/// Where the manual pages go.
#[derive(Debug, clap::Args)]
pub(super) struct ManArguments {
    /// The directory for the pages, made if there is none; pages of the same names are written anew.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Whose completions.
#[derive(Debug, clap::Args)]
pub(super) struct CompletionsArguments {
    /// The shell that is to read them.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Writes a page for the program and for each of its commands.
pub(super) fn write_pages(program: Command, arguments: &ManArguments) -> ExitCode {
    let written = pages(program).and_then(|pages| {
        std::fs::create_dir_all(&arguments.directory)?;
        pages.iter().try_for_each(|page| std::fs::write(arguments.directory.join(&page.file), &page.text))
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => unwritten(&arguments.directory, &cause).report(),
    }
}

fn unwritten(directory: &Path, cause: &std::io::Error) -> Failure {
    Failure::Failed(format!("the manual pages cannot be written to {}: {cause}", directory.display()))
}

/// Prints the completions of one shell.
pub(super) fn print_completions(mut program: Command, arguments: &CompletionsArguments) -> ExitCode {
    let name = program.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut program, name, &mut script);
    match Screen::of_process().print(&String::from_utf8_lossy(&script)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// A manual page.
struct Page {
    file: String,
    text: Vec<u8>,
}

/// The pages of the program and all its commands, in the order of the definition.
fn pages(program: Command) -> Result<Vec<Page>, std::io::Error> {
    let mut program = program.disable_help_subcommand(true);
    program.build();
    let source = format!("{} {}", program.get_name(), program.get_version().unwrap_or_default());
    let mut pages = Vec::new();
    let mut waiting = vec![program];
    while let Some(command) = waiting.pop() {
        waiting.extend(command.get_subcommands().filter(|command| !command.is_hide_set()).cloned());
        let parent = parent_of(&command);
        let man = Man::new(command).source(&source);
        let mut text = Vec::new();
        man.render(&mut text)?;
        text.write_all(EXIT_STATUS.as_bytes())?;
        if let Some(parent) = parent {
            writeln!(text, ".SH \"SEE ALSO\"\n.BR {parent} (1)")?;
        }
        pages.push(Page { file: man.get_filename(), text });
    }
    Ok(pages)
}

/// The page of the command that a command belongs to: `artifortress-jobs` for `artifortress jobs list`.
fn parent_of(command: &Command) -> Option<String> {
    let words = command.get_bin_name()?;
    let (parent, _) = words.rsplit_once(' ')?;
    Some(parent.replace(' ', "-"))
}
