//! Every command has a page, every option is described, and each shell's completions know every command.

use clap::{Arg, Command, CommandFactory as _, ValueEnum as _};
use clap_complete::Shell;

use super::pages;
use crate::cli::Arguments;

/// Every command of the program with the name of its page, the program first.
fn commands() -> Vec<(String, Command)> {
    fn with_those_below(name: String, command: &Command, found: &mut Vec<(String, Command)>) {
        found.push((name.clone(), command.clone()));
        for below in command.get_subcommands() {
            with_those_below(format!("{name}-{}", below.get_name()), below, found);
        }
    }
    let mut program = Arguments::command().disable_help_subcommand(true);
    program.build();
    let mut found = Vec::new();
    with_those_below("artifortress".to_owned(), &program, &mut found);
    found
}

fn is_shown(argument: &&Arg) -> bool {
    !argument.is_hide_set()
}

/// The text of a page without what the typesetter reads.
fn plain(page: &[u8]) -> String {
    let text = String::from_utf8(page.to_vec()).unwrap();
    text.replace("\\fB", "").replace("\\fI", "").replace("\\fR", "").replace("\\-", "-").replace("\\&", "").replace("\\*(Aq", "'")
}

#[test]
fn every_command_has_a_page_that_says_what_it_does() {
    let pages = pages(Arguments::command()).unwrap();
    let commands = commands();
    assert!(commands.len() > 40, "{}", commands.len());
    assert_eq!(pages.len(), commands.len());
    for (name, command) in commands {
        let page = pages.iter().find(|page| page.file == format!("{name}.1")).unwrap_or_else(|| panic!("{name} has no page"));
        let about = command.get_about().unwrap_or_else(|| panic!("{name} says nothing of itself")).to_string();
        assert!(plain(&page.text).contains(&format!("{name} - {}", about.replace('\n', " "))), "{}", plain(&page.text));
    }
}

#[test]
fn every_option_and_every_argument_is_described_on_its_page() {
    let pages = pages(Arguments::command()).unwrap();
    for (name, command) in commands() {
        let text = plain(&pages.iter().find(|page| page.file == format!("{name}.1")).unwrap().text);
        for argument in command.get_arguments().filter(is_shown) {
            let help = argument.get_long_help().or_else(|| argument.get_help()).map(ToString::to_string).unwrap_or_default();
            assert!(!help.is_empty(), "{name}: {} is not described", argument.get_id());
            for words in [help.lines().next(), argument.get_long()].into_iter().flatten() {
                assert!(text.contains(words), "{name}: {words:?} is not on its page");
            }
        }
    }
}

#[test]
fn every_page_leads_to_that_of_the_command_it_belongs_to() {
    let pages = pages(Arguments::command()).unwrap();
    let of = |file: &str| plain(&pages.iter().find(|page| page.file == file).unwrap().text);
    assert!(of("artifortress-jobs-list.1").ends_with(".BR artifortress-jobs (1)\n"));
    assert!(of("artifortress-jobs.1").ends_with(".BR artifortress (1)\n"));
    assert!(!of("artifortress.1").contains("SEE ALSO"));
    assert!(of("artifortress.1").contains("artifortress-jobs(1)"));
}

#[test]
fn the_completions_of_each_shell_know_every_command() {
    for shell in Shell::value_variants() {
        let mut script = Vec::new();
        clap_complete::generate(*shell, &mut Arguments::command(), "artifortress", &mut script);
        let script = String::from_utf8(script).unwrap();
        for (_, command) in commands() {
            assert!(script.contains(command.get_name()), "{shell}: {} is not known", command.get_name());
        }
    }
}
