//! Compares the embedded system types with the `prefect` package that `PAVLOV_TEST_PYTHON` has installed.

use pavlov_orchestrator::block::checksum;
use pavlov_orchestrator::block::system::{SystemType, system_types};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::process::Command;

const VARIABLE: &str = "PAVLOV_TEST_PYTHON";

#[test]
fn system_types_are_those_of_the_installed_package() {
    let installed = installed();
    let ours: Map<String, Value> =
        system_types().into_iter().map(|one| (one.slug.clone(), facts(&one))).collect();
    let slugs = |types: &Map<String, Value>| {
        let mut slugs: Vec<String> = types.keys().cloned().collect();
        slugs.sort();
        slugs
    };
    assert_eq!(slugs(&ours), slugs(&installed));
    for (slug, expected) in &installed {
        for (fact, value) in expected.as_object().expect("facts are an object") {
            assert_eq!(&ours[slug][fact], value, "{slug}: {fact}");
        }
        let fields = expected["fields"].as_object().expect("fields are an object");
        assert_eq!(checksum(fields), expected["checksum"], "{slug}: the checksum of the package's fields");
    }
}

/// The same facts that the script prints.
fn facts(one: &SystemType) -> Value {
    json!({
        "name": one.name,
        "is_protected": one.is_protected,
        "logo_url": one.logo_url,
        "documentation_url": one.documentation_url,
        "description": one.fields["description"],
        "fields": one.fields,
        "secret_fields": one.fields["secret_fields"],
        "capabilities": one.capabilities,
        "checksum": one.checksum,
    })
}

fn installed() -> Map<String, Value> {
    let python = std::env::var(VARIABLE).unwrap_or_else(|_| {
        panic!("{VARIABLE} is not set: it must name a Python interpreter with the prefect package installed")
    });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests_data/compare_block_types.py");
    let output = Command::new(&python)
        .arg(script)
        .output()
        .unwrap_or_else(|error| panic!("{VARIABLE} names {python:?}, which does not start: {error}"));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{python:?} failed (is prefect installed there?):\n{complaint}");
    serde_json::from_slice(&output.stdout).expect("the script prints one JSON object")
}
