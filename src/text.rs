//! Handlebars engines, one per escaping, bounded in time, depth and size.
