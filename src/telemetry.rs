//! Names every metric, span and log field once, and sets up logging.
