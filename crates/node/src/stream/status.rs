//! What is said at the end of a remote command, on its error stream: a `metav1.Status` as JSON, or words in the first versions.

use serde_json::{Value, json};

/// How a remote command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With 0, or without an exit code.
    Success,
    /// With an exit code.
    Exit {
        /// It.
        code: i32,
        /// What was run.
        command: Vec<String>,
    },
    /// It could not be run, or not to its end: why.
    Failed(String),
}

impl Outcome {
    /// As a Status (version 4 and later).
    pub fn status(&self) -> Value {
        match self {
            Outcome::Success => json!({"metadata": {}, "status": "Success"}),
            Outcome::Exit { code, .. } => json!({
                "metadata": {},
                "status": "Failure",
                "message": self.message(),
                "reason": "NonZeroExitCode",
                "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
            }),
            Outcome::Failed(why) => json!({
                "metadata": {},
                "status": "Failure",
                "message": self.message(),
                "reason": "InternalError",
                "details": {"causes": [{"message": why}]},
                "code": 500,
            }),
        }
    }

    /// In words; empty for a success.
    pub fn message(&self) -> String {
        match self {
            Outcome::Success => String::new(),
            Outcome::Exit { code, command } => format!(
                "command terminated with non-zero exit code: error executing command [{}], exit code {code}",
                command.join(" ")
            ),
            Outcome::Failed(why) => format!("Internal error occurred: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_find_the_exit_code_where_they_look_for_it() {
        let outcome = Outcome::Exit { code: 3, command: vec!["sh".into(), "-c".into(), "exit 3".into()] };
        let status = outcome.status();
        assert_eq!(status["reason"], "NonZeroExitCode");
        assert_eq!(status["details"]["causes"][0], json!({"reason": "ExitCode", "message": "3"}));
        assert_eq!(Outcome::Success.status()["status"], "Success");
        let failed = Outcome::Failed("error executing command in container: no".into());
        assert_eq!(failed.message(), "Internal error occurred: error executing command in container: no");
    }
}
