-- Markers outlive their events; those that have expired are found without looking at the others.

CREATE INDEX marker_by_expiry ON marker (expires_at);
