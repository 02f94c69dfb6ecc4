//! The report: files in a folder, and text for the terminal. Knows figures and charts, and nothing of
//! the measurements.

mod document;
mod explain;
mod html;
mod markdown;
mod terminal;

use std::fs;
use std::path::Path;

use super::chart;
use super::error::Error;
use super::figures::{Kill, Results};

/// File that is written and removed, to check that the folder is writable.
const PROBE: &str = "This file shows that a report can be written here.\n";

/// Makes sure that the folder exists and is writable, before the measurements.
pub(super) fn prepare(folder: &Path) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(|error| Error::Report { path: folder.to_owned(), error })?;
    let path = folder.join(format!(".ringherd-{}", std::process::id()));
    let tried = fs::write(&path, PROBE).and_then(|()| fs::remove_file(&path));
    tried.map_err(|error| {
        // What was written of it must not stay.
        let _ = fs::remove_file(&path);
        Error::Report { path, error }
    })
}

/// Writes all files of the report; other files in the folder are kept.
pub(super) fn write(folder: &Path, results: &Results) -> Result<(), Error> {
    let charts = chart::all(results);
    let document = document::of(results);
    let mut json = serde_json::to_string_pretty(results)
        .map_err(|error| Error::Report { path: folder.join("results.json"), error: error.into() })?;
    json.push('\n');
    let mut files = vec![
        ("results.json", json),
        ("summary.md", markdown::text(&document, &charts)),
        ("index.html", html::page(&document, &charts)),
    ];
    files.extend(charts.into_iter().map(|chart| (chart.file, chart.svg)));
    for (name, text) in files {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| Error::Report { path, error })?;
    }
    Ok(())
}

/// The text for the terminal.
pub(super) fn terminal(results: &Results, folder: &Path) -> String {
    terminal::text(&document::of(results), folder)
}

/// The faults that were found, in words.
pub(super) fn faults(results: &Results) -> Vec<String> {
    let mut faults = Vec::new();
    if results.lost > 0 {
        faults.push(format!(
            "{} of {} requests were lost: {}",
            results.lost,
            results.requests,
            results.lost_because.join("; ")
        ));
    }
    if let Some(a3) = &results.a3 {
        let bad = a3.checks.iter().filter(|check| !check.good);
        faults.extend(bad.map(|check| {
            let problem = check.problem.as_deref().unwrap_or_default();
            format!("{} answered {} {problem}", check.request, check.status)
        }));
        faults.extend(a3.kill.iter().flat_map(after_kill));
    }
    faults
}

/// The faults after a kill.
fn after_kill(kill: &Kill) -> Vec<String> {
    let mut faults = Vec::new();
    if let Some(problem) = &kill.problem {
        faults.push(format!("the pool could not be watched after '{}' was killed: {problem}", kill.replica));
    } else if kill.normal_ms.is_none() {
        faults
            .push(format!("'{}' was killed and not replaced within {} s", kill.replica, kill.limit_seconds));
    }
    if let Some(after) = kill.n_after.filter(|after| *after != kill.n_before) {
        faults.push(format!("there are {after} replicas after the kill, not {}", kill.n_before));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::super::figures::Endpoints;
    use super::*;

    #[test]
    fn a_replica_that_does_not_come_back_is_a_fault_and_is_in_the_report() {
        let kill = Kill {
            replica: "Server 2".to_owned(),
            requests: 100,
            lost: 7,
            detected_ms: Some(3.0),
            limit_seconds: 60,
            series: vec!["all replicas".to_owned()],
            bucket_ms: 50,
            timeline: vec![vec![93, 7]],
            n_after: Some(2),
            n_before: 3,
            ..Kill::default()
        };
        let lost_because = vec!["503".to_owned()];
        let a3 = Some(Endpoints { checks: Vec::new(), kill: Some(kill) });
        let results = Results { requests: 100, lost: 7, lost_because, a3, ..Results::default() };
        assert_eq!(
            faults(&results),
            [
                "7 of 100 requests were lost: 503",
                "'Server 2' was killed and not replaced within 60 s",
                "there are 2 replicas after the kill, not 3",
            ]
        );
        let text = terminal(&results, Path::new("x"));
        assert!(text.contains("not within 60 s") && text.contains("7 of 100"), "{text}");
        assert!(chart::all(&results)[0].svg.contains("out of the choice after 3 ms"));
    }
}
