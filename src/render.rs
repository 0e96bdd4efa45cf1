//! Turns a delivery into a message in its recipient's language.
