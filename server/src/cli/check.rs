//! `check`: whether a file's automations are sound, by the very functions the server reads them with.

use super::declarations::{self, Declaration, Finding};
use super::error::CliError;
use super::output::Output;
use clap::Args;
use pavlov_events::Loc;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::PathBuf;

/// The files.
#[derive(Debug, Args)]
#[command(
    after_help = "Each fault is one line FILE:LINE: FIELD: what is wrong (given: what is there); exit code 4."
)]
pub struct Check {
    /// Files of automations, YAML or JSON; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Check {
    /// Checks every file and prints what was found.
    ///
    /// # Errors
    /// [`CliError::Faults`] when a fault was found, [`CliError::Usage`] when a file cannot be read.
    pub fn run(&self, out: &Output) -> Result<(), CliError> {
        let (mut findings, mut lines, mut count) = (Vec::new(), String::new(), 0);
        for path in &self.files {
            let (found, declared) = check_text(&declarations::read_file(path)?);
            let file = path.display().to_string();
            count += declared;
            for finding in found {
                lines.push_str(&finding.line_of_text(&file));
                lines.push('\n');
                findings.push(finding.to_value(&file));
            }
        }
        if out.is_json() {
            out.json(&json!({"automations": count, "faults": findings}))?;
        } else {
            out.text(&lines)?;
        }
        match findings.len() {
            0 if out.is_json() => Ok(()),
            0 => out.text(&format!("{}: no fault\n", counted(count, "automation"))),
            faults => Err(CliError::Faults(format!("{} found", counted(faults, "fault")))),
        }
    }
}

/// All faults of a text, and how many automations it has.
pub fn check_text(text: &str) -> (Vec<Finding>, usize) {
    match declarations::parse(text) {
        Err(finding) => (vec![*finding], 0),
        Ok(all) => {
            let mut findings: Vec<Finding> = all.iter().flat_map(Declaration::check).collect();
            findings.extend(repeated(&all));
            findings.sort_by_key(|finding| finding.line);
            (findings, all.len())
        }
    }
}

/// A name is what later calls find an automation by, so a file may not use one twice.
fn repeated(all: &[Declaration]) -> Vec<Finding> {
    let mut first_lines: HashMap<&str, usize> = HashMap::new();
    let mut findings = Vec::new();
    for declaration in all {
        let Some(name) = declaration.name() else { continue };
        let line = declaration.line_of(&[Loc::Field("name".into())]);
        if let Some(first) = first_lines.get(name) {
            let message = format!("the automation of line {first} has this name already");
            findings.push(Finding { line, field: "name".into(), message, given: Some(Value::from(name)) });
        } else {
            first_lines.insert(name, line);
        }
    }
    findings
}

/// `1 fault`, `2 faults`.
pub fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_sound() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/automations");
        let mut count = 0;
        for entry in std::fs::read_dir(folder).expect("examples") {
            let path = entry.expect("a file").path();
            let (findings, declared) = check_text(&std::fs::read_to_string(&path).expect("readable"));
            assert_eq!(findings, [], "{}", path.display());
            count += declared;
        }
        assert!(count >= 6, "only {count} examples");
    }

    #[test]
    fn a_name_may_be_used_once() {
        let one = "trigger: {type: event, posture: Reactive, threshold: 1, within: 0}\nactions: []\n";
        let (findings, count) = check_text(&format!("name: a\n{one}---\nname: a\n{one}"));
        assert_eq!((findings.len(), count), (1, 2));
        assert_eq!(findings[0].line, 5);
        assert!(findings[0].message.contains("line 1"), "{findings:?}");
    }

    #[test]
    fn faults_have_their_own_exit_code() {
        let folder = std::env::temp_dir().join(format!("pavlov-check-{}", crate::cli::units::new_id()));
        std::fs::create_dir(&folder).expect("a folder");
        let file = folder.join("a.yaml");
        std::fs::write(&file, "name: 5\n").expect("written");
        let out = Output::new(crate::cli::output::Format::Json);
        let code = |path| Check { files: vec![path] }.run(&out).expect_err("faults").code();
        assert_eq!(code(file), 4);
        assert_eq!(code(folder.join("none")), 2);
        std::fs::remove_dir_all(folder).expect("removed");
    }
}
