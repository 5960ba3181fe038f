-- When the policy will allow what it holds, if its rules say so: told to people, decided anew when it comes.

ALTER TABLE quarantine_items ADD COLUMN opens_at INTEGER;

DROP VIEW version_rows;

-- A version with its package's names and, when it is held or rejected, its newest hold.
CREATE VIEW version_rows AS
SELECT versions.*, packages.package_type, packages.namespace, packages.name, packages.namespace_key, packages.name_key,
       hold.quarantine_id, hold.status AS hold_status, hold.reasons AS hold_reasons, hold.created_at AS held_at,
       iif(hold.status = 'quarantined', hold.opens_at, NULL) AS opens_at
FROM versions
JOIN packages USING (package_id)
LEFT JOIN quarantine_items AS hold ON versions.state IN ('quarantined', 'rejected') AND hold.quarantine_id = (
    SELECT newest.quarantine_id FROM quarantine_items AS newest
    WHERE newest.version_id = versions.version_id
    ORDER BY newest.created_at DESC, newest.quarantine_id DESC LIMIT 1);
