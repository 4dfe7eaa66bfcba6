//! Templates made to explode fail quickly, within little memory and without ending the process.

use pavlov_actions::{Scope, template};
use pavlov_events::Timestamp;
use serde_json::Value;
use std::time::{Duration, Instant};

/// The most memory this process ever held, in KiB.
fn memory_peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("the peak");
    line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
}

fn render(text: &str) -> Result<String, template::TemplateError> {
    template::render("bomb", text, &Scope::new(Value::Null, Value::Null, None, Timestamp::MIN))
}

#[test]
fn bombs_fail_quickly_and_stay_small() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/templates");
    let mut bombs = 0;
    for entry in std::fs::read_dir(folder).expect("the cases").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with("err_bomb") {
            continue;
        }
        let text = std::fs::read_to_string(entry.path()).expect("a case");
        let source = text.split("---\n").nth(1).expect("a template");
        let start = Instant::now();
        render(source).expect_err(&name);
        assert!(start.elapsed() < Duration::from_secs(3), "{name} took {:?}", start.elapsed());
        assert!(memory_peak_kib() < 50 * 1024, "{name}: {} KiB", memory_peak_kib());
        bombs += 1;
    }
    assert!(bombs >= 20);
}

/// A template of some length.
type Shape = Box<dyn Fn(usize) -> String + Send>;

#[test]
fn deep_and_long_templates_do_not_overflow_the_stack() {
    let shapes: [(&str, Shape); 9] = [
        ("attributes", Box::new(|n| format!("{{{{ x{} }}}}", ".a".repeat(n)))),
        ("sums", Box::new(|n| format!("{{{{ 1{} }}}}", "+1".repeat(n)))),
        ("filters", Box::new(|n| format!("{{{{ 1{} }}}}", "|abs".repeat(n)))),
        ("calls", Box::new(|n| format!("{{{{ x{} }}}}", "()".repeat(n)))),
        ("lists", Box::new(|n| format!("{{{{ {}{} }}}}", "[".repeat(n), "]".repeat(n)))),
        ("not", Box::new(|n| format!("{{{{ {}1 }}}}", "not ".repeat(n)))),
        ("branches", Box::new(|n| format!("{{% if a %}}{}{{% endif %}}", "{% elif b %}".repeat(n)))),
        ("blocks", Box::new(|n| format!("{}{}", "{% if a %}".repeat(n), "{% endif %}".repeat(n)))),
        ("with", Box::new(|n| format!("{}{}", "{% with %}".repeat(n), "{% endwith %}".repeat(n)))),
    ];
    for (name, shape) in shapes {
        // A server's tasks run on stacks of this size.
        let thread = std::thread::Builder::new().name(name.into()).stack_size(2 << 20);
        let run = move || {
            for count in [10, 100, 140, 190, 300, 590, 2_000, 2_400] {
                let text = shape(count);
                let _ = template::validate(&text);
                let _ = render(&text);
            }
        };
        thread.spawn(run).expect("a thread").join().expect(name);
    }
}
