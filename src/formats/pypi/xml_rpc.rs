//! XML-RPC, which `pip search` speaks and nothing else here does. Invariant: a call is small, of it only elements and text are read, and
//! a document type is refused; whatever cannot be answered is a fault in words.

use std::sync::Arc;

use askama::Template;
use quick_xml::Reader;
use quick_xml::events::Event;

use crate::app::App;
use crate::domain::access::{Permit, Read};
use crate::domain::name::{Coordinates, PackageType};
use crate::error::{Code, Error, Result};
use crate::http::{Cache, Reply, Request};
use crate::registry::PACKAGES_PAGE_LIMIT;

/// Bytes of a call.
const CALL_LIMIT_BYTES: u64 = 64 * 1024;
/// Elements inside one another.
const DEPTH_LIMIT: usize = 32;
/// Texts that are searched for.
const TEXTS_LIMIT: usize = 32;
/// Codes that those who speak XML-RPC agreed on.
const NOT_WELL_FORMED: i32 = -32700;
const NO_METHOD: i32 = -32601;
const BAD_ARGUMENTS: i32 = -32602;

/// POST of a call.
pub(super) async fn call(app: Arc<App>, permit: Permit<Read>, mut request: Request) -> Result<Reply> {
    let body = request.body.read_bounded(CALL_LIMIT_BYTES).await?;
    let answer = match Call::read(&String::from_utf8_lossy(&body)) {
        Ok(call) if call.method == "search" => search(&app, permit, call).await?,
        Ok(call) => Answer::fault(
            NO_METHOD,
            &format!("there is no method {} here, only search; projects and files are at the simple index", call.method),
        ),
        Err(why) => Answer::fault(NOT_WELL_FORMED, why),
    };
    let body = answer.render().map_err(|cause| Error::internal("writing an answer as XML", cause))?;
    Ok(Reply::bytes("text/xml; charset=utf-8", body).with_cache(Cache::NoStore))
}

async fn search(app: &Arc<App>, permit: Permit<Read>, call: Call) -> Result<Answer> {
    let text = call.texts.join(" ");
    let found = app.run(move |app| app.registry.package_search(&permit, &PackageType::pypi(), &text, PACKAGES_PAGE_LIMIT, 0)).await;
    match found {
        Ok(page) => Ok(Answer::Found(page.items.iter().map(|hit| Hit::of(&hit.version.coordinates, &hit.summary)).collect())),
        Err(error) if error.code() == Code::BadRequest => Ok(Answer::fault(BAD_ARGUMENTS, error.message())),
        Err(error) => Err(error),
    }
}

/// What a client calls for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Call {
    method: String,
    /// The texts of the members `name` and `summary`, each once.
    texts: Vec<String>,
}

impl Call {
    fn read(text: &str) -> std::result::Result<Call, &'static str> {
        const BROKEN: &str = "this is no whole call of XML-RPC";
        let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
        let (mut call, mut member) = (Call::default(), String::new());
        let (mut path, mut value, mut is_whole) = (Vec::<String>::new(), String::new(), false);
        loop {
            match reader.read_event().map_err(|_| BROKEN)? {
                Event::Start(element) => {
                    if path.len() >= DEPTH_LIMIT {
                        return Err("the call is nested too deep");
                    }
                    path.push(element.local_name().as_ref().to_owned());
                    value.clear();
                }
                Event::End(_) => {
                    call.end(&path, value.trim(), &mut member);
                    path.pop();
                    value.clear();
                    is_whole |= path.is_empty();
                }
                Event::Text(text) => value.push_str(&text),
                Event::CData(text) => value.push_str(&text),
                Event::GeneralRef(reference) => match reference.resolve_char_ref() {
                    Ok(Some(sign)) => value.push(sign),
                    Ok(None) => value.push_str(quick_xml::escape::resolve_predefined_entity(&reference).ok_or(BROKEN)?),
                    Err(_) => return Err(BROKEN),
                },
                Event::DocType(_) => return Err("a call has no document type"),
                Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
                Event::Eof if is_whole && path.is_empty() && !call.method.is_empty() => return Ok(call),
                Event::Eof => return Err(BROKEN),
            }
        }
    }

    /// An element ended.
    fn end(&mut self, path: &[String], value: &str, member: &mut String) {
        let mut last = path.iter().rev().map(String::as_str);
        match (last.next().unwrap_or_default(), last.next().unwrap_or_default()) {
            ("methodName", "methodCall") => value.clone_into(&mut self.method),
            ("name", "member") => value.clone_into(member),
            ("struct", _) => member.clear(),
            ("string" | "value", _) if ["name", "summary"].contains(&member.as_str()) && !value.is_empty() => {
                if self.texts.len() < TEXTS_LIMIT && !self.texts.iter().any(|text| text == value) {
                    self.texts.push(value.to_owned());
                }
            }
            _ => {}
        }
    }
}

/// What is answered.
#[derive(Template)]
#[template(
    ext = "xml",
    source = r#"<?xml version="1.0" encoding="UTF-8"?>
<methodResponse>
{% match self %}{% when Answer::Found with (hits) %}<params><param><value><array><data>
{% for hit in hits %}<value><struct>
<member><name>name</name><value><string>{{ hit.name }}</string></value></member>
<member><name>version</name><value><string>{{ hit.version }}</string></value></member>
<member><name>summary</name><value><string>{{ hit.summary }}</string></value></member>
</struct></value>
{% endfor %}</data></array></value></param></params>
{% when Answer::Fault with { code, words } %}<fault><value><struct>
<member><name>faultCode</name><value><int>{{ code }}</int></value></member>
<member><name>faultString</name><value><string>{{ words }}</string></value></member>
</struct></value></fault>
{% endmatch %}</methodResponse>
"#
)]
enum Answer {
    Found(Vec<Hit>),
    Fault { code: i32, words: String },
}

impl Answer {
    fn fault(code: i32, words: &str) -> Answer {
        Answer::Fault { code, words: plain(words) }
    }
}

/// A project that was found.
struct Hit {
    name: String,
    version: String,
    summary: String,
}

impl Hit {
    fn of(at: &Coordinates, summary: &str) -> Hit {
        Hit { name: at.package().name().to_owned(), version: at.version().to_owned(), summary: plain(summary) }
    }
}

/// The text without what XML 1.0 cannot hold.
fn plain(text: &str) -> String {
    text.chars().filter(|sign| !matches!(sign, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIP: &str = "<?xml version='1.0'?>\n<methodCall>\n<methodName>search</methodName>\n<params>\n<param>\n<value><struct>\n\
        <member>\n<name>name</name>\n<value><array><data>\n<value><string>a &lt;b&#62;</string></value>\n<value>two</value></data></array></value>\n</member>\n\
        <member>\n<name>summary</name>\n<value><string>two</string></value>\n</member>\n<member><name>other</name><value>no</value></member></struct></value>\n\
        </param>\n<param>\n<value><string>or</string></value>\n</param>\n</params>\n</methodCall>";

    #[test]
    fn a_call_of_pip_is_read() {
        let call = Call::read(PIP).unwrap();
        assert_eq!(call, Call { method: "search".to_owned(), texts: vec!["a <b>".to_owned(), "two".to_owned()] });
    }

    #[test]
    fn what_is_no_call_is_refused_in_words() {
        let deep = "<value>".repeat(DEPTH_LIMIT + 1);
        let bomb = "<!DOCTYPE a [<!ENTITY b \"c\">]><methodCall><methodName>&b;</methodName></methodCall>";
        let unknown = "<methodCall><methodName>&b;</methodName></methodCall>";
        for text in ["", "{}", "<methodCall>", "<methodCall></methodCall>", &deep, bomb, unknown, &PIP[..PIP.len() - 5], "<a></b>"] {
            assert!(Call::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_found_is_escaped() {
        let hit = Hit { name: "demo".to_owned(), version: "1.0".to_owned(), summary: plain("<&>\u{1} ü") };
        let text = Answer::Found(vec![hit]).render().unwrap();
        let shown = text.lines().find(|line| line.contains("summary")).unwrap();
        assert!(!shown.contains("<&>") && !shown.contains('\u{1}') && shown.contains('ü'), "{shown}");
    }
}
