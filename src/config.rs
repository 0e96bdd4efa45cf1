//! Settings with their places: files and environment become checked types.
