//! HTTP: the API, the console, receipts and preference pages.
