//! A power cut: of everything that was not synced, all, the end, or a mixture is lost.

use crate::crash::Run;
use crate::dice::rounds;
use crate::disk::{Loss, Shadow};
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn nothing_is_lost_or_doubled_by_a_power_cut() {
    let mut run = Run::begin("power cut");
    let (data, shadow) = (run.home.path.join("data"), run.home.path.join("shadow"));
    // There before the server: whether its own name is durable is the business of whoever made it.
    std::fs::create_dir(&data).expect("a fresh name");
    let mut disk = Shadow::new(&data, &shadow);
    let preload = compile(&run.home.path);
    run.environment.extend([
        ("LD_PRELOAD", preload),
        ("PAVLOV_FAULT_DIR", data.clone()),
        ("PAVLOV_FAULT_SHADOW", shadow),
    ]);
    for round in 0..rounds(3) {
        run.round(round);
        let loss = [Loss::All, Loss::End, Loss::Mixed][round as usize % 3];
        let told = disk.cut_power(loss, &mut run.dice);
        println!("round {round}: power cut, {loss:?}: {told}");
        if run.stumble() {
            let told = disk.cut_power(loss, &mut run.dice);
            println!("round {round}: power cut while recovering, {loss:?}: {told}");
        }
    }
    run.finish();
}

/// The library that keeps the image of what is durable.
fn compile(home: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("faults/powerloss.c");
    let library = home.join("powerloss.so");
    let ended = Command::new("cc")
        .args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .args(["-ldl", "-lpthread"])
        .status()
        .expect("a C compiler named cc");
    assert!(ended.success(), "cc: {ended}");
    library
}
