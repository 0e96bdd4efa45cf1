//! Hands a message to a provider at the pace it can take.
