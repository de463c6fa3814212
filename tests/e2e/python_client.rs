//! The official Python client, by the script `tests/clients/python_client.py`.

use std::process::Command;

use sampan_tests::{Cluster, tools};

#[test]
fn the_python_client_lists_watches_patches_and_reconnects() {
    let Some(python) = tools::python_with_client() else { return };
    let mut cluster = Cluster::start();
    let script = tools::root().join("tests/clients/python_client.py");
    let run = |cluster: &Cluster, step: &str| {
        let output = Command::new(&python).arg(&script).arg(cluster.kubeconfig()).arg(step).output().unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{step}: {complaint}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let revision = run(&cluster, "use");
    cluster.kill();
    cluster.restart().unwrap();
    run(&cluster, &revision);
}
