//! A document read in pieces against the same read whole.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::error::Code;

/// What was kept, under which name a tarball was attached, and its bytes.
type Scanned = (Vec<u8>, Option<String>, Vec<u8>);

fn scanned(text: &[u8], piece_bytes: &[usize]) -> Result<Scanned> {
    let (mut scanner, mut bytes, mut rest) = (Scanner::default(), Vec::new(), text);
    let mut lengths = piece_bytes.iter().copied().cycle();
    while !rest.is_empty() {
        let length = lengths.next().unwrap_or(rest.len()).clamp(1, rest.len());
        scanner.feed(&rest[..length], &mut bytes)?;
        rest = &rest[length..];
    }
    let (kept, tarball) = scanner.finish();
    Ok((kept, tarball, bytes))
}

fn document(text: &str) -> Scanned {
    scanned(text.as_bytes(), &[7]).unwrap()
}

/// Any JSON that has the words in question in all places.
fn any_json() -> impl Strategy<Value = Value> {
    let word = prop_oneof![Just("_attachments".to_owned()), Just("data".to_owned()), Just("a-1.0.0.tgz".to_owned()), ".{0,6}"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
        "[\"\\\\{}\\[\\]:,/]{0,6}".prop_map(Value::from),
        Just(json!("QUJD")),
    ];
    leaf.prop_recursive(5, 60, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((word.clone(), inner), 0..5).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Where a document has its tarballs, by what the parser of the whole finds.
fn tarballs(document: &Value) -> Vec<(String, String)> {
    let attachments = document.get("_attachments").and_then(Value::as_object);
    let data = |attachment: &Value| attachment.as_object()?.get("data")?.as_str().map(str::to_owned);
    attachments
        .into_iter()
        .flatten()
        .filter(|(name, _)| name.ends_with(".tgz"))
        .filter_map(|(name, value)| Some((name.clone(), data(value)?)))
        .collect()
}

/// The same text with some characters of its strings escaped.
fn escaped(text: &str, every: usize) -> String {
    // How many of the next characters belong to an escape.
    let (mut out, mut in_string, mut escape) = (String::new(), false, 0);
    for (index, letter) in text.chars().enumerate() {
        if escape > 0 {
            escape += if letter == 'u' && escape == 1 { 3 } else { -1 };
            out.push(letter);
        } else if letter == '\\' {
            escape = 1;
            out.push(letter);
        } else if in_string && letter != '"' && letter.is_ascii_graphic() && index % every == 0 {
            out.push_str(&format!("\\u{:04x}", u32::from(letter)));
        } else {
            in_string ^= letter == '"';
            out.push(letter);
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_document_in_pieces_is_the_document_at_once(value in any_json(), bytes in prop::collection::vec(any::<u8>(), 0..80),
        attach in any::<bool>(), pretty in any::<bool>(), every in 2_usize..9, pieces in prop::collection::vec(1_usize..40, 1..6)) {
        let mut value = value;
        if attach {
            if !value.is_object() { value = json!({"x": value}); }
            value["_attachments"] = json!({"a-1.0.0.tgz": {"length": bytes.len(), "data": STANDARD.encode(&bytes)}, "b.sigstore": {"data": "{\"x\": 1}"}});
        }
        let plain = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        for text in [plain.clone(), escaped(&plain, every)] {
            prop_assert_eq!(&serde_json::from_str::<Value>(&text).unwrap(), &value);
            let expected = tarballs(&value);
            let whole = expected.iter().map(|(_, data)| STANDARD.decode(data)).collect::<Result<Vec<_>, _>>();
            match (scanned(text.as_bytes(), &pieces), whole) {
                (Ok((kept, name, bytes)), Ok(whole)) => {
                    prop_assert!(expected.len() <= 1);
                    prop_assert_eq!(name.as_ref(), expected.first().map(|(name, _)| name));
                    prop_assert_eq!(bytes, whole.first().cloned().unwrap_or_default());
                    let mut emptied = value.clone();
                    if let Some(name) = name { emptied["_attachments"][name]["data"] = json!(""); }
                    prop_assert_eq!(serde_json::from_slice::<Value>(&kept).unwrap(), emptied);
                }
                (Err(_), whole) => prop_assert!(whole.is_err() || expected.len() > 1),
                (Ok(_), Err(fault)) => prop_assert!(false, "{fault} was not found in {text}"),
            }
        }
    }

    #[test]
    fn no_bytes_at_all_make_the_reader_fail_otherwise_than_in_words(bytes in prop::collection::vec(prop_oneof![Just(b'"'), Just(b'{'), Just(b'\\'), Just(b':'), Just(b','), any::<u8>()], 0..200)) {
        let whole = scanned(&bytes, &[1000]);
        let pieces = scanned(&bytes, &[1, 3]);
        prop_assert_eq!(whole.ok(), pieces.ok());
    }
}

#[test]
fn names_and_text_may_be_escaped_in_every_way_that_json_knows() {
    let (kept, name, bytes) = document(r#"{"\u005fattachments":{"a\u002etgz":{"d\u0061ta":"\/\/\u002b\u0041"}},"name":"a"}"#);
    assert_eq!((name.as_deref(), bytes), (Some("a.tgz"), STANDARD.decode("//+A").unwrap()));
    assert_eq!(kept, br#"{"\u005fattachments":{"a\u002etgz":{"d\u0061ta":""}},"name":"a"}"#);
}

#[test]
fn only_the_text_of_a_tarball_is_taken_out() {
    for text in [
        r#"{"_attachments":{"a.sigstore":{"data":"QUJD"}}}"#,
        r#"{"_attachments":{"a.tgz":{"data":["QUJD"],"more":{"data":"QUJD"}}}}"#,
        r#"{"x":{"_attachments":{"a.tgz":{"data":"QUJD"}}}}"#,
        r#"[{"_attachments":{"a.tgz":{"data":"QUJD"}}}]"#,
        r#"{"_attachments":[{"a.tgz":{"data":"QUJD"}}],"a.tgz":{"data":"QUJD"}}"#,
    ] {
        assert_eq!(document(text), (text.as_bytes().to_vec(), None, Vec::new()));
    }
}

#[test]
fn what_no_publish_has_is_refused_in_words() {
    let deep = "[".repeat(200);
    for (text, word) in [
        (r#"{"_attachments":{"a.tgz":{"data":"QU JD"}}}"#, "no base64"),
        (r#"{"_attachments":{"a.tgz":{"data":"QUJD\n"}}}"#, "characters that base64 has not"),
        (r#"{"_attachments":{"a.tgz":{"data":"\u00e9"}}}"#, "characters that base64 has not"),
        (r#"{"_attachments":{"a.tgz":{"data":"QUI"}}}"#, "ends too early"),
        (r#"{"_attachments":{"a.tgz":{"data":"QUI=QUI="}}}"#, "base64"),
        (r#"{"_attachments":{"a.tgz":{"data":""},"b.tgz":{"data":""}}}"#, "two tarballs, a.tgz and b.tgz"),
        (r#"{"_attachments":{"a.tgz":{"data":"","data":""}}}"#, "two tarballs"),
        (&deep, "levels deep"),
    ] {
        let error = scanned(text.as_bytes(), &[5]).unwrap_err();
        assert_eq!(error.code(), Code::BadRequest);
        assert!(error.message().contains(word), "{error}");
    }
}

#[test]
fn the_document_beside_the_tarball_is_limited_and_the_tarball_is_not() {
    let (mut scanner, mut bytes) = (Scanner::default(), Vec::new());
    scanner.feed(br#"{"_attachments":{"a.tgz":{"data":""#, &mut bytes).unwrap();
    let piece = vec![b'A'; 1024 * 1024];
    for _ in 0..64 {
        bytes.clear();
        scanner.feed(&piece, &mut bytes).unwrap();
        assert_eq!(bytes.len(), 768 * 1024);
    }
    assert!(scanner.kept.capacity() < 1024);
    scanner.feed(br#""}},"readme":""#, &mut bytes).unwrap();
    let fault = (0..17).find_map(|_| scanner.feed(&piece, &mut bytes).err()).unwrap();
    assert_eq!(fault.code(), Code::TooLarge);
    assert!(fault.message().contains("beside the tarball"), "{fault}");
}
