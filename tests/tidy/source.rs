//! One Rust file as tokens. Invariant: comments are gone, and so are attributes and what only tests compile, so that a rule sees
//! the code that ships and nothing else.

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};

/// A file of the project.
pub struct Source {
    /// Its path from the project's root, such as `src/store/mod.rs`.
    pub path: String,
    /// Its text.
    pub text: String,
    /// All its tokens.
    pub all: Vec<TokenTree>,
    /// Its tokens without attributes and without what only tests compile.
    pub shipped: Vec<TokenTree>,
}

/// A path that begins at the crate's root, as the code names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPath {
    /// Its segments below the root; `*` for all, empty for the root itself.
    pub segments: Vec<String>,
    /// Its line, from 1.
    pub line: usize,
}

impl Source {
    /// Parses a file; a file that is not Rust fails the test.
    pub fn new(path: &str, text: &str) -> Source {
        let stream: TokenStream = text.parse().unwrap_or_else(|fault| panic!("{path} cannot be read as Rust: {fault}"));
        let is_test = path.ends_with("/tests.rs");
        let shipped = if is_test { Vec::new() } else { shipped(stream.clone()) };
        Source { path: path.to_owned(), text: text.to_owned(), all: stream.into_iter().collect(), shipped }
    }

    /// The names of the modules that lead to this file: `["store", "writer"]` for `src/store/writer.rs`.
    pub fn module(&self) -> Vec<String> {
        let inner = self.path.strip_prefix("src/").unwrap_or(&self.path).trim_end_matches(".rs");
        let mut names: Vec<String> = inner.split('/').map(str::to_owned).collect();
        if names.last().is_some_and(|name| name == "mod") || ["lib", "main"].contains(&inner) {
            names.pop();
        }
        names
    }

    /// The room it belongs to: the first name below `src/`.
    pub fn room(&self) -> String {
        self.module().into_iter().next().unwrap_or_else(|| self.path.trim_start_matches("src/").trim_end_matches(".rs").to_owned())
    }

    /// Every path of the shipped code that begins with `crate`, `self` or `super`, imports and bodies alike.
    pub fn named_paths(&self) -> Vec<NamedPath> {
        let mut paths = Vec::new();
        collect_paths(&self.shipped, &self.module(), &mut paths);
        paths
    }

    /// A fault at a line of this file.
    pub fn fault(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path)
    }
}

/// Drops attributes and every item under `#[cfg(test)]`, at every depth.
fn shipped(stream: TokenStream) -> Vec<TokenTree> {
    let tokens: Vec<TokenTree> = stream.into_iter().collect();
    let (mut kept, mut index) = (Vec::new(), 0);
    while index < tokens.len() {
        if let Some((attribute, next)) = attribute_at(&tokens, index) {
            index = if is_for_tests(&attribute) { end_of_item(&tokens, next) } else { next };
            continue;
        }
        kept.push(match &tokens[index] {
            TokenTree::Group(group) => {
                let mut inner = Group::new(group.delimiter(), shipped(group.stream()).into_iter().collect());
                inner.set_span(group.span());
                TokenTree::Group(inner)
            }
            other @ (TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_)) => other.clone(),
        });
        index += 1;
    }
    kept
}

/// The attribute that begins at `index`, and what comes after it.
pub fn attribute_at(tokens: &[TokenTree], index: usize) -> Option<(Group, usize)> {
    if !is_punct(tokens.get(index)?, '#') {
        return None;
    }
    let at = if tokens.get(index + 1).is_some_and(|token| is_punct(token, '!')) { index + 2 } else { index + 1 };
    match tokens.get(at) {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Bracket => Some((group.clone(), at + 1)),
        _ => None,
    }
}

fn is_for_tests(attribute: &Group) -> bool {
    let words = idents(attribute.stream());
    words.first().is_some_and(|word| word == "cfg") && words.iter().any(|word| word == "test") && !words.iter().any(|word| word == "not")
}

/// The index after the item at `index`: after its body in braces or its semicolon.
fn end_of_item(tokens: &[TokenTree], index: usize) -> usize {
    let is_end = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => is_punct(token, ';'),
    };
    tokens[index..].iter().position(is_end).map_or(tokens.len(), |length| index + length + 1)
}

/// All identifiers of a stream, at every depth.
pub fn idents(stream: TokenStream) -> Vec<String> {
    stream
        .into_iter()
        .flat_map(|token| match token {
            TokenTree::Ident(ident) => vec![ident.to_string()],
            TokenTree::Group(group) => idents(group.stream()),
            TokenTree::Punct(_) | TokenTree::Literal(_) => Vec::new(),
        })
        .collect()
}

/// Shows every run of sibling tokens to `look`, the outermost first.
pub fn each_level(tokens: &[TokenTree], look: &mut impl FnMut(&[TokenTree])) {
    look(tokens);
    for token in tokens {
        if let TokenTree::Group(group) = token {
            each_level(&group.stream().into_iter().collect::<Vec<_>>(), look);
        }
    }
}

pub fn is_punct(token: &TokenTree, sign: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == sign)
}

pub fn is_ident(token: &TokenTree, name: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == name)
}

pub fn is_path_sign(tokens: &[TokenTree], index: usize) -> bool {
    tokens.get(index).is_some_and(|token| is_punct(token, ':')) && tokens.get(index + 1).is_some_and(|token| is_punct(token, ':'))
}

fn collect_paths(tokens: &[TokenTree], module: &[String], paths: &mut Vec<NamedPath>) {
    let mut index = 0;
    while index < tokens.len() {
        match &tokens[index] {
            TokenTree::Ident(ident) => {
                if let (true, Some(TokenTree::Ident(name)), Some(TokenTree::Group(body))) =
                    (ident == "mod", tokens.get(index + 1), tokens.get(index + 2))
                {
                    let inner: Vec<String> = module.iter().cloned().chain([name.to_string()]).collect();
                    collect_paths(&body.stream().into_iter().collect::<Vec<_>>(), &inner, paths);
                    index += 3;
                    continue;
                }
                if let Some(start) = start_of_path(tokens, index, ident, module) {
                    index = read_path(tokens, index + 1, start, ident.span().start().line, paths);
                    continue;
                }
            }
            TokenTree::Group(group) => collect_paths(&group.stream().into_iter().collect::<Vec<_>>(), module, paths),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
        index += 1;
    }
}

/// Where a path that begins with this word begins; `None` when it is no beginning of one.
fn start_of_path(tokens: &[TokenTree], index: usize, ident: &Ident, module: &[String]) -> Option<Vec<String>> {
    let goes_on = is_path_sign(tokens, index + 1);
    let is_renamed = tokens.get(index + 1).is_some_and(|token| is_ident(token, "as"));
    let is_extern = index > 0 && is_ident(&tokens[index - 1], "crate") && ident == "self";
    match ident.to_string().as_str() {
        "crate" if goes_on || is_renamed => Some(Vec::new()),
        "self" if is_extern => Some(Vec::new()),
        "self" if goes_on => Some(module.to_vec()),
        "super" if goes_on => Some(module[..module.len().saturating_sub(1)].to_vec()),
        _ => None,
    }
}

/// Reads on from `index`, after the segments in `path`; a group in braces gives one path for each of its items.
fn read_path(tokens: &[TokenTree], mut index: usize, mut path: Vec<String>, line: usize, paths: &mut Vec<NamedPath>) -> usize {
    while is_path_sign(tokens, index) {
        match tokens.get(index + 2) {
            Some(TokenTree::Ident(ident)) => step(&mut path, &ident.to_string()),
            Some(TokenTree::Punct(punct)) if punct.as_char() == '*' => path.push("*".to_owned()),
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                for item in group.stream().into_iter().collect::<Vec<_>>().split(|token| is_punct(token, ',')) {
                    read_item(item, &path, paths);
                }
                return index + 3;
            }
            Some(_) | None => break,
        }
        index += 3;
    }
    paths.push(NamedPath { segments: path, line });
    index
}

fn read_item(item: &[TokenTree], path: &[String], paths: &mut Vec<NamedPath>) {
    let mut path = path.to_vec();
    match item.first() {
        Some(TokenTree::Ident(ident)) => {
            step(&mut path, &ident.to_string());
            read_path(item, 1, path, ident.span().start().line, paths);
        }
        Some(TokenTree::Punct(star)) if star.as_char() == '*' => {
            path.push("*".to_owned());
            paths.push(NamedPath { segments: path, line: star.span().start().line });
        }
        Some(_) | None => {}
    }
}

fn step(path: &mut Vec<String>, segment: &str) {
    match segment {
        "self" => {}
        "super" => {
            path.pop();
        }
        name => path.push(name.to_owned()),
    }
}
