use super::*;

#[test]
fn error_streams_say_how_commands_ended() {
    let failure = |message: &str| {
        json!({"status": "Failure", "message": message, "reason": "InternalError"}).to_string()
    };
    let exit = json!({
        "status": "Failure", "reason": "NonZeroExitCode", "message": "command terminated with non-zero exit code",
        "details": {"causes": [{"reason": "ExitCode", "message": "42"}]}, "metadata": {},
    });
    let missing = "failed to exec in container: exec: \"x\": executable file not found in $PATH: unknown";
    let words =
        |message: &str| format!("Internal error occurred: error executing command in container: {message}");
    for (name, said, code, message) in [
        ("well", json!({"status": "Success"}).to_string(), Ok(0), ""),
        ("a code", exit.to_string(), Ok(42), ""),
        ("not there", failure(&words(missing)), Err(Some(127)), missing),
        ("not allowed", failure("permission denied: unknown"), Err(Some(126)), "permission denied: unknown"),
        ("something else", failure(&words("it broke")), Err(None), "it broke"),
        ("no Status", "words".to_owned(), Err(None), "words"),
        (
            "nothing",
            String::new(),
            Err(None),
            "the container runtime's streaming server broke the connection",
        ),
    ] {
        let found = match outcome(said.as_bytes()) {
            Ok(code) => (Ok(code), String::new()),
            Err(Error::Start { code, message }) => (Err(Some(code)), message),
            Err(other) => (Err(None), other.to_string()),
        };
        assert_eq!(found, (code, message.to_owned()), "{name}");
    }
}
