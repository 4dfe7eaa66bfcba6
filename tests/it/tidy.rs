//! Rules about the tree itself, so that they do not fade. What each is for stands in `CONTRIBUTING.md`.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;

/// Functions that are longer than one screen. The list may only become shorter.
const LONG_FUNCTIONS: [&str; 2] = ["actions/src/text_filters.rs method", "engine/src/engine.rs start"];

/// Functions in tables of contents. The list may only become shorter.
const MISPLACED_FUNCTIONS: [&str; 2] =
    ["actions/src/humanize/mod.rs install", "actions/src/kind/mod.rs forbid_others"];

/// Tests whose peers are real, so that they have to wait for them.
const WITH_PEERS: [&str; 8] = [
    "/peers/",
    "engine/src/log/nats/tests/",
    "engine/tests/it/nats.rs",
    "engine/tests/it/restart.rs",
    "notifier/tests/",
    "server/tests/cli.rs",
    "tests/faults/",
    "server/tests/it/ours.rs",
];

/// What each crate may use of ours: what stands to its left in the sentence.
const ARROWS: [(&str, &[&str]); 8] = [
    ("events", &[]),
    ("triggers", &["events"]),
    ("orchestrator", &["events"]),
    ("notifier", &["events"]),
    ("actions", &["events", "triggers", "notifier", "orchestrator"]),
    ("engine", &["events", "triggers", "actions", "notifier", "orchestrator"]),
    ("server", &["events", "triggers", "actions", "notifier", "orchestrator", "engine"]),
    ("tests", &["events", "engine"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All files of ours with one of these endings, as paths from the root.
fn files(endings: &[&str]) -> Vec<String> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            let generated =
                ["target", ".git", ".peers", "__pycache__", "pavlov-data"].contains(&name.as_str());
            match path.is_dir() {
                true if !generated => walk(&path, found),
                false => found.push(path),
                true => {}
            }
        }
    }
    let mut found = Vec::new();
    walk(root(), &mut found);
    let mut paths: Vec<String> = found
        .iter()
        .map(|path| path.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned())
        .filter(|path| endings.iter().any(|ending| path.ends_with(ending)))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no file ends with one of {endings:?}");
    paths
}

/// Fails with everything that is wrong at once.
fn none(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "{} faults:\n{}", wrong.len(), wrong.join("\n"));
}

/// The texts between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn paths_named_in_documents_exist() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for document in ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md"] {
        let text = read(document);
        for word in text.lines().flat_map(quoted) {
            let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
            let first = word.split('/').next().unwrap_or_default();
            let names_file = word.contains('/') || word.ends_with(".md") || word.ends_with(".toml");
            if !names_file || !word.chars().all(plain) || first.is_empty() || first == "target" {
                continue;
            }
            seen += 1;
            if !root().join(word).exists() {
                wrong.push(format!("{document} names {word}, which is not there"));
            }
        }
    }
    assert!(seen > 50, "only {seen} paths were found");
    none(wrong);
}

#[test]
fn no_crate_uses_what_stands_to_its_right() {
    let mut wrong = Vec::new();
    let members: BTreeSet<String> = read("Cargo.toml")
        .lines()
        .find_map(|line| line.strip_prefix("members = [").map(str::to_owned))
        .expect("members")
        .split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect();
    assert_eq!(members, ARROWS.iter().map(|(name, _)| (*name).to_owned()).collect());
    for (member, allowed) in ARROWS {
        for line in read(&format!("{member}/Cargo.toml")).lines() {
            let used = line.strip_prefix("pavlov-").and_then(|rest| rest.split(['.', ' ', '=']).next());
            if let Some(used) = used.filter(|used| !allowed.contains(used)) {
                wrong.push(format!("{member} uses {used}"));
            }
            let is_version =
                line.starts_with(|c: char| c.is_ascii_lowercase()) && line.contains("version = \"");
            if is_version || line.starts_with("version = ") {
                wrong.push(format!("{member}/Cargo.toml has a version of its own: {line}"));
            }
        }
    }
    none(wrong);
}

#[test]
fn files_and_functions_are_short() {
    let mut wrong = Vec::new();
    let mut long = BTreeSet::new();
    for path in files(&[".rs"]) {
        let text = read(&path);
        let lines: Vec<&str> = text.lines().collect();
        if lines.len() > FILE_LINES_MAX {
            wrong.push(format!("{path} has {} lines; split it", lines.len()));
        }
        for (start, line) in lines.iter().enumerate() {
            let Some(name) = function_name(line) else { continue };
            let indent = &line[..line.len() - line.trim_start().len()];
            let end = format!("{indent}}}");
            let length = lines[start..].iter().position(|line| *line == end).map_or(0, |length| length + 1);
            if length > FUNCTION_LINES_MAX {
                let place = format!("{path} {name}");
                if !LONG_FUNCTIONS.contains(&place.as_str()) {
                    wrong.push(format!("{place} has {length} lines"));
                }
                long.insert(place);
            }
        }
    }
    let short = LONG_FUNCTIONS.iter().filter(|known| !long.contains(**known));
    wrong.extend(short.map(|known| format!("{known} is short now; take it off the list")));
    none(wrong);
}

/// The name of the function that begins on a line of formatted code.
fn function_name(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    let name = loop {
        match words.next()? {
            "fn" => break words.next()?,
            "pub" | "async" | "const" | "pub(crate)" | "pub(super)" => {}
            _ => return None,
        }
    };
    // What ends on its own line has no body, or a short one.
    (!line.ends_with(['}', ';'])).then(|| name.split(['(', '<']).next().unwrap_or(name))
}

#[test]
fn tables_of_contents_hold_no_logic() {
    let tables: Vec<String> =
        files(&["/lib.rs", "/mod.rs"]).into_iter().filter(|path| !path.ends_with("/tests/mod.rs")).collect();
    let undocumented = tables.iter().filter(|path| !read(path).starts_with("//!"));
    none(undocumented.map(|path| format!("{path} does not say what it is")).collect());
    let functions = |path: &String| {
        let text = read(path);
        text.lines().filter_map(function_name).map(|name| format!("{path} {name}")).collect::<Vec<_>>()
    };
    let found: Vec<String> = tables.iter().flat_map(functions).collect();
    assert_eq!(found, MISPLACED_FUNCTIONS, "functions in tables of contents");
}

#[test]
fn every_rule_of_the_specification_is_shown_by_a_test() {
    let shown = rules_of_cases();
    let (mut wrong, mut rules) = (Vec::new(), BTreeSet::new());
    for document in files(&[".md"]).into_iter().filter(|path| path.starts_with("docs/spec/")) {
        for line in read(&document).lines() {
            let Some((id, text)) = line.strip_prefix("**").and_then(|rest| rest.split_once("** ")) else {
                continue;
            };
            if !id.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-')
                || !id.contains('-')
            {
                continue;
            }
            if !rules.insert(id.to_owned()) {
                wrong.push(format!("{document}: {id} is written twice"));
            }
            if !text.contains("MUST") && !text.contains("MAY") {
                wrong.push(format!("{document}: {id} says neither MUST nor MAY"));
            }
            wrong.extend(why_not_shown(id, text, &shown).map(|why| format!("{document}: {id} {why}")));
        }
    }
    assert!(rules.len() > 150, "only {} rules were found", rules.len());
    let unknown = shown.iter().filter(|(id, _)| !rules.contains(*id));
    wrong.extend(unknown.map(|(id, case)| format!("{case} names {id}, which is no rule")));
    none(wrong);
}

/// Rules that a case names, with the case.
fn rules_of_cases() -> BTreeMap<String, String> {
    let cases = files(&[".json"]).into_iter().filter(|path| path.starts_with("tests/cases/"));
    let mut shown = BTreeMap::new();
    for path in cases {
        let case: Value =
            serde_json::from_str(&read(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        for id in case["spec"].as_array().into_iter().flatten() {
            shown.insert(id.as_str().expect("a rule's id").to_owned(), path.clone());
        }
    }
    shown
}

/// A rule is shown by a case that names it, or by the tests that it names: a file, then names of tests in it.
fn why_not_shown(id: &str, text: &str, cases: &BTreeMap<String, String>) -> Option<String> {
    if cases.contains_key(id) {
        return None;
    }
    let Some((_, tests)) = text.rsplit_once('—') else {
        return Some("has no case and names no test".into());
    };
    let mut source: Option<String> = None;
    let mut named = 0;
    for word in quoted(tests) {
        if word.contains('/') {
            let path = root().join(word);
            match fs::read_to_string(path) {
                Ok(text) => source = Some(text),
                Err(_) => return Some(format!("names {word}, which is not there")),
            }
            named += usize::from(!word.ends_with(".rs"));
            continue;
        }
        named += 1;
        if !source.as_ref().is_some_and(|source| source.contains(&format!("fn {word}"))) {
            return Some(format!("names the test {word}, which is not there"));
        }
    }
    (named == 0).then(|| "names no test".into())
}

#[test]
fn every_kind_of_action_is_in_the_guide() {
    let guide = read("docs/guide/actions.md");
    let kinds = files(&[".rs"]).into_iter().filter(|path| path.starts_with("actions/src/kind/"));
    let names = kinds.filter_map(|path| {
        let name = path.rsplit('/').next()?.strip_suffix(".rs")?.replace('_', "-");
        (name != "mod").then_some(name)
    });
    let missing: Vec<String> = names
        .filter(|name| !guide.contains(&format!("## {name}\n")))
        .map(|name| format!("no section {name}"))
        .collect();
    none(missing);
}

#[test]
fn no_source_holds_what_must_not_be_there() {
    // Written in two parts, so that this file does not hold them.
    let everywhere = [["/wo", "rk/"].concat(), ["/ro", "ot/"].concat(), ["TO", "DO"].concat()];
    let rust = [
        ["#[ign", "ore"].concat(),
        ["#[all", "ow("].concat(),
        ["#![all", "ow("].concat(),
        ["dbg", "!("].concat(),
    ];
    let sleep = ["sle", "ep("].concat();
    let mut wrong = Vec::new();
    for path in files(&[".rs", ".md", ".toml", ".json", ".yaml", ".py", ".sh", ".c", "/run"]) {
        // Copies of what others wrote are kept as they are.
        if path.starts_with("tests/bench/") || path.starts_with("tests/conformance/") {
            continue;
        }
        let is_rust = path.ends_with(".rs");
        let is_test = path.starts_with("tests/") || path.contains("/tests/");
        let with_peers = WITH_PEERS.iter().any(|known| path.contains(known));
        for (number, line) in read(&path).lines().enumerate() {
            let mut found: Vec<&str> =
                everywhere.iter().filter(|word| line.contains(*word)).map(String::as_str).collect();
            if is_rust {
                found.extend(rust.iter().filter(|word| line.contains(*word)).map(String::as_str));
            }
            if is_rust && is_test && !with_peers && line.contains(&sleep) {
                found.push(&sleep);
            }
            wrong.extend(found.iter().map(|word| format!("{path}:{} holds {word}", number + 1)));
        }
    }
    none(wrong);
}

#[test]
fn decisions_are_numbered_and_changes_are_told() {
    let records = files(&[".md"]).into_iter().filter(|path| path.starts_with("docs/adr/"));
    for (index, path) in records.enumerate() {
        assert!(path.starts_with(&format!("docs/adr/{:04}-", index + 1)), "{path} is out of order");
    }
    assert!(read("CHANGELOG.md").contains("## Unreleased"), "CHANGELOG.md has no part for what comes next");
}
