//! The equations that must close: nothing accepted is lost, each delivery is in exactly one state.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::delivery::State;

/// The ledger at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ledger {
    /// `received = planned + planning + rejected + repeats`.
    pub events: EventLedger,
    /// `planned = waiting + held + sent + …`, purged ones included.
    pub deliveries: DeliveryLedger,
    /// The same for each event type.
    pub by_type: BTreeMap<String, DeliveryLedger>,
    /// Whether all of it closes.
    pub closes: bool,
}

/// Events by what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EventLedger {
    /// Everything that arrived; a replay is a new arrival.
    pub received: i64,
    /// Planned in full.
    pub planned: i64,
    /// With a big audience that is still being planned.
    pub planning: i64,
    /// Kept as rejected events.
    pub rejected: i64,
    /// The same event again.
    pub repeats: i64,
    /// Whether the sum is right.
    pub closes: bool,
}

/// Deliveries by state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DeliveryLedger {
    /// Counted when accepted, in the accepting transaction.
    pub planned: i64,
    /// How many are in each state.
    #[serde(flatten)]
    pub states: BTreeMap<&'static str, i64>,
    /// Whether the sum is right and nothing is below zero.
    pub closes: bool,
}

impl Ledger {
    /// Adds up counters of event type and name, such as `delivery.sent`.
    pub fn of(counters: &BTreeMap<(String, String), i64>) -> Self {
        let mut ledger = Self { deliveries: DeliveryLedger::empty(), ..Self::default() };
        for ((event_type, name), value) in counters {
            let of_type =
                ledger.by_type.entry(event_type.clone()).or_insert_with(DeliveryLedger::empty);
            of_type.add(name, *value);
            ledger.deliveries.add(name, *value);
            ledger.events.add(name, *value);
        }
        ledger.by_type.retain(|_, of_type| of_type.planned != 0);
        ledger.by_type.values_mut().for_each(DeliveryLedger::close);
        ledger.deliveries.close();
        ledger.events.close();
        ledger.closes = ledger.events.closes
            && ledger.deliveries.closes
            && ledger.by_type.values().all(|of_type| of_type.closes);
        ledger
    }

    /// By how much the sums are off: 0 when the ledger closes.
    pub fn gap(&self) -> i64 {
        self.events.gap().abs() + self.deliveries.gap().abs()
    }
}

impl EventLedger {
    fn add(&mut self, name: &str, value: i64) {
        let figure = match name {
            "event.received" => &mut self.received,
            "event.planned" => &mut self.planned,
            "event.planning" => &mut self.planning,
            "event.rejected" => &mut self.rejected,
            "event.repeats" => &mut self.repeats,
            _ => return,
        };
        *figure += value;
    }

    fn gap(&self) -> i64 {
        self.received - self.planned - self.planning - self.rejected - self.repeats
    }

    fn close(&mut self) {
        self.closes = self.gap() == 0;
    }
}

impl DeliveryLedger {
    fn empty() -> Self {
        let states = State::ALL.iter().map(|state| (state.as_str(), 0)).collect();
        Self { planned: 0, states, closes: true }
    }

    fn add(&mut self, name: &str, value: i64) {
        match name.strip_prefix("delivery.") {
            Some("planned") => self.planned += value,
            Some(state) => {
                if let Some(figure) = self.states.get_mut(state) {
                    *figure += value;
                }
            }
            None => {}
        }
    }

    fn gap(&self) -> i64 {
        self.planned - self.states.values().sum::<i64>()
    }

    fn close(&mut self) {
        self.closes = self.gap() == 0 && self.states.values().all(|count| *count >= 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(counters: &[(&str, i64)]) -> Ledger {
        let counters =
            counters.iter().map(|(name, value)| (("t".to_owned(), (*name).to_owned()), *value));
        Ledger::of(&counters.collect())
    }

    #[test]
    fn it_closes_when_every_delivery_is_in_one_state() {
        let counters = [
            ("event.received", 3),
            ("event.planned", 1),
            ("event.rejected", 1),
            ("event.repeats", 1),
            ("delivery.planned", 2),
            ("delivery.sent", 1),
            ("delivery.waiting", 1),
        ];

        assert!(ledger(&counters).closes);
    }

    #[test]
    fn a_lost_row_shows() {
        let counters = [("delivery.planned", 2), ("delivery.sent", 1)];

        let ledger = ledger(&counters);

        assert!(!ledger.closes);
        assert_eq!(ledger.gap(), 1);
    }
}
