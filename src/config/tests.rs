//! Tests of the settings: which layer wins, and that every fault is told at once.

use super::*;

fn variables(pairs: &[(&str, &str)]) -> Environment {
    let home = std::iter::once(("HOME", "/home/somebody"));
    home.chain(pairs.iter().copied()).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn with_file(text: &str, pairs: &[(&str, &str)], flags: Flags) -> Result<Config, Faults> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("artifortress.toml");
    std::fs::write(&path, text).unwrap();
    Config::from_sources(&Flags { config: Some(path), ..flags }, &variables(pairs))
}

fn from_variables(pairs: &[(&str, &str)]) -> Result<Config, Faults> {
    Config::from_sources(&Flags::default(), &variables(pairs))
}

#[test]
fn nothing_configured_gives_the_defaults() {
    let config = from_variables(&[]).unwrap();
    assert_eq!(config, Config::in_directory(Path::new("/home/somebody/.local/share/artifortress")));
    assert_eq!(config.listen[0].to_string(), "127.0.0.1:8466");
}

#[test]
fn the_data_directory_is_systemds_else_the_users() {
    let all = [("STATE_DIRECTORY", "/var/lib/artifortress:/var/lib/other"), ("XDG_DATA_HOME", "/data")];
    assert_eq!(from_variables(&all).unwrap().data_dir, Path::new("/var/lib/artifortress"));
    assert_eq!(from_variables(&all[1..]).unwrap().data_dir, Path::new("/data/artifortress"));
    let faults = Config::from_sources(&Flags::default(), &Environment::new()).unwrap_err();
    assert!(faults.to_string().contains("--data-dir"), "{faults}");
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let file = "data_dir = '/file'\nlisten = ['0.0.0.0:1', '[::1]:2']\n[jobs]\nworkers = 3\nbatch = 7\n";
    let pairs = [("ARTIFORTRESS_DATA_DIR", "/variable"), ("ARTIFORTRESS_JOBS__WORKERS", "4"), ("ARTIFORTRESS_LISTEN", "[::1]:2")];
    let config = with_file(file, &[], Flags::default()).unwrap();
    assert_eq!((config.data_dir.as_path(), config.jobs.workers), (Path::new("/file"), 3));
    assert_eq!(config.listen, ["0.0.0.0:1".parse::<Listen>().unwrap(), "[::1]:2".parse().unwrap()]);
    let config = with_file(file, &pairs, Flags::default()).unwrap();
    assert_eq!((config.data_dir.as_path(), config.jobs.workers, config.jobs.batch), (Path::new("/variable"), 4, 7));
    assert_eq!(config.listen, ["[::1]:2".parse::<Listen>().unwrap()]);
    let flags = Flags { data_dir: Some(PathBuf::from("/flag")), listen: vec!["127.0.0.1:3".to_owned()], config: None };
    let config = with_file(file, &pairs, flags).unwrap();
    assert_eq!((config.data_dir.as_path(), config.listen[0].to_string().as_str()), (Path::new("/flag"), "127.0.0.1:3"));
}

#[test]
fn a_list_of_addresses_can_come_from_the_environment() {
    let config = from_variables(&[("ARTIFORTRESS_LISTEN", r#"["127.0.0.1:1", "[::1]:2"]"#)]).unwrap();
    assert_eq!(config.listen.len(), 2);
}

#[test]
fn a_filter_for_the_log_can_come_from_the_environment() {
    let config =
        from_variables(&[("ARTIFORTRESS_LOG__LEVEL", "info,artifortress::store=debug"), ("ARTIFORTRESS_LOG__FORMAT", "json")]).unwrap();
    assert_eq!((config.log.level.as_str(), config.log.format), ("info,artifortress::store=debug", LogFormat::Json));
}

#[test]
fn all_faults_are_told_together_each_with_its_key_and_its_source() {
    let file =
        "colour = 'red'\nlisten = 'somewhere'\n[http]\nmax_connections = 'many'\njson_limit = 5\n[log]\nformat = 'xml'\nlevel = 'a=b=c'\n";
    let pairs = [("ARTIFORTRESS_JOBS__WORKERS", "0"), ("ARTIFORTRESS_JOBS_BATCH", "1"), ("ARTIFORTRESS_STORE__READERS", "-1")];
    let faults = with_file(file, &pairs, Flags { data_dir: Some(PathBuf::new()), ..Flags::default() }).unwrap_err();
    for (key, source) in [
        ("colour: there is no such setting; there are bootstrap_token_file, data_dir, listen, public_url", "artifortress.toml)"),
        ("listen: this is no address", "artifortress.toml)"),
        ("http.max_connections: a text is not what belongs here", "artifortress.toml)"),
        ("http.json_limit: there is no such setting; there are http.advisories_limit_bytes", "artifortress.toml)"),
        ("log.format: ", "artifortress.toml)"),
        ("log.level: ", "artifortress.toml)"),
        ("jobs.workers: 0 is outside 1 to 64", "(environment variable ARTIFORTRESS_JOBS__WORKERS)"),
        ("jobs_batch: there is no such setting; jobs.batch is meant", "(environment variable ARTIFORTRESS_JOBS_BATCH)"),
        ("store.readers: ", "(environment variable ARTIFORTRESS_STORE__READERS)"),
        ("data_dir: it is empty", "(command line)"),
    ] {
        assert!(faults.0.iter().any(|fault| fault.starts_with(key) && fault.ends_with(source)), "{key} {source}\n{faults}");
    }
    assert_eq!(faults.0.len(), 10, "{faults}");
}

#[test]
fn a_file_that_is_missing_or_no_toml_is_a_fault_beside_the_others() {
    let broken = with_file("data_dir = \n", &[("ARTIFORTRESS_JOBS__WORKERS", "0")], Flags::default()).unwrap_err();
    assert_eq!(broken.0.len(), 2, "{broken}");
    assert!(broken.0[0].contains("line 1"), "{broken}");
    let flags = Flags { config: Some(PathBuf::from("/nowhere/artifortress.toml")), ..Flags::default() };
    let missing = Config::from_sources(&flags, &variables(&[])).unwrap_err();
    assert!(missing.to_string().contains("/nowhere/artifortress.toml"), "{missing}");
}

#[test]
fn a_section_given_as_a_value_and_a_value_given_as_a_section_are_faults() {
    assert!(with_file("http = 5\n", &[], Flags::default()).is_err());
    assert!(with_file("[data_dir]\nx = 1\n", &[], Flags::default()).is_err());
}

#[test]
fn private_addresses_are_allowed_to_webhooks_by_a_setting_alone() {
    assert!(!from_variables(&[]).unwrap().webhooks.allow_private_addresses);
    let config =
        from_variables(&[("ARTIFORTRESS_WEBHOOKS__ALLOW_PRIVATE_ADDRESSES", "true"), ("ARTIFORTRESS_WEBHOOKS__TIMEOUT_MS", "500")]);
    let webhooks = config.unwrap().webhooks;
    assert_eq!((webhooks.allow_private_addresses, webhooks.timeout_ms), (true, 500));
    assert!(from_variables(&[("ARTIFORTRESS_WEBHOOKS__ALLOW_PRIVATE_ADDRESSES", "sometimes")]).is_err());
}

#[test]
fn a_variable_that_is_not_unicode_is_a_fault_and_never_a_path() {
    let name = String::from_utf8_lossy(b"/data/\xff").into_owned();
    let faults = from_variables(&[("ARTIFORTRESS_DATA_DIR", &name)]).unwrap_err();
    assert_eq!(faults.0, ["environment variable ARTIFORTRESS_DATA_DIR: it is not Unicode text"]);
}

#[test]
fn proxies_the_public_address_and_the_mode_of_sockets_are_read_or_refused_in_words() {
    let pairs = [
        ("ARTIFORTRESS_HTTP__TRUSTED_PROXIES", r#"["10.0.0.0/8", "::1"]"#),
        ("ARTIFORTRESS_HTTP__UNIX_SOCKET_MODE", "0640"),
        ("ARTIFORTRESS_PUBLIC_URL", "https://packages.example/"),
    ];
    let transport = from_variables(&pairs).unwrap().transport;
    assert_eq!(transport.trusted_proxies, ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]);
    assert_eq!((transport.unix_socket_mode, transport.public_url.as_deref()), (0o640, Some("https://packages.example")));
    let file = "public_url = 'https://_:secret@packages.example'\n[http]\ntrusted_proxies = ['0.0.0.0/0', 'proxy.example']\nunix_socket_mode = '0999'\n";
    let faults = with_file(file, &[], Flags::default()).unwrap_err();
    assert_eq!(faults.0.len(), 4, "{faults}");
    assert!(!faults.to_string().contains("secret"), "{faults}");
}

/// A file of the repository.
fn shipped(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn every_setting_that_is_read_is_described_once_and_no_other() {
    let mut reader = Reader::new(Figment::new(), Vec::new());
    Config::read(&mut reader, &variables(&[]));
    let described: Vec<&str> = catalogue::SETTINGS.iter().map(|setting| setting.key).collect();
    let once: std::collections::BTreeSet<&str> = described.iter().copied().collect();
    assert_eq!(&once, reader.known());
    assert_eq!(once.len(), described.len());
}

#[test]
fn the_file_that_ships_and_the_readme_say_what_the_descriptions_say() {
    assert_eq!(shipped("packaging/artifortress.toml"), catalogue::file(), "artifortress config default > packaging/artifortress.toml");
    assert!(shipped("README.md").contains(&catalogue::table()), "the README has this table:\n{}", catalogue::table());
}

#[test]
fn the_file_that_ships_sets_nothing_and_its_defaults_are_the_ones_that_count() {
    let defaults = from_variables(&[]).unwrap();
    assert_eq!(with_file(&catalogue::file(), &[], Flags::default()).unwrap(), defaults);
    let is_default = |line: &str| line.strip_prefix('#').is_some_and(|rest| rest.starts_with(|sign: char| sign.is_ascii_lowercase()));
    let bare = |line: &str| if is_default(line) { line[1..].to_owned() } else { line.to_owned() };
    let spelt: Vec<String> = catalogue::file().lines().map(bare).collect();
    assert!(spelt.iter().filter(|line| line.contains(" = ") && !line.starts_with('#')).count() > 40);
    assert_eq!(with_file(&spelt.join("\n"), &[], Flags::default()).unwrap(), defaults);
}

#[test]
fn the_examples_in_the_file_that_ships_are_well() {
    let examples: Vec<(&str, &str)> = catalogue::SETTINGS
        .iter()
        .filter_map(|setting| match setting.default {
            catalogue::Default::Unset { example, .. } => Some((setting.key, example)),
            catalogue::Default::Value { .. } => None,
        })
        .collect();
    let lines: Vec<String> = examples.iter().map(|(key, example)| format!("{key} = {example}")).collect();
    with_file(&lines.join("\n"), &[], Flags::default()).unwrap();
}

#[test]
fn the_bounds_that_are_told_are_those_that_count() {
    for (key, range) in ranges() {
        let (from, to) = range.split_once(" to ").unwrap();
        let (from, to): (i128, i128) = (from.parse().unwrap(), to.parse().unwrap());
        for (value, is_good) in [(from, true), (to, true), (from - 1, false), (to + 1, false)] {
            let text = format!("{key} = {value}");
            assert_eq!(with_file(&text, &[], Flags::default()).is_ok(), is_good, "{text}");
        }
    }
    assert!(ranges().len() > 30);
}

#[test]
fn each_setting_is_shown_as_it_counts_with_its_source() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("settings.toml");
    std::fs::write(&path, "data_dir = '/file'\n[jobs]\nworkers = 3\nbatch = 7\n[log]\ndirectory = '/log'\n").unwrap();
    std::fs::write(directory.path().join("bootstrap-token"), "").unwrap();
    let (file, place) = (path.to_str().unwrap(), directory.path().to_str().unwrap());
    let pairs = [("ARTIFORTRESS_CONFIG", file), ("ARTIFORTRESS_JOBS__WORKERS", "4"), ("CREDENTIALS_DIRECTORY", place)];
    let flags = Flags { listen: vec!["127.0.0.1:3".to_owned()], ..Flags::default() };
    let (config, reader) = Config::gather(&flags, &variables(&pairs)).unwrap();
    let settings = shown::in_force(&reader, &config);
    let told = |key: &str| {
        let setting = settings.iter().find(|setting| setting.key == key).unwrap();
        (setting.value.clone().unwrap_or_default(), setting.source.clone())
    };
    let from_file = format!("file {file}");
    assert_eq!(told("data_dir"), ("\"/file\"".to_owned(), from_file.clone()));
    assert_eq!(told("jobs.batch"), ("7".to_owned(), from_file));
    assert_eq!(told("jobs.workers"), ("4".to_owned(), "environment variable ARTIFORTRESS_JOBS__WORKERS".to_owned()));
    assert_eq!(told("listen"), ("[\"127.0.0.1:3\"]".to_owned(), "command line".to_owned()));
    assert_eq!(told("bootstrap_token_file").1, "credential");
    assert_eq!(told("jobs.max_attempts"), ("5".to_owned(), "default".to_owned()));
    assert_eq!(told("public_url"), (String::new(), "default".to_owned()));
    assert_eq!(settings.len(), catalogue::SETTINGS.len());
}

#[test]
fn the_settings_that_are_shown_give_the_same_settings_again() {
    let pairs =
        [("ARTIFORTRESS_JOBS__WORKERS", "4"), ("ARTIFORTRESS_LOG__DIRECTORY", "/log"), ("ARTIFORTRESS_TLS__CERTIFICATE_FILE", "/c")];
    let pairs = variables(&[&pairs[..], &[("ARTIFORTRESS_TLS__KEY_FILE", "/k")]].concat());
    let (config, reader) = Config::gather(&Flags::default(), &pairs).unwrap();
    let settings = shown::in_force(&reader, &config);
    let lines: Vec<String> = settings.iter().filter_map(|setting| Some(format!("{} = {}", setting.key, setting.value.as_ref()?))).collect();
    assert_eq!(with_file(&lines.join("\n"), &[], Flags::default()).unwrap(), config);
}

#[test]
fn a_service_finds_the_first_token_among_its_credentials() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().to_str().unwrap();
    assert_eq!(from_variables(&[("CREDENTIALS_DIRECTORY", place)]).unwrap().bootstrap_token_file, None);
    std::fs::write(directory.path().join("bootstrap-token"), "").unwrap();
    let found = from_variables(&[("CREDENTIALS_DIRECTORY", place)]).unwrap().bootstrap_token_file;
    assert_eq!(found, Some(directory.path().join("bootstrap-token")));
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    let strings: Vec<String> = catalogue::SETTINGS
        .iter()
        // A path or a text may be anything that is not recognised as a token.
        .filter(|setting| {
            !["data_dir", "tls.certificate_file", "tls.key_file", "tls.client_ca_file", "log.directory"].contains(&setting.key)
        })
        .map(|setting| format!("{} = \"aft_PLANTED=a=b\"", setting.key))
        .collect();
    let places = [
        "bootstrap_token = aft_PLANTED",
        "bootstrap_token_file = \"aft_PLANTED\"",
        "[http]\n\naft_PLANTED",
        "listen = [\"unix:aft_PLANTED\"]",
    ];
    for text in places.into_iter().chain(strings.iter().map(String::as_str)) {
        let faults = with_file(text, &[], Flags::default()).unwrap_err().to_string();
        assert!(!faults.contains("PLANTED"), "{faults}");
    }
    let faults = with_file("listen = \"127.0.0.1:1\"\n[http\n", &[], Flags::default()).unwrap_err().to_string();
    assert!(faults.contains("line 2"), "{faults}");
}
