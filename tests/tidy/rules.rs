//! The rules. Invariant: each is a function from a source to its faults, so that the self-tests can show it failing.

use std::collections::BTreeMap;

use proc_macro2::{Delimiter, TokenTree};

use super::source::{Source, attribute_at, each_level, idents, is_ident, is_path_sign, is_punct};
use super::{LINES_LIMIT, ONLY, ROOMS};

/// Rooms named that the table does not allow, and names for the whole crate, behind which any room could hide.
pub fn wrong_rooms(source: &Source) -> Vec<String> {
    let room = source.room();
    let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
        return vec![source.fault(1, &format!("the room {room} is not in the table"))];
    };
    if allowed.contains(&"*") {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for path in source.named_paths() {
        match path.segments.first().map(String::as_str) {
            None | Some("*") => faults.push(source.fault(path.line, &format!("{room} names the whole crate"))),
            Some(named) if named == room || (allowed.contains(&named) && is_open(&room, named, path.segments.get(1))) => {}
            Some(named) => faults.push(source.fault(path.line, &format!("{room} may not name {named} ({})", path.segments.join("::")))),
        }
    }
    faults
}

/// Whether `room` may name this item of another room that it may name.
fn is_open(room: &str, named: &str, item: Option<&String>) -> bool {
    let only = ONLY.iter().find(|(from, to, _)| *from == room && *to == named);
    only.is_none_or(|(_, _, items)| item.is_some_and(|item| items.contains(&item.as_str())))
}

/// Paths from one format into another. What lies directly in `src/formats/` is common to all.
pub fn formats_named_by_formats(source: &Source) -> Vec<String> {
    let module = source.module();
    let Some(own) = module.get(1).filter(|_| module.first().is_some_and(|room| room == "formats")) else { return Vec::new() };
    // A file directly in `src/formats/` is common to all formats: it may name its neighbours, but no format.
    let is_common = source.path.matches('/').count() == 2;
    let is_module = |name: &str| !is_common && name.chars().all(|sign| sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == '_');
    source
        .named_paths()
        .into_iter()
        .filter(|path| path.segments.first().is_some_and(|room| room == "formats"))
        .filter(|path| match path.segments.get(1) {
            // A path of two segments ends at an item of `formats` itself, unless it is a format's module.
            Some(named) => {
                named != own && (named == "*" || (is_module(named) && path.segments.len() > 2) || FORMATS.contains(&named.as_str()))
            }
            None => true,
        })
        .map(|path| source.fault(path.line, &format!("the format {own} names {}", path.segments.join("::"))))
        .collect()
}

const FORMATS: &[&str] = &["generic", "pypi", "npm", "cargo", "oci", "maven", "go"];

/// A file longer than the limit.
pub fn too_long(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    if lines > LINES_LIMIT { vec![source.fault(lines, &format!("{lines} lines, {LINES_LIMIT} are allowed"))] } else { Vec::new() }
}

/// A file that does not begin with `//!` and some words.
pub fn without_introduction(source: &Source) -> Vec<String> {
    let introduction = source.text.lines().next().and_then(|line| line.strip_prefix("//!")).map(str::trim);
    match introduction {
        Some(words) if words.split_whitespace().count() >= 2 => Vec::new(),
        Some(_) | None => vec![source.fault(1, "no //! at the beginning")],
    }
}

/// SQL in literals, and the crates that speak it, outside the store.
pub fn sql_outside_the_store(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    if source.room() == "store" {
        return faults;
    }
    each_token(source, &mut |token| match token {
        TokenTree::Ident(ident) if ident == "rusqlite" || ident == "r2d2" => {
            faults.push(source.fault(ident.span().start().line, &format!("{ident} is named")));
        }
        TokenTree::Literal(literal) if is_sql(&literal.to_string()) => {
            faults.push(source.fault(literal.span().start().line, &format!("SQL: {literal}")));
        }
        TokenTree::Ident(_) | TokenTree::Literal(_) | TokenTree::Punct(_) | TokenTree::Group(_) => {}
    });
    faults
}

fn is_sql(literal: &str) -> bool {
    let text = literal.replace("\\n", " ").split_whitespace().collect::<Vec<_>>().join(" ");
    let text = format!("{} ", text.replace(['"', '#'], " "));
    let updates = text.split_once("UPDATE ").is_some_and(|(_, rest)| rest.contains(" SET "));
    updates
        || ["SELECT ", "INSERT INTO ", "INSERT OR ", "DELETE FROM ", "PRAGMA ", "BEGIN IMMEDIATE "].iter().any(|words| text.contains(words))
}

/// HTTP statuses by number or constant, outside the rooms that speak HTTP.
pub fn status_numbers(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    if ["http", "formats", "error"].contains(&source.room().as_str()) {
        return faults;
    }
    each_level(&source.shipped, &mut |tokens| {
        for (index, token) in tokens.iter().enumerate() {
            let TokenTree::Ident(ident) = token else { continue };
            let rest = &tokens[index + 1..];
            let is_status = match ident.to_string().as_str() {
                "StatusCode" => is_path_sign(tokens, index + 1),
                "from_u16" => rest.first().is_some_and(|token| arguments(token).is_some()),
                "status" => rest.first().and_then(arguments).is_some_and(|inner| match inner.first() {
                    Some(first) => is_number(first),
                    None => is_compared_with_a_number(&rest[1..]),
                }),
                _ => false,
            };
            if is_status {
                faults.push(source.fault(ident.span().start().line, &format!("an HTTP status at `{ident}`")));
            }
        }
    });
    faults
}

/// The tokens in round brackets, if it is these.
fn arguments(token: &TokenTree) -> Option<Vec<TokenTree>> {
    match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis => Some(group.stream().into_iter().collect()),
        TokenTree::Group(_) | TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => None,
    }
}

fn is_number(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Literal(literal) if literal.to_string().starts_with(|sign: char| sign.is_ascii_digit()))
}

fn is_compared_with_a_number(tokens: &[TokenTree]) -> bool {
    let signs = tokens.iter().take_while(|token| "=!<>".chars().any(|sign| is_punct(token, sign))).count();
    signs > 0 && tokens.get(signs).is_some_and(is_number)
}

/// Tests that are skipped, always or under a condition.
pub fn ignored_tests(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    each_level(&source.all, &mut |tokens| {
        for index in 0..tokens.len() {
            let Some((attribute, _)) = attribute_at(tokens, index) else { continue };
            let words = idents(attribute.stream());
            let is_conditional = words.first().is_some_and(|word| word == "cfg_attr");
            if words.first().is_some_and(|word| word == "ignore") || (is_conditional && words.iter().any(|word| word == "ignore")) {
                faults.push(source.fault(attribute.span().start().line, "an ignored test"));
            }
        }
    });
    faults
}

/// Migrations that no literal of the store names, and numbers that are missing or double. Names look like `0001_initial.sql`, or
/// `search/0001_documents.sql` for another database, whose numbers are its own. They come sorted.
pub fn unlisted_migrations(migrations: &[String], store: &[Source]) -> Vec<String> {
    let mut literals = Vec::new();
    for source in store {
        each_token(source, &mut |token| {
            if let TokenTree::Literal(literal) = token {
                literals.push(literal.to_string());
            }
        });
    }
    let mut faults = Vec::new();
    let mut numbers = BTreeMap::new();
    for name in migrations {
        let (database, file) = name.rsplit_once('/').unwrap_or(("", name));
        let number = numbers.entry(database).or_insert(0);
        *number += 1;
        if !file.starts_with(&format!("{number:04}_")) {
            faults.push(format!("schema/{name}: number {number:04} is expected here"));
        }
        if !literals.iter().any(|literal| literal.trim_matches(['"', 'r', '#']).ends_with(&format!("schema/{name}"))) {
            faults.push(format!("schema/{name}: no include_str! of it in src/store/"));
        }
    }
    faults
}

/// Hosts of public registries in a text. The names are put together here, so that this file does not contain them.
pub fn registry_hosts(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.to_ascii_lowercase();
        for (name, domain) in REGISTRIES {
            if line.contains(&[*name, *domain].join(".")) {
                faults.push(format!("{path}:{}: the host of a public registry ({name})", index + 1));
            }
        }
    }
    faults
}

/// Name and top-level domain of hosts.
pub const REGISTRIES: &[(&str, &str)] = &[
    ("pypi", "org"),
    ("pythonhosted", "org"),
    ("npmjs", "org"),
    ("npmjs", "com"),
    ("yarnpkg", "com"),
    ("crates", "io"),
    ("docker", "io"),
    ("docker", "com"),
    ("ghcr", "io"),
    ("quay", "io"),
    ("gcr", "io"),
    ("repo1.maven", "org"),
    ("maven.apache", "org"),
    ("sonatype", "org"),
    ("golang", "org"),
    ("rubygems", "org"),
    ("nuget", "org"),
    ("packagist", "org"),
    ("anaconda", "org"),
    ("hex", "pm"),
];

fn each_token(source: &Source, look: &mut impl FnMut(&TokenTree)) {
    each_level(&source.shipped, &mut |tokens| tokens.iter().for_each(&mut *look));
}

/// Whether a source names an identifier in its shipped code; used by the self-tests.
pub fn names(source: &Source, name: &str) -> bool {
    let mut found = false;
    each_token(source, &mut |token| found |= is_ident(token, name));
    found
}
