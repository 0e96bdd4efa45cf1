//! `loa demo`: the whole product on a bare machine.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{Failure, Output};
use crate::app::StartError;
use crate::broker::Refused;
use crate::rehearsal::demo::{self, DemoError};

/// Show the whole product at work: a company, its events, and what became of each message.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  loa demo\n  loa demo --once --output json\n  \
    loa demo --amqp amqp://loa@rabbit.example/loa-demo --store postgres://loa@db.example/loa_demo")]
pub(super) struct Demo {
    /// Where the demo keeps its store; a new folder that is removed at the end if not given.
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Play the story to its end and stop; the exit code says whether all came about.
    #[arg(long)]
    once: bool,
    /// Where the API and the console listen.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: String,
    /// Keep everything in this PostgreSQL database instead of SQLite.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Send the events through this RabbitMQ; its virtual host must hold nothing of Loa's.
    #[arg(long, value_name = "URL")]
    amqp: Option<String>,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

impl Demo {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let own = match self.data_dir {
            Some(_) => None,
            None => Some(super::scratch_folder()?),
        };
        let data_dir = self.data_dir.clone().or_else(|| own.clone()).unwrap_or_default();
        let played = self.play(data_dir).await;
        if let Some(own) = own {
            std::fs::remove_dir_all(own)?;
        }
        played
    }

    async fn play(self, data_dir: PathBuf) -> Result<ExitCode, Failure> {
        let demo = demo::Demo {
            data_dir,
            listen: self.listen,
            store_url: self.store,
            amqp_url: self.amqp,
            is_quiet: self.output == Output::Json,
        };
        let mut staged = demo.start().await.map_err(refused)?;
        let code = run_to_its_end(&demo, &mut staged, (self.once, self.output)).await;
        staged.end().await?;
        code
    }
}

async fn run_to_its_end(
    demo: &demo::Demo,
    staged: &mut demo::Staged,
    (once, output): (bool, Output),
) -> Result<ExitCode, Failure> {
    let mut out = std::io::stdout();
    // Something may listen there already; a story that is played once needs no visitors.
    let served = match once {
        true => None,
        false => Some(staged.app.serve().await.map_err(|error| refused(error.into()))?),
    };
    let report = demo.play(staged, &mut out).await?;
    if output == Output::Json {
        super::print_json(&report.json);
    }
    if let Some(address) = served {
        let app = &staged.app;
        if output == Output::Text {
            // The story took days by the clock that ends links, so this is made after it.
            let login = app.login_link(address).await?.unwrap_or_default();
            demo::farewell(&mut out, &demo.data_dir, address, &login)?;
        }
        app.pipeline.follow_the_clock(&app.tasks);
        crate::lifecycle::wait_for_stop_signal().await?;
    }
    Ok(if report.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// What keeps the demo from starting, in its own words.
fn refused(error: DemoError) -> Failure {
    match error {
        DemoError::Start(StartError::Serve(error)) => {
            Failure::Wrong(format!("{error}; name another address with --listen"))
        }
        DemoError::Broker(Refused { text, is_standing: false }) => Failure::Failed(text),
        DemoError::Start(_) | DemoError::NotEmpty(_) | DemoError::Broker(_) => super::wrong(error),
        DemoError::Store(_) | DemoError::Post(_) | DemoError::Print(_) => error.into(),
    }
}
