//! Where log lines go and how they look.

use std::io::{self, IsTerminal};

use tracing::{Subscriber, error};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// Text for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter does not parse.
    #[error("could not read the log filter `{0}`")]
    Filter(String, #[source] ParseError),
    /// Something else in this process logs already.
    #[error("could not set up logging")]
    Taken(#[source] tracing::subscriber::SetGlobalDefaultError),
}

/// Sends log lines to standard error from now on, for the whole process.
///
/// A single word as `filter`, such as `info`, is Loa's own level; other crates then speak from
/// `warn`, since some of them log what passes through them; lapin is silent, since it writes whole
/// returned messages at `warn`, and the broker's own connections tell what matters of it; the
/// drivers of PostgreSQL are silent too, since the store tells of an outage once, for all
/// connections.
///
/// # Errors
/// When the filter does not parse or logging was set up before.
pub fn init_logging(filter: &str, format: LogFormat) -> Result<(), LoggingError> {
    let on_terminal = io::stderr().is_terminal();
    let (as_text, with_colour) = match format {
        LogFormat::Auto => (on_terminal, on_terminal),
        LogFormat::Text => (true, on_terminal),
        LogFormat::Json => (false, false),
    };
    let subscriber = subscriber(filter, as_text, with_colour, io::stderr)?;
    tracing::subscriber::set_global_default(subscriber).map_err(LoggingError::Taken)
}

/// Writes log lines to `writer`: text, or else JSON.
///
/// # Errors
/// [`LoggingError::Filter`] when the filter does not parse.
pub fn subscriber<W>(
    filter: &str,
    as_text: bool,
    with_colour: bool,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, LoggingError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter =
        read_filter(filter).map_err(|error| LoggingError::Filter(filter.to_owned(), error))?;
    let writer = Inert { writer, keeps_colour: as_text && with_colour };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    if as_text {
        return Ok(Box::new(lines.with_ansi(with_colour).with_target(false).finish()));
    }
    Ok(Box::new(lines.json().flatten_event(true).with_span_list(false).finish()))
}

/// Reads a filter as `log.level` and `--log` take it: one level for Loa itself, or directives.
///
/// # Errors
/// What of it is no filter.
pub fn read_filter(filter: &str) -> Result<EnvFilter, ParseError> {
    let is_word = filter.chars().all(|c| c.is_ascii_alphanumeric());
    let directives = if is_word {
        format!("warn,lapin=off,deadpool=off,deadpool_postgres=off,tokio_postgres=off,loa={filter}")
    } else {
        filter.to_owned()
    };
    EnvFilter::builder().parse(directives)
}

/// Lets a panic say where it happened and nothing else: its own words may quote a message.
#[expect(clippy::print_stderr, reason = "where nothing logs, people must still be told")]
pub fn keep_panics_quiet() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let place = place.unwrap_or_else(|| "an unknown place".to_owned());
        match tracing::dispatcher::has_been_set() {
            true => error!(place, "Loa broke down at {place}: this is a fault of Loa itself"),
            false => eprintln!("Loa broke down at {place}: this is a fault of Loa itself"),
        }
    }));
}

/// Writes each record as one line that steers no terminal, whatever was put into it.
struct Inert<W> {
    writer: W,
    /// Whether escapes are the record's own; those of what is put into it were taken out before.
    keeps_colour: bool,
}

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for Inert<W> {
    type Writer = InertLine<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        InertLine { writer: self.writer.make_writer(), keeps_colour: self.keeps_colour }
    }
}

struct InertLine<W> {
    writer: W,
    keeps_colour: bool,
}

impl<W: io::Write> io::Write for InertLine<W> {
    /// Takes a whole record, as the formatter writes it.
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(record);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        if line.contains(char::is_control) {
            let written = inert(line, self.keeps_colour);
            self.writer.write_all(written.as_bytes())?;
            self.writer.write_all(b"\n")?;
        } else {
            self.writer.write_all(record)?;
        }
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// The line with line breaks as spaces, and other controls as JSON writes them.
fn inert(line: &str, keeps_colour: bool) -> String {
    let mut written = String::with_capacity(line.len() + 8);
    for letter in line.chars() {
        match letter {
            '\n' | '\r' => written.push(' '),
            '\u{1b}' if keeps_colour => written.push(letter),
            letter if letter.is_control() => {
                written.push_str(&format!("\\u{:04x}", u32::from(letter)));
            }
            letter => written.push(letter),
        }
    }
    written
}

/// The trace id of a W3C `traceparent` header; none if it is not one.
pub fn trace_id(traceparent: &str) -> Option<&str> {
    let mut parts = traceparent.trim().split('-');
    let (version, trace, parent) = (parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_well_formed = is_hex(version, 2) && is_hex(trace, 32) && is_hex(parent, 16);
    let is_zero = trace.bytes().all(|byte| byte == b'0');
    (is_well_formed && version != "ff" && !is_zero).then_some(trace)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged while `act` goes on, in this thread.
    pub(crate) fn logged(filter: &str, act: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(filter, false, false, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, act);
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_json_line_carries_message_and_fields_at_its_top() {
        let line = logged("info", || tracing::info!(delivery.id = 7, "sent delivery 7"));

        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["message"], "sent delivery 7");
        assert_eq!(line["delivery.id"], 7);
    }

    #[test]
    fn nothing_in_a_log_line_steers_a_terminal_or_begins_another_line() {
        let nasty = "a\u{1b}[2J\u{1b}]0;x\u{7}b\r\nforged\u{9b}31m\u{7f}c";
        let speak = || {
            tracing::warn!(reason = nasty, error = %nasty, queue = ?nasty, "somebody said {nasty}");
        };

        for as_text in [true, false] {
            let lines = Lines::default();
            let writer = lines.clone();
            let subscriber = subscriber("info", as_text, false, move || writer.clone()).unwrap();
            tracing::subscriber::with_default(subscriber, speak);
            let line = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();

            let told = line.strip_suffix('\n').unwrap();
            assert!(!told.contains(char::is_control), "{told:?}");
            assert!(told.contains("forged"), "{told:?}");
        }
    }

    #[test]
    fn other_crates_are_not_heard_below_warn_unless_asked_for() {
        let speak = || tracing::info!(target: "lapin", "a frame");

        assert_eq!(logged("debug", speak), "");
        assert_ne!(logged("warn,lapin=info", speak), "");
    }

    #[test]
    fn the_drivers_of_the_database_are_silent_unless_asked_for() {
        let speak = || {
            tracing::error!(target: "tokio_postgres::connection", "terminating connection");
            tracing::warn!(target: "deadpool.postgres", "Connection error: connection closed");
        };

        assert_eq!(logged("debug", speak), "");
        assert_ne!(logged("warn,tokio_postgres=warn", speak), "");
    }

    #[test]
    fn lapin_never_writes_a_returned_message_unless_asked_for() {
        let speak = || tracing::warn!(target: "lapin::returned_messages", "message text");

        assert_eq!(logged("debug", speak), "");
        assert_ne!(logged("warn,lapin=warn", speak), "");
    }

    #[test]
    fn a_trace_id_comes_from_a_well_formed_traceparent_only() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";

        assert_eq!(trace_id(&format!("00-{trace}-00f067aa0ba902b7-01")), Some(trace));
        assert_eq!(trace_id("00-00000000000000000000000000000000-00f067aa0ba902b7-01"), None);
        assert_eq!(trace_id("not a traceparent"), None);
    }

    /// The part that a test plays in a process of its own; none in the test itself.
    const PART: &str = "TEST_PANIC_PART";

    /// Breaks down with a secret in its words, as whoever renders a message could.
    fn break_down(part: &str) {
        if part == "logged" {
            init_logging("debug", LogFormat::Json).unwrap();
        }
        keep_panics_quiet();
        let secret = "canary-secret".to_owned();
        std::panic::catch_unwind(|| panic!("cannot send {secret} to canary@example.test"))
            .unwrap_err();
        let nothing = std::hint::black_box(None::<()>);
        std::panic::catch_unwind(|| nothing.expect("canary-secret")).unwrap_err();
        let fault: Result<(), &str> = std::hint::black_box(Err("canary-secret"));
        std::panic::catch_unwind(|| fault.unwrap()).unwrap_err();
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "how the test tells itself which part it plays")]
    fn a_panic_tells_where_it_happened_and_nothing_of_what_it_says() {
        if let Ok(part) = std::env::var(PART) {
            return break_down(&part);
        }
        let name = module_path!().split_once("::").unwrap().1;
        let name = format!("{name}::a_panic_tells_where_it_happened_and_nothing_of_what_it_says");

        for part in ["logged", "unlogged"] {
            let mut own = std::process::Command::new(std::env::current_exe().unwrap());
            let output =
                own.args(["--exact", &name, "--nocapture"]).env(PART, part).output().unwrap();

            let told = [output.stdout, output.stderr].concat();
            let told = String::from_utf8(told).unwrap();
            assert!(output.status.success(), "{told}");
            assert!(!told.contains("canary"), "{part}: {told}");
            let places = told.matches("Loa broke down at src/telemetry/logging.rs:").count();
            assert_eq!(places, 3, "{part}: {told}");
        }
    }
}
