//! The program that the tests of the native runtime start: their shims, and an agent to be killed.
//!
//! `agent DIR NAME` runs a pod until it is killed; `measure DIR PROGRAM` prints how long things take with shims of that program.

#[path = "rig.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod rig;

use std::path::Path;
use std::time::Instant;

use sampan_node::runtime::Runtime;

use rig::{Place, container, id, run, shell, written};

fn main() {
    if let Some(code) = sampan_shim::entry(std::env::args_os().skip(1)) {
        std::process::exit(code);
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["agent", directory, name] => runtime.block_on(agent(Path::new(directory), name)),
        ["measure", directory, program] => {
            runtime.block_on(measure(Path::new(directory), Path::new(program)));
        }
        _ => panic!("agent DIR NAME, or measure DIR PROGRAM"),
    }
}

/// Runs a pod, says so, and waits for its end.
async fn agent(directory: &Path, name: &str) {
    let place = Place::new(directory, name);
    let runtime = place.open(|_| ()).await.expect("the runtime opens");
    let pod = place.sandbox("adopted");
    runtime.start_sandbox(&pod).await.expect("the sandbox starts");
    let running = id(&pod, "running", 3);
    let script = "echo one; while [ ! -e /tmp/go ]; do sleep 0.01; done; echo two; exit 5";
    run(&runtime, &shell(&running, script)).await.expect("the container starts");
    let ended = id(&pod, "ended", 0);
    run(&runtime, &shell(&ended, "exit 4")).await.expect("the container starts");
    rig::end(&runtime, &ended).await;
    let created = id(&pod, "created", 0);
    runtime.create_container(&shell(&created, "exit 6")).await.expect("the container is created");
    written(&place, &running, "one").await;
    println!("ready");
    std::future::pending::<()>().await;
}

async fn measure(directory: &Path, program: &Path) {
    let place = Place::new(directory, "measure");
    let runtime =
        place.open(|options| program.clone_into(&mut options.executable)).await.expect("the runtime opens");
    let (mut sandboxes, mut creates, mut starts, mut outputs) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..30 {
        let pod = place.sandbox(&format!("m{round}"));
        let first = id(&pod, "c", 0);
        let begin = Instant::now();
        runtime.start_sandbox(&pod).await.expect("the sandbox starts");
        sandboxes.push(begin.elapsed());
        runtime
            .create_container(&shell(&first, "echo hello; exec sleep 1000"))
            .await
            .expect("the container is created");
        creates.push(begin.elapsed());
        runtime.start_container(&first).await.expect("the container starts");
        starts.push(begin.elapsed());
        written(&place, &first, "hello").await;
        outputs.push(begin.elapsed());
        if round == 0 {
            let second = id(&pod, "d", 0);
            run(&runtime, &container(&second, &["/bin/true"])).await.expect("the container starts");
        }
    }
    for (name, times) in [
        ("sandbox", &mut sandboxes),
        ("created", &mut creates),
        ("started", &mut starts),
        ("first output", &mut outputs),
    ] {
        times.sort();
        println!(
            "{name}: median {:?}, most {:?}, since start_sandbox",
            times[times.len() / 2],
            times[times.len() - 1]
        );
    }
    for pid in std::fs::read_dir("/proc").expect("processes").flatten() {
        let command = std::fs::read(pid.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&command).contains(&format!("shim\0{}", directory.display())) {
            let rollup = std::fs::read_to_string(pid.path().join("smaps_rollup")).unwrap_or_default();
            let line = |name: &str| {
                rollup
                    .lines()
                    .find(|line| line.starts_with(name))
                    .unwrap_or_default()
                    .split_whitespace()
                    .nth(1)
                    .unwrap_or_default()
                    .to_owned()
            };
            println!(
                "shim {}: anonymous {} kB, private dirty {} kB, pss {} kB, rss {} kB",
                pid.file_name().display(),
                line("Anonymous:"),
                line("Private_Dirty:"),
                line("Pss:"),
                line("Rss:")
            );
        }
    }
    let begin = Instant::now();
    for round in 0..30 {
        runtime
            .remove_sandbox(&place.sandbox(&format!("m{round}")).uid)
            .await
            .expect("the sandbox is removed");
    }
    println!("removal: {:?} each", begin.elapsed() / 30);
    println!("left behind: {:?}", place.left_behind());
}
