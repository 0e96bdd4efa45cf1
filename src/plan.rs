//! Turns an event into deliveries: who, where, when.
