//! Turns arrivals into events, or into rejected events that say why.
