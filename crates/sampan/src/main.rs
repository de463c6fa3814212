//! The `sampan` command: reads the command line, does what it says, and tells a user in one sentence what
//! went wrong. All configuration, signals and wiring are here; what the parts do is in their crates.

mod cli;
mod data_dir;
mod image;
mod kubeconfig;
mod logging;
mod node;
mod openapi;
mod pki;
mod private_file;
mod service_range;
mod tls;
mod up;
mod version;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use cli::{Cli, Command};

/// See the reason in the table of dependencies, and the figures in `docs/performance.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // A pod's shim is another program in the same file: nothing of this one may have begun.
    if let Some(code) = sampan_shim::entry(std::env::args_os().skip(1)) {
        return ExitCode::from(u8::try_from(code).unwrap_or(1));
    }
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Up(options) => up::run(&options),
        Command::Node(options) => node::join::run(&options),
        Command::Kubeconfig(options) => kubeconfig::print(&options),
        Command::Image(command) => image::run(&command),
        Command::Version => {
            println!("{}", version::sentence());
            Ok(())
        }
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "sampan", &mut std::io::stdout());
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The whole chain in one line: the first part says what failed, the last part why.
            eprintln!("sampan: {error:#}");
            ExitCode::FAILURE
        }
    }
}
