//! `loa run`: takes events in and delivers, until it is stopped.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::SignedDuration;
use serde_json::json;
use tracing::warn;

use super::{Failure, Output, Settings, Threads};
use crate::app::{App, Checked, StartError};
use crate::clock::Clock;
use crate::config::Sources;
use crate::lifecycle::{Signals, Tasks, Wish};
use crate::telemetry;
use crate::web::{self, Door};

/// How often a drill's file is read.
const FOLLOW: Duration = Duration::from_millis(50);

/// Take events in and deliver them, until SIGTERM or Ctrl-C.
///
/// The first such signal finishes what is being sent, up to `send.grace`; a second one does not
/// wait. SIGHUP reads settings, event types and templates anew; what has a fault changes nothing.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  loa run --config /etc/loa/loa.toml")]
pub(super) struct Run {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    pub(super) threads: Threads,
    /// A file with the seconds by which the wall clock is wrong, read again and again; for
    /// `loa drill`, which makes clocks jump.
    #[arg(long, value_name = "FILE", hide = true)]
    drill_clock: Option<PathBuf>,
    /// How the address of the console is printed.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

impl Run {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        // From here on, so that a signal that comes early ends nothing by surprise.
        let mut signals = Signals::listen()?;
        let sources = self.settings.sources();
        let (clock, tasks) = (Clock::system(), Tasks::new());
        let checked = prepare(&sources, &clock)?;
        if let Some(file) = &self.drill_clock {
            tasks.spawn(follow(clock.clone(), file.clone(), tasks.clone()));
        }
        // Before the store is there, so that whoever looks after Loa hears what it waits for.
        let door = Door::open(&checked.config, &tasks).await.map_err(StartError::from);
        let door = door.map_err(super::wrong)?;
        let app = tokio::select! {
            started = App::start_behind(checked, tasks, Some(&door)) => started.map_err(super::wrong)?,
            () = signals.stop() => return Ok(ExitCode::SUCCESS),
        };
        if let Err(failure) = self.serve(&app, &door).await {
            app.stop().await;
            return Err(failure);
        }
        let tasks = app.tasks.clone();
        loop {
            tokio::select! {
                wish = signals.next() => match wish {
                    Wish::Reload => app.reload(&sources).await,
                    Wish::Stop => break,
                },
                () = tasks.broken().cancelled() => break,
            }
        }
        let mut stop = std::pin::pin!(app.stop());
        tokio::select! {
            () = &mut stop => {}
            () = signals.stop() => {
                tasks.hard().cancel();
                stop.await;
            }
        }
        match tasks.broken().is_cancelled() {
            true => Err(Failure::Failed("a part of Loa broke down; start it again".to_owned())),
            false => Ok(ExitCode::SUCCESS),
        }
    }

    /// Opens the door, and says how to get in.
    async fn serve(&self, app: &App, door: &Door) -> Result<(), Failure> {
        app.open(door).map_err(super::wrong)?;
        let address = door.address();
        let console = web::console_url(&app.config, address);
        // A store that is away just now is no reason to end: deliveries do not wait for a console.
        let login = self.login(app, address).await.unwrap_or_else(|error| {
            warn!(%error, "no login link yet: {error}; make one by `loa users link NAME`");
            None
        });
        let text = match login {
            Some(login) => format!("Sign in to the console: {login}"),
            None => format!("The console: {console} (sign in by: loa users link NAME)"),
        };
        super::print_as(self.output, &text, &json!({ "address": address, "console": console }));
        Ok(())
    }
}

impl Run {
    /// A link by which whoever started Loa signs in, if it is a person.
    async fn login(&self, app: &App, address: SocketAddr) -> Result<Option<String>, StartError> {
        web::let_somebody_in(&app.store).await?;
        // What is printed elsewhere is kept and read by others, and the link makes an admin of
        // them.
        let is_for_a_person = self.output == Output::Text && std::io::stdout().is_terminal();
        if is_for_a_person { app.login_link(address).await } else { Ok(None) }
    }
}

/// Keeps the clock as wrong as `file` says.
async fn follow(clock: Clock, file: PathBuf, tasks: Tasks) {
    while !tasks.is_stopping() {
        let text = tokio::fs::read_to_string(&file).await.unwrap_or_default();
        if let Ok(seconds) = text.trim().parse() {
            clock.shift(SignedDuration::from_secs(seconds));
        }
        tokio::time::sleep(FOLLOW).await;
    }
}

/// Reads and checks everything, and logs as the settings say from now on.
fn prepare(sources: &Sources, clock: &Clock) -> Result<Checked, Failure> {
    let (config, faults) = crate::config::read(sources);
    let log = config.log.clone();
    let checked =
        Checked::of(config, clock).map_err(|faults| Failure::Wrong(faults.to_string()))?;
    telemetry::init_logging(&log.level, log.format).map_err(super::wrong)?;
    for fault in faults.sorted() {
        warn!("{fault}");
    }
    Ok(checked)
}
