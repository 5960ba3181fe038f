//! Expired uploads, stray files, notes and stamps.

use crate::domain::id::{TokenId, UploadId};
use crate::jobs::tests::World;
use crate::store::Note;

use super::*;

async fn begin_upload(world: &World, expires_in_ms: i64) -> UploadId {
    let permit = world.permit.clone();
    let expires_at = world.store.clock().now().plus_ms(expires_in_ms);
    let upload = world.store.write(&world.permit, move |tx| tx.open_upload(&permit, (None, None), expires_at)).await.unwrap();
    let mut stage = world.blobs.begin(upload.id).await.unwrap();
    stage.append(bytes::Bytes::from_static(b"some bytes")).await.unwrap();
    stage.pause().await.unwrap();
    upload.id
}

#[tokio::test]
async fn expired_uploads_are_ended_with_their_bytes_and_an_audit_row() {
    let world = World::new().await;
    let old = begin_upload(&world, 1000).await;
    let fresh = begin_upload(&world, 2000).await;
    assert_eq!(expire_uploads(&world.store, &world.blobs).await.unwrap(), 0);
    world.clock.advance_ms(1000);
    assert_eq!(expire_uploads(&world.store, &world.blobs).await.unwrap(), 1);
    assert_eq!(expire_uploads(&world.store, &world.blobs).await.unwrap(), 0);
    assert_eq!(world.blobs.find_offset(old).await.unwrap(), None);
    assert_eq!(world.blobs.find_offset(fresh).await.unwrap(), Some(10));
    let view = world.store.author(&world.permit).unwrap();
    assert_eq!(view.upload(&old).unwrap().state.as_str(), "aborted");
    assert_eq!(view.upload(&fresh).unwrap().state.as_str(), "open");
    let sql = "SELECT actor || ' ' || resource_id FROM audit WHERE action = 'upload.aborted'";
    let row: String = world.raw().query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(row, format!("system:uploads {old}"));
}

#[tokio::test]
async fn more_expired_uploads_than_one_look_takes_are_all_ended() {
    let world = World::new().await;
    let count = UPLOADS_BATCH + 5;
    for _ in 0..count {
        begin_upload(&world, 0).await;
    }
    assert_eq!(expire_uploads(&world.store, &world.blobs).await.unwrap(), count);
}

#[tokio::test]
async fn the_sweep_keeps_what_an_open_upload_needs() {
    let world = World::new().await;
    let open = begin_upload(&world, 1000).await;
    let stray = UploadId::new(world.store.clock().uuid());
    world.blobs.begin(stray).await.unwrap().pause().await.unwrap();
    sweep_staging(&world.store, &world.blobs).await.unwrap();
    assert_eq!(world.blobs.find_offset(stray).await.unwrap(), None);
    assert_eq!(world.blobs.find_offset(open).await.unwrap(), Some(10));
}

#[tokio::test]
async fn equal_notes_become_one_row_and_what_was_noted_before_anybody_listened_is_heard() {
    let world = World::new().await;
    for _ in 0..3 {
        world.store.note(&world.operator, Note::AuthenticationFailed { reason: "unknown token".to_owned() });
    }
    world.store.noted().await;
    world.store.flush_notes().await.unwrap();
    let sql = "SELECT json_extract(details, '$.count') FROM audit WHERE action = 'auth.failed'";
    let count: i64 = world.raw().query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(count, 3);
}

#[tokio::test]
async fn a_flood_of_different_notes_is_counted_in_bounded_memory_and_none_is_dropped() {
    let world = World::new().await;
    for number in 0..5000 {
        world.store.note(&world.operator, Note::AuthenticationFailed { reason: format!("reason {number}") });
    }
    world.store.flush_notes().await.unwrap();
    let sql = "SELECT count(*), sum(json_extract(details, '$.count')) FROM audit WHERE action = 'auth.failed'";
    let counts: (i64, i64) = world.raw().query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(counts, (4097, 5000));
}

#[tokio::test]
async fn stamps_move_forward_only_and_unknown_tokens_are_passed_over() {
    let world = World::new().await;
    let token = TokenId::new(world.store.clock().uuid());
    let insert =
        "INSERT INTO tokens (token_id, secret_sha256, subject, created_at, created_by) VALUES (?1, zeroblob(32), 'alice', 0, 'alice')";
    world.raw().execute(insert, [token.to_string()]).unwrap();
    let now = world.store.clock().now();
    world.store.note_token_use(token, now);
    world.store.note_token_use(token, now.plus_ms(-5));
    world.store.note_token_use(TokenId::new(world.store.clock().uuid()), now);
    world.store.token_used().await;
    world.store.flush_token_use().await.unwrap();
    assert_eq!(world.store.find_token(&token).unwrap().unwrap().last_used_at, Some(now));
    world.store.note_token_use(token, now.plus_ms(-5));
    world.store.flush_token_use().await.unwrap();
    assert_eq!(world.store.find_token(&token).unwrap().unwrap().last_used_at, Some(now));
}
