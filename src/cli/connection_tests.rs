//! Which server is asked, with which token, and what is said when that cannot be.

use super::*;

#[test]
fn an_address_is_read_as_people_write_it_and_what_is_none_is_explained_without_its_credentials() {
    for (text, read) in [
        ("http://127.0.0.1:8466", "http://127.0.0.1:8466/"),
        ("http://127.0.0.1:8466/", "http://127.0.0.1:8466/"),
        ("https://packages.example/registry/", "https://packages.example/registry"),
        ("http://[::1]:1", "http://[::1]:1/"),
    ] {
        assert_eq!(read_server(text).unwrap().url.as_str(), read);
    }
    for text in ["", "127.0.0.1:8466", "localhost:8466", "ftp://x", "http://", "file:///x", "http://x?y=1", "http://x#y", "unix:x"] {
        assert!(read_server(text).unwrap_err().contains("http://127.0.0.1:8466"), "{text}");
    }
    let refused = read_server("http://_:aft_secret@127.0.0.1:1").unwrap_err();
    assert!(refused.contains("--token-file") && !refused.contains("secret"), "{refused}");
}

#[test]
fn only_loopback_is_this_machine() {
    for local in
        ["http://127.0.0.1:1", "http://127.9.9.9", "http://[::1]:1", "http://localhost", "https://LOCALHOST:2", "http://[::ffff:127.0.0.1]"]
    {
        assert!(is_local(&read_server(local).unwrap().url), "{local}");
    }
    for other in ["http://192.0.2.1", "http://localhost.example", "http://[2001:db8::1]", "http://127.0.0.1.example"] {
        assert!(!is_local(&read_server(other).unwrap().url), "{other}");
    }
}

#[test]
fn the_address_that_is_asked_most_simply_comes_first() {
    let places = |texts: &[&str]| texts.iter().map(|text| read_server(text).unwrap()).collect::<Vec<_>>();
    let all = ["https://127.0.0.1:1", "http://192.0.2.1:2", "unix:/run/a b/http.sock", "http://127.0.0.1:3"];
    assert_eq!(nearest(places(&all), |_| true).unwrap().to_string(), "http://127.0.0.1:3");
    assert_eq!(nearest(places(&all[..3]), |_| true).unwrap().to_string(), "unix:/run/a b/http.sock");
    assert_eq!(nearest(places(&all[..3]), |place| place.socket.is_none()).unwrap().to_string(), "https://127.0.0.1:1");
    assert_eq!(nearest(Vec::new(), |_| true), None);
}

#[test]
fn the_directorys_token_is_not_sent_to_another_machine() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("admin-token"), "aft_secret\n").unwrap();
    let asked = |server: &str| {
        let flags = ServerFlags { server: Some(server.to_owned()), data_dir: Some(directory.path().to_owned()), ..ServerFlags::default() };
        Connection::find(&flags).unwrap()
    };
    assert!(asked("http://127.0.0.1:1").token.is_ok());
    assert!(asked("unix:/run/artifortress/http.sock").token.is_ok());
    let refused = asked("http://packages.example").token.unwrap_err();
    assert!(refused.contains("--token-file"), "{refused}");
}

#[test]
fn a_token_is_a_line_of_a_file_and_is_never_shown() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    assert!(read_token(&file).unwrap_err().contains("no such file"));
    for (content, is_token) in
        [("aft_secret\n", true), ("  aft_secret", true), ("", false), ("\n", false), ("two words", false), ("a\u{1b}b", false)]
    {
        std::fs::write(&file, content).unwrap();
        let read = read_token(&file);
        assert_eq!(read.is_ok(), is_token, "{content:?}");
        assert!(!format!("{read:?}").contains("secret"), "{read:?}");
    }
    std::fs::write(&file, "a".repeat(5000)).unwrap();
    assert!(read_token(&file).is_err());
}
