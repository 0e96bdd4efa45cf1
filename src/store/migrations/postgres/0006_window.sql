-- The step's window when it was planned, for deliveries whose step has left the catalogue since.

ALTER TABLE delivery ADD COLUMN send_window TEXT;
