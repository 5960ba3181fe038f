//! Tests of the index file: which faults cost it, and which orders about it count.

use super::*;
use rusqlite::ffi;

fn is_lost(code: i32) -> bool {
    let cause = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
    matches!(IndexFault::from(cause), IndexFault::Lost(_))
}

#[test]
fn only_what_a_new_file_would_cure_makes_a_new_file() {
    assert!([ffi::SQLITE_NOTADB, ffi::SQLITE_CORRUPT, ffi::SQLITE_CORRUPT_VTAB].into_iter().all(is_lost));
    let waits = [
        ffi::SQLITE_FULL,
        ffi::SQLITE_BUSY,
        ffi::SQLITE_LOCKED,
        ffi::SQLITE_READONLY,
        ffi::SQLITE_IOERR_WRITE,
        ffi::SQLITE_CANTOPEN,
        ffi::SQLITE_PERM,
        ffi::SQLITE_NOMEM,
        ffi::SQLITE_ERROR,
    ];
    assert!(!waits.into_iter().any(is_lost));
}

#[test]
fn an_order_that_could_not_be_carried_out_never_hides_a_newer_one() {
    let directory = tempfile::tempdir().unwrap();
    let index = SearchIndex::new(directory.path(), Arc::new(watch::Sender::new(0)));
    let first = index.take_care();
    assert_eq!(first, IndexCare::Inspect);
    index.request_renewal();
    index.return_care(first);
    assert_eq!(index.take_care(), IndexCare::Renew(0));
    index.return_care(IndexCare::Inspect);
    assert!(index.doubt(0), "a file that is only to be inspected is found lost");
    assert!(!index.doubt(0));
    assert!(!index.doubt(7), "that was another file");
}

#[test]
fn another_file_put_in_its_place_is_not_relied_on() {
    let directory = tempfile::tempdir().unwrap();
    let index = SearchIndex::new(directory.path(), Arc::new(watch::Sender::new(0)));
    assert!(matches!(index.inspect(), Err(IndexFault::Lost(_))));
    index.renew().unwrap();
    assert!(!index.inspect().unwrap());
    index.with_writer(|connection| Ok(set_complete(connection)?)).unwrap();
    let copy = directory.path().join("copy.db");
    index.with_writer(|connection| Ok(connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?)).unwrap();
    std::fs::copy(&index.path, &copy).unwrap();
    index.renew().unwrap();
    assert!(!index.inspect().unwrap());
    std::fs::rename(&copy, &index.path).unwrap();
    assert!(matches!(index.inspect(), Err(IndexFault::Lost(_))), "the log of one file was read with the pages of another");
}

#[test]
fn a_search_reads_all_at_one_moment() {
    let directory = tempfile::tempdir().unwrap();
    drop(connection::open_writer(&directory.path().join("state.db")).unwrap());
    let index = SearchIndex::new(directory.path(), Arc::new(watch::Sender::new(0)));
    index.renew().unwrap();
    index.with_writer(|connection| Ok(set_complete(connection)?)).unwrap();
    let is_there = |connection: &Connection| -> Result<bool, IndexFault> {
        Ok(connection.query_row("SELECT EXISTS (SELECT 1 FROM names WHERE name_id = 1)", [], |row| row.get(0))?)
    };
    let add = "INSERT INTO names (name_id, repo_key, package_type, namespace_key, name_key, full_key, newest_at)
               VALUES (1, 'main', 'generic', '', 'demo', 'demo', 0)";
    let seen = index.with_reader(|reader| {
        let before = is_there(reader)?;
        index.with_writer(|writer| Ok(writer.execute(add, [])?))?;
        Ok((before, is_there(reader)?))
    });
    assert_eq!(seen.unwrap(), (false, false), "what the hits were found by was changed before they were read");
    assert!(index.with_reader(is_there).unwrap(), "a kept connection shows what is new");
}
