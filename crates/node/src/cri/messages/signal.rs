//! Signals by the numbers that the protocol gives them.

/// In the protocol's order; the first is 1.
const NAMES: [&str; 34] = [
    "SIGABRT",
    "SIGALRM",
    "SIGBUS",
    "SIGCHLD",
    "SIGCLD",
    "SIGCONT",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGIO",
    "SIGIOT",
    "SIGKILL",
    "SIGPIPE",
    "SIGPOLL",
    "SIGPROF",
    "SIGPWR",
    "SIGQUIT",
    "SIGSEGV",
    "SIGSTKFLT",
    "SIGSTOP",
    "SIGSYS",
    "SIGTERM",
    "SIGTRAP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
    "SIGXCPU",
    "SIGXFSZ",
];

/// The number of `SIGTERM`, `SIGRTMIN+3` ...; 0, which leaves it to the runtime, if it has none.
pub(crate) fn signal(name: &str) -> i32 {
    let number = |text: &str, most: i32| text.parse().ok().filter(|n| (1..=most).contains(n));
    let found = if let Some(offset) = name.strip_prefix("SIGRTMIN+") {
        number(offset, 15).map(|n: i32| 35 + n)
    } else if let Some(offset) = name.strip_prefix("SIGRTMAX-") {
        number(offset, 14).map(|n: i32| 65 - n)
    } else {
        match name {
            "SIGRTMIN" => Some(35),
            "SIGRTMAX" => Some(65),
            _ => NAMES.iter().zip(1..).find(|(known, _)| **known == name).map(|(_, number)| number),
        }
    };
    found.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_the_protocols_numbers() {
        for (name, number) in [
            ("SIGABRT", 1),
            ("SIGTERM", 23),
            ("SIGXFSZ", 34),
            ("SIGRTMIN", 35),
            ("SIGRTMIN+1", 36),
            ("SIGRTMIN+15", 50),
            ("SIGRTMAX-14", 51),
            ("SIGRTMAX-1", 64),
            ("SIGRTMAX", 65),
            ("SIGRTMIN+16", 0),
            ("15", 0),
            ("", 0),
        ] {
            assert_eq!(signal(name), number, "{name}");
        }
    }
}
