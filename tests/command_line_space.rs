//! What an operator types about space. Invariant: without `--apply` nothing goes, and the line that a plan ends with does what the plan
//! says.

use std::path::Path;

use serde_json::json;

use crate::command_line::typed;
use crate::support::{Daemon, blob_path, digest_of};

fn put(daemon: &Daemon, version: &str) {
    let path = format!("/files/main/demo/{version}/a.bin?publish");
    let answer = daemon.call(&daemon.admin(), "PUT", &path, format!("bytes of {version}").as_bytes()).unwrap();
    assert!(answer.status == 200 || answer.status == 201, "{}", answer.json());
}

fn blobs(directory: &Path) -> usize {
    let shards = std::fs::read_dir(directory.join("data/blobs/sha256")).unwrap();
    shards.map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap().count()).sum()
}

#[test]
fn gc_shows_its_plan_and_removes_only_when_told_to() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[]);
    put(&daemon, "1.0");
    let garbage = digest_of(b"of no use");
    assert_eq!(daemon.call(&daemon.admin(), "PUT", &blob_path("main", &garbage), b"of no use").unwrap().status, 201);
    let plan = typed(directory.path(), "gc --grace-hours 0").done();
    assert!(plan.contains("would remove: 0 tombstones past their time, 1 blob with 9 bytes"), "{plan}");
    assert!(plan.contains("nothing was removed; --apply"), "{plan}");
    assert_eq!(blobs(directory.path()), 2);
    let kept = typed(directory.path(), "gc --apply").done();
    assert!(kept.starts_with("removed: 0 tombstones past their time, 0 blobs"), "{kept}");
    let removed = typed(directory.path(), "gc --apply --grace-hours 0 --json").json();
    assert_eq!((&removed["removedBlobs"], &removed["state"]), (&json!(1), &json!("completed")), "{removed}");
    assert_eq!(blobs(directory.path()), 1);
    let list = typed(directory.path(), "gc list").done();
    assert_eq!(list.lines().count(), 4, "{list}");
    let reconciled = typed(directory.path(), "gc reconcile").done();
    assert!(reconciled.starts_with("1 blob with 12 bytes: 0 missing, 0 damaged (1 hashed); 0 files without a row"), "{reconciled}");
    typed(directory.path(), "gc --apply --batch-size 0").complains(1, &["batchSize must be 1 to 1000"]);
}

#[test]
fn a_rule_is_set_planned_and_applied_as_the_plan_says() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[]);
    for version in ["1.0", "1.1", "1.2"] {
        put(&daemon, version);
    }
    typed(directory.path(), "retention plan main").complains(1, &["a rule of retention of repo main"]);
    typed(directory.path(), "retention set main").complains(1, &["keepLast"]);
    let set = typed(directory.path(), "retention set main --keep-last 1").done();
    assert!(set.contains("keeps the newest 1 releases of each package"), "{set}");
    let plan = typed(directory.path(), "retention plan main").done();
    assert!(plan.contains("pkg:generic/demo@1.0") && plan.contains("2 newer releases, 1 are kept"), "{plan}");
    let line = plan.lines().find(|line| line.starts_with("artifortress retention apply main --plan sha256:")).unwrap();
    let again = line.trim_start_matches("artifortress ").to_owned();
    let applied = typed(directory.path(), &again).done();
    assert!(applied.contains("taken back; they can be restored for 30 days"), "{applied}");
    typed(directory.path(), &again).complains(1, &["the plan is another one by now"]);
    assert!(typed(directory.path(), "retention plan main").done().contains("nothing is to be taken back"));
    typed(directory.path(), "retention remove main").done();
}

#[test]
fn a_quota_is_set_shown_and_warned_of() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(directory.path(), &[]);
    put(&daemon, "1.0");
    let set = typed(directory.path(), "quota set main --max-bytes 13 --max-versions 5").done();
    assert_eq!(set, "repo main uses 12 bytes of 13 bytes in 1 blob, and 1 version of 5\n");
    assert_eq!(
        typed(directory.path(), "quota show").done(),
        "the instance uses 12 bytes without limit in 1 blob, and 1 version without limit\n"
    );
    let status = typed(directory.path(), "status").done();
    assert!(status.contains("the quota of repo main is nearly used up: artifortress quota show main"), "{status}");
}
