//! Workers that are broken on purpose: the drill must catch each of them, and pass one that is not.
//!
//! Each test plays both parts. The drill starts this very executable with the test's own name, and
//! by variables tells it to be the worker.

use std::path::PathBuf;

use serde_json::Value;

use super::*;
use crate::app::App;
use crate::config::Sources;
use crate::sabotage::{self, Sabotage};

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_not_broken_passes() {
    let Some(report) = play("a_worker_that_is_not_broken_passes", None, 1).await else { return };

    assert_eq!(report.broken(), Vec::<String>::new());
    assert_eq!(report.json()["kept"], Value::Bool(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_acknowledges_before_the_commit_is_caught() {
    let name = "a_worker_that_acknowledges_before_the_commit_is_caught";
    let sabotage = Some(Sabotage::AcknowledgesBeforeTheCommit);
    let Some(report) = play(name, sabotage, 2).await else { return };

    let lost = report.broken().iter().filter(|text| text.starts_with("lost: event")).count();
    assert!(lost > 0, "{:?}", report.lines());
    assert!(report.json()["lost"].as_u64() >= Some(lost as u64));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_forgets_to_record_is_caught() {
    let name = "a_worker_that_forgets_to_record_is_caught";
    let Some(report) = play(name, Some(Sabotage::ForgetsToRecord), 3).await else { return };

    assert!(names(&report, "repeated for no reason of ours") > 0, "{:?}", report.lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_ignores_leases_is_caught() {
    let name = "a_worker_that_ignores_leases_is_caught";
    let Some(report) = play(name, Some(Sabotage::IgnoresLeases), 4).await else { return };

    assert!(names(&report, "attempts unknown") > 0, "{:?}", report.lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_retries_what_is_held_is_caught() {
    let name = "a_worker_that_retries_what_is_held_is_caught";
    let mut told = Vec::new();

    // Only what is in flight at a fault shows it, and which events those are nobody chooses.
    for seed in 5..11 {
        let Some(report) = play(name, Some(Sabotage::RetriesWhatIsHeld), seed).await else {
            return;
        };
        if names(&report, "although an unknown outcome holds it") > 0 {
            return;
        }
        told.extend(report.lines());
    }

    panic!("it was not caught: {told:?}");
}

/// How many promises were broken in these words.
fn names(report: &Report, words: &str) -> usize {
    report.broken().iter().filter(|text| text.contains(words)).count()
}

/// What a drill finds of such a worker; none in the part of the worker, once it has been stopped.
async fn play(name: &str, sabotage: Option<Sabotage>, seed: u64) -> Option<Report> {
    if let Some((settings, data)) = part_of_worker() {
        if let Some(sabotage) = sabotage {
            sabotage::commit(sabotage);
        }
        work(settings, data).await;
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let drill = Drill {
        folder: folder.path().to_owned(),
        store_url: None,
        amqp_url: None,
        store_control: None,
        amqp_control: None,
        workers: 1,
        seed,
        extent: Extent { faults: 4, events: 400, within: Duration::from_mins(10) },
    };
    let own_name = module_path!().split_once("::").unwrap().1;
    let arguments = ["--exact", &format!("{own_name}::{name}"), "--nocapture"];
    let program = Program {
        file: std::env::current_exe().unwrap(),
        arguments: arguments.map(Into::into).to_vec(),
        by_environment: true,
    };
    // What brings each fault to light: deliveries in flight at a kill, answers that never came.
    let kinds = [Kind::Kill, Kind::Receivers(Manner::CutsAfter)];
    Some(drill.run_with((program, Some(&kinds)), |_| {}).await.unwrap())
}

/// Settings and data folder, if this process was started to be a worker.
#[expect(clippy::disallowed_methods, reason = "how the test tells itself which part it plays")]
fn part_of_worker() -> Option<(PathBuf, PathBuf)> {
    let path = |name| std::env::var_os(name).map(PathBuf::from);
    path("DRILL_SETTINGS").zip(path("DRILL_DATA"))
}

/// `loa run`, as far as a drill needs it.
async fn work(settings: PathBuf, data: PathBuf) {
    let data = data.display().to_string();
    let sources =
        Sources::defaults().with_file(settings).with_override("data_dir", &data, "the drill");
    let config = crate::config::load(&sources).unwrap();
    let app = App::start(config, Clock::system(), Tasks::new()).await.unwrap();
    app.serve().await.unwrap();
    crate::lifecycle::wait_for_stop_signal().await.unwrap();
    app.stop().await;
}
