-- Triggers of which no step is undone by itself: for one that could be, SQLite copies every page that a
-- statement is about to change. A clash ends the statement that the trigger belongs to.
DROP TRIGGER delivery_planned;
CREATE TRIGGER delivery_planned AFTER INSERT ON delivery
    WHEN NEW.state NOT IN ('waiting', 'sent', 'delivered')
        OR NEW.reason NOT IN ('scheduled', 'accepted')
        OR NEW.last_code NOT IN ('200', '202', '250')
BEGIN
    INSERT OR FAIL INTO notable (delivery, created_at, state, reason, code)
        VALUES (NEW.id, NEW.created_at, NEW.state, NEW.reason, NEW.last_code);
END;
DROP TRIGGER delivery_moved;
CREATE TRIGGER delivery_moved AFTER UPDATE OF state, reason, last_code ON delivery
    WHEN NEW.state NOT IN ('waiting', 'sent', 'delivered')
        OR NEW.reason NOT IN ('scheduled', 'accepted')
        OR NEW.last_code NOT IN ('200', '202', '250')
BEGIN
    DELETE FROM notable WHERE delivery = NEW.id;
    INSERT OR FAIL INTO notable (delivery, created_at, state, reason, code)
        VALUES (NEW.id, NEW.created_at, NEW.state, NEW.reason, NEW.last_code);
END;
