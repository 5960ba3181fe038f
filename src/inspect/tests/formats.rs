//! What is found in each kind of package.

use std::process::Command;

use super::*;

const ELF: &[u8] = b"\x7fELF\x02\x01\x01";

#[test]
fn a_wheel_says_its_licence_its_requirements_and_its_machine_code() {
    let headers = "License-Expression: MIT\nLicense: whatever\nClassifier: A :: B\nClassifier: C\nRequires-Dist: Foo_Bar[x]>1; extra == 'y'\nRequires-Dist: zope.interface (>1)\n";
    let contents = read("pypi", "demo-1.0.0-py3-none-any.whl", &wheel(headers, &[("demo/_speed.so", ELF), ("demo/x.py", b"x = 1")]));
    assert_eq!((contents.format, contents.unreadable), (ContentFormat::Wheel, None));
    assert_eq!(contents.license_terms, ["MIT"]);
    assert_eq!(contents.classifiers, ["A :: B", "C"]);
    assert_eq!(list(&contents.requires), ["foo-bar", "zope-interface"]);
    assert_eq!((list(&contents.binaries), contents.binary_count), (vec!["demo/_speed.so"], 1));
    assert!(contents.requires_complete && contents.install_scripts.is_empty() && contents.entry_count == 3);
    assert!(contents.unpacked_bytes > 100);
}

#[test]
fn a_real_wheel_is_read_to_its_end() {
    let code = "import ensurepip, pathlib; print(*(pathlib.Path(ensurepip.__file__).parent / '_bundled').glob('pip-*.whl'), *pathlib.Path('/usr/share/python-wheels').glob('pip-*.whl'), sep='\\n')";
    let output = Command::new("python3").args(["-c", code]).output().unwrap();
    let place = String::from_utf8(output.stdout).unwrap().lines().next().expect("Python brings a wheel of pip").to_owned();
    let (file_name, bytes) = (place.rsplit('/').next().unwrap(), std::fs::read(&place).unwrap());
    let version = file_name.split('-').nth(1).unwrap();
    let contents = read_within(&Limits::default(), &at("pypi", "", "pip", version), file_name, &bytes);
    assert_eq!((contents.unreadable, contents.requires_complete), (None, true));
    assert!(contents.entry_count > 100 && contents.license_terms == ["MIT"]);
}

#[test]
fn a_source_distribution_says_what_runs_when_it_is_installed_and_built() {
    let info: &[u8] = b"Metadata-Version: 2.2\r\nName: Demo\r\nVersion: 1.0\r\nLicense: BSD\r\nRequires-Dist: a\r\n\r\nRequires-Dist: no";
    let setup: (&str, &[u8]) = ("demo-1.0/setup.py", b"import os");
    let project: (&str, &[u8]) = ("demo-1.0/pyproject.toml", b"[build-system]\nrequires = []\nbuild-backend = 'own'\nbackend-path = ['.']");
    let files = [("demo-1.0/PKG-INFO", info), setup, project, ("demo-1.0/src/setup.py", b""), ("demo-1.0/demo.egg-info/PKG-INFO", b"x")];
    for (path, bytes) in [("demo-1.0.tar.gz", tarball(&files)), ("demo-1.0.zip", zip_of(&files))] {
        let contents = read("pypi", path, &bytes);
        assert_eq!((contents.format, contents.unreadable), (ContentFormat::Sdist, None), "{path}");
        assert_eq!((list(&contents.install_scripts), list(&contents.build_scripts)), (vec!["setup.py"], vec!["pyproject.toml"]));
        assert_eq!((list(&contents.requires), contents.requires_complete), (vec!["a"], true));
        assert_eq!(contents.license_terms, ["BSD"]);
    }
    let project: &[u8] = b"[build-system]\nrequires = ['Own_Backend>=1']\n";
    let plain = read("pypi", "demo-1.0.tar.gz", &tarball(&[("demo-1.0/PKG-INFO", info), ("demo-1.0/pyproject.toml", project)]));
    assert!(plain.install_scripts.is_empty() && plain.build_scripts.is_empty());
    assert_eq!(list(&plain.requires), ["a", "own-backend"], "what a build requires is installed and run");
    let bare = read("pypi", "demo-1.0.tar.gz", &tarball(&[("demo-1.0/PKG-INFO", info), ("setup.py", b"")]));
    assert_eq!(list(&bare.install_scripts), ["setup.py"]);
}

#[test]
fn requirements_of_a_source_distribution_that_a_build_may_change_are_not_complete() {
    for (headers, is_complete) in
        [("Metadata-Version: 2.1", false), ("Metadata-Version: 2.2\nDynamic: Requires-Dist", false), ("Metadata-Version: 2.4", true)]
    {
        let info = format!("{headers}\nName: demo\nVersion: 1.0.0\n");
        let contents = read("pypi", "demo-1.0.0.tar.gz", &tarball(&[("demo-1.0.0/PKG-INFO", info.as_bytes())]));
        assert_eq!((contents.unreadable, contents.requires_complete), (None, is_complete), "{headers}");
    }
}

#[test]
fn core_metadata_has_folded_lines_any_line_ends_and_values_that_say_nothing() {
    let headers = "license: line one\n  line two\nLICENSE: UNKNOWN\nno header\nRequires-Dist: a\rRequires-Dist: b\n";
    let contents = read("pypi", "demo-1.0.0-py3-none-any.whl", &wheel(headers, &[]));
    assert_eq!(contents.license_terms, ["line one\nline two"]);
    assert_eq!(list(&contents.requires), ["a", "b"]);
}

#[test]
fn an_npm_package_says_its_scripts_licence_and_dependencies() {
    let members = r#","license":{"type":"ISC"},"licenses":["MIT",{"type":"X"},7],"scripts":{"preinstall":"a","postinstall":"b","install":"","prepare":"c","test":"d"},
        "dependencies":{"Left":"npm:@Evil/pkg@1"},"optionalDependencies":{"opt":"1"},"peerDependencies":{"peer":"*"},"devDependencies":{"dev":"1"},
        "bundleDependencies":["bundled"]"#;
    let contents =
        npm(&npm_package(members, &[("package/index.js", b"x"), ("package/bin/tool.exe", &[b"MZ".as_slice(), &[0; 70]].concat())]));
    assert_eq!((contents.format, contents.unreadable), (ContentFormat::Npm, None));
    assert_eq!(contents.license_terms, ["ISC", "MIT", "X", ""]);
    assert_eq!(list(&contents.install_scripts), ["postinstall", "preinstall"]);
    assert_eq!(list(&contents.requires), ["@evil/pkg", "bundled", "left", "opt", "peer"]);
    assert_eq!((contents.binary_count, contents.requires_complete), (1, true));
}

#[test]
fn what_a_lock_inside_an_npm_package_installs_is_not_complete() {
    for (name, is_complete) in [
        ("package/npm-shrinkwrap.json", false),
        ("package/node_modules/a/npm-shrinkwrap.json", false),
        ("package/package-lock.json", true),
        ("package/test/npm-shrinkwrap.json", true),
    ] {
        let contents = npm(&npm_package("", &[(name, b"{}")]));
        assert_eq!((contents.unreadable, contents.requires_complete), (None, is_complete), "{name}");
    }
}

#[test]
fn a_binding_is_built_on_install_unless_the_package_says_otherwise() {
    let binding: (&str, &[u8]) = ("package/binding.gyp", b"{}");
    for (members, files, install, build) in [
        ("", vec![binding], vec!["binding.gyp"], vec!["binding.gyp"]),
        (r#","gypfile":true"#, vec![], vec!["binding.gyp"], vec![]),
        (r#","gypfile":false"#, vec![binding], vec![], vec!["binding.gyp"]),
        (r#","scripts":{"install":"x"}"#, vec![binding], vec!["install"], vec!["binding.gyp"]),
        ("", vec![("package/src/binding.gyp", &b"{}"[..])], vec![], vec![]),
    ] {
        let contents = npm(&npm_package(members, &files));
        assert_eq!((list(&contents.install_scripts), list(&contents.build_scripts)), (install, build), "{members}");
    }
}

#[test]
fn bundled_packages_run_their_scripts_too() {
    let inner: &[u8] = br#"{"name":"deep","version":"2.0.0","scripts":{"postinstall":"x"}}"#;
    let contents = npm(&npm_package(
        "",
        &[("package/node_modules/a/node_modules/@s/deep/package.json", inner), ("package/node_modules/a/x/y.json", b"")],
    ));
    assert_eq!((list(&contents.install_scripts), contents.unreadable), (vec!["postinstall"], None));
    assert_eq!(list(&contents.requires), ["@s/deep"]);
}

#[test]
fn a_scoped_package_is_named_by_its_scope_and_name() {
    let manifest = br#"{"name":"@acme/demo","version":"v1.0.0+build"}"#;
    let contents =
        read_within(&Limits::default(), &at("npm", "acme", "demo", "1.0.0"), "demo-1.0.0.tgz", &tarball(&[("x/package.json", manifest)]));
    assert_eq!(contents.unreadable, None);
    let other =
        read_within(&Limits::default(), &at("npm", "", "demo", "1.0.0"), "demo-1.0.0.tgz", &tarball(&[("x/package.json", manifest)]));
    assert_eq!(other.unreadable, Some(Unreadable::Misnamed));
}

#[test]
fn a_crate_says_what_it_builds_runs_and_needs() {
    let manifest = br#"
        [package]
        name = "demo"
        version = "1.0.0"
        license = "MIT OR Apache-2.0"
        [lib]
        proc-macro = true
        [dependencies]
        serde_json = "1"
        short = { package = "real", version = "1" }
        [dev-dependencies]
        dev = "1"
        [build-dependencies]
        cc = "1"
        [target.'cfg(unix)'.dependencies]
        nix = "1"
        [target.x86_64-pc-windows-msvc.build_dependencies]
        winres = "1"
    "#;
    let contents =
        read("cargo", "demo-1.0.0.crate", &tarball(&[("demo-1.0.0/Cargo.toml", manifest), ("demo-1.0.0/build.rs", b"fn main() {}")]));
    assert_eq!((contents.format, contents.unreadable), (ContentFormat::Crate, None));
    assert_eq!(contents.license_terms, ["MIT OR Apache-2.0"]);
    assert_eq!((list(&contents.build_scripts), contents.is_proc_macro), (vec!["build.rs"], true));
    assert_eq!(list(&contents.requires), ["cc", "nix", "real", "serde-json", "short", "winres"]);
}

#[test]
fn a_build_script_is_what_cargo_takes_for_one() {
    for (build, has_file, expected) in [
        ("", true, vec!["build.rs"]),
        ("", false, vec![]),
        ("build = false", true, vec![]),
        ("build = true", false, vec!["build.rs"]),
        ("build = 'src/make.rs'", false, vec!["src/make.rs"]),
        ("build = ['a.rs', 'b.rs']", false, vec!["a.rs", "b.rs"]),
    ] {
        let manifest = format!("[package]\nname = 'demo'\nversion = '1.0.0'\n{build}\n");
        let mut files = vec![("demo-1.0.0/Cargo.toml", manifest.as_bytes())];
        files.extend(has_file.then_some(("demo-1.0.0/build.rs", &b""[..])));
        let contents = read("cargo", "demo-1.0.0.crate", &tarball(&files));
        assert_eq!((list(&contents.build_scripts), contents.unreadable), (expected, None), "{build}");
    }
}

#[test]
fn a_crate_that_cargo_packed_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let manifest = "[package]\nname = 'demo'\nversion = '1.0.0'\nedition = '2021'\nlicense = 'MIT'\ndescription = 'd'\n[workspace]\n";
    std::fs::write(directory.path().join("Cargo.toml"), manifest).unwrap();
    std::fs::create_dir(directory.path().join("src")).unwrap();
    std::fs::write(directory.path().join("src/lib.rs"), "").unwrap();
    std::fs::write(directory.path().join("build.rs"), "fn main() {}").unwrap();
    let packed = Command::new(env!("CARGO"))
        .args(["package", "--offline", "--no-verify", "--allow-dirty", "--quiet", "--target-dir", "target"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
    let bytes = std::fs::read(directory.path().join("target/package/demo-1.0.0.crate")).unwrap();
    let contents = read("cargo", "demo-1.0.0.crate", &bytes);
    assert_eq!((contents.unreadable, contents.requires_complete, list(&contents.build_scripts)), (None, true, vec!["build.rs"]));
    assert_eq!(contents.license_terms, ["MIT"]);
}

const POM: &str = r#"<?xml version="1.0"?>
<project xmlns="x"><groupId>com.acme</groupId><artifactId>demo</artifactId><version>1.0.0</version>
<licenses><license><name>Apache &amp; &#77;IT</name><url>u</url></license></licenses>
<dependencies><dependency><groupId>Org.Lib</groupId><artifactId>lib</artifactId></dependency>
<dependency><groupId>${project.groupId}</groupId><artifactId>own</artifactId><scope>runtime</scope></dependency>
<dependency><groupId>junit</groupId><artifactId>junit</artifactId><scope>test</scope></dependency></dependencies>
<dependencyManagement><dependencies><dependency><groupId>not</groupId><artifactId>this</artifactId></dependency></dependencies></dependencyManagement>
</project>"#;

#[test]
fn a_jar_and_its_description_say_the_same() {
    let jar = zip_of(&[
        ("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\n"),
        ("META-INF/maven/com.acme/demo/pom.xml", POM.as_bytes()),
        ("META-INF/maven/org.shaded/inner/pom.xml", b"not read"),
        ("Demo.class", b"\xca\xfe\xba\xbe\0\0\0\x34"),
        ("lib.so", ELF),
    ]);
    let contents = read("maven", "demo-1.0.0.jar", &jar);
    assert_eq!((contents.format, contents.unreadable), (ContentFormat::Jar, None));
    assert_eq!(contents.license_terms, ["Apache & MIT"]);
    assert_eq!(list(&contents.requires), ["com.acme:own", "org.lib:lib", "org.shaded:inner"]);
    assert_eq!((list(&contents.binaries), contents.requires_complete), (vec!["lib.so"], true));
    let pom = read("maven", "demo-1.0.0.pom", POM.as_bytes());
    assert_eq!((pom.format, pom.unreadable, pom.license_terms), (ContentFormat::Pom, None, contents.license_terms));
    assert_eq!(list(&pom.requires), ["com.acme:own", "org.lib:lib"]);
}

#[test]
fn what_a_description_leaves_to_others_is_not_complete() {
    let parent = POM.replace("<licenses>", "<parent><groupId>p</groupId><version>1</version></parent><licenses>");
    let property = POM.replace("Org.Lib", "${lib.group}");
    for text in [parent, property] {
        let contents = read("maven", "demo-1.0.0.pom", text.as_bytes());
        assert_eq!((contents.unreadable, contents.requires_complete), (None, false));
    }
    let bare = read("maven", "demo-1.0.0.jar", &zip_of(&[("META-INF/MANIFEST.MF", b"")]));
    assert_eq!((bare.unreadable, bare.requires_complete), (None, false));
    let dependency = "<dependencies><dependency><groupId>x</groupId><artifactId>y</artifactId></dependency></dependencies>";
    let profile = POM.replace("<licenses>", &format!("<profiles><profile>{dependency}</profile></profiles><licenses>"));
    assert!(read("maven", "demo-1.0.0.pom", profile.as_bytes()).requires.contains("x:y"), "a profile may be in force");
}

#[test]
fn only_package_files_of_the_type_are_read() {
    let bytes = npm_package("", &[]);
    for (package_type, path) in
        [("generic", "demo.tgz"), ("pypi", "demo.tgz"), ("npm", "demo.txt"), ("npm", "demo.tgz.asc"), ("oci", "x.jar")]
    {
        assert_eq!(read(package_type, path, &bytes), Contents::default(), "{package_type} {path}");
        assert!(!is_read(&package_type.parse().unwrap(), &path.parse().unwrap()));
    }
}

#[test]
fn files_of_one_version_are_counted_together_and_the_first_fault_is_told() {
    let info: &[u8] = b"Metadata-Version: 2.2\nName: demo\nVersion: 1.0.0\nRequires-Dist: b\n";
    let sdist = tarball(&[("demo-1.0.0/PKG-INFO", info), ("demo-1.0.0/setup.py", b"")]);
    let whole = wheel("Requires-Dist: a\n", &[]);
    let files =
        [("demo-1.0.0.tar.gz", &sdist[..]), ("demo-1.0.0-py3-none-any.whl", &whole), ("broken-py3-none-any.whl", b"?"), ("x.txt", b"")];
    let files = files.map(|(path, bytes)| Ok((path.parse().unwrap(), file(bytes))));
    let contents = inspect(&demo("pypi"), files, &Limits::default(), &|| false).unwrap();
    assert_eq!((contents.format, contents.entry_count, contents.unreadable), (ContentFormat::Wheel, 3, Some(Unreadable::Malformed)));
    assert_eq!((list(&contents.requires), contents.requires_complete), (vec!["a", "b"], false));
    let failing = [Err(Error::not_found("the blob"))];
    assert!(inspect(&demo("pypi"), failing, &Limits::default(), &|| false).is_err());
}
