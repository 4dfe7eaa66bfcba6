//! No text, however odd, makes a template panic, run long or write more than it may.

use pavlov_actions::{Scope, limits, template};
use pavlov_events::{Event, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::{Arc, OnceLock};

/// Pieces that templates are made of, and some that they are not.
const PIECES: [&str; 62] = [
    "{{ ",
    " }}",
    "{% ",
    " %}",
    "{#",
    "#}",
    "{%- ",
    " -%}",
    "if ",
    "elif ",
    "else",
    "endif",
    "for ",
    " in ",
    "endfor",
    "set ",
    "endset",
    "macro f(x)",
    "endmacro",
    "f(",
    "call f(1)",
    "endcall",
    "filter upper",
    "endfilter",
    "with a = ",
    "endwith",
    "raw",
    "endraw",
    "block b",
    "endblock",
    "include ",
    "autoescape true",
    "event",
    ".payload",
    ".list",
    "[0]",
    "[1:]",
    "labels",
    " = ",
    " ~ ",
    " + ",
    " * ",
    " % ",
    " - ",
    " == ",
    " not ",
    " is defined",
    " | ",
    "tojson",
    "join(',')",
    "format(",
    ")",
    "(",
    "map('upper')",
    "'%s'",
    "1000000",
    "none",
    "{",
    "}",
    "é\u{1F600}",
    "\n",
    "namespace(x=1)",
];

fn scope() -> &'static Scope {
    static SCOPE: OnceLock<Scope> = OnceLock::new();
    SCOPE.get_or_init(|| {
        let event: Event = serde_json::from_str(include_str!("templates/event.json")).expect("an event");
        let firing = json!({"triggering_labels": {"a.b": "c"}, "triggering_firings": []});
        Scope::new(Value::Null, firing, Some(Arc::new(event)), Timestamp::MIN)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn pieces_in_any_order_yield_a_text_or_an_error(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..24)) {
        check(&pieces.concat())?;
    }

    #[test]
    fn one_tag_of_pieces_yields_a_text_or_an_error(pieces in prop::collection::vec(prop::sample::select(&PIECES[32..]), 0..10)) {
        check(&format!("{{{{ {} }}}}", pieces.concat()))?;
    }
}

fn check(text: &str) -> Result<(), TestCaseError> {
    let valid = template::validate(text);
    match template::render("fuzz", text, scope()) {
        Ok(yielded) => {
            prop_assert!(yielded.len() <= limits::OUTPUT_BYTES_MAX);
            prop_assert!(valid.is_ok() || !template::maybe_template(text), "rendered but not valid: {text}");
        }
        Err(error) => prop_assert!(!error.message.is_empty()),
    }
    Ok(())
}
