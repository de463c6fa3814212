//! Whether and when a container that ended is started again.

use std::time::{Duration, SystemTime};

use k8s_openapi::api::core::v1::{Container, PodSpec};

use super::roles::Role;

/// The first delay of a container that keeps ending.
const FIRST_DELAY: Duration = Duration::from_secs(10);
/// The longest.
const LONGEST_DELAY: Duration = Duration::from_mins(5);

/// Whether a container of `role` that ended with `code` is to be started again, were it not for the delay.
pub fn wanted(spec: &PodSpec, container: &Container, role: Role, code: i32) -> bool {
    if role == Role::Sidecar {
        return true;
    }
    if let Some(restart) = by_rules(container, code) {
        return restart;
    }
    let pods = spec.restart_policy.as_deref().unwrap_or("Always");
    match container.restart_policy.as_deref().unwrap_or(pods) {
        "Never" => false,
        "OnFailure" => code != 0,
        // An init container of a pod that always restarts is done when it has succeeded.
        _ => role == Role::Main || code != 0,
    }
}

/// What the container's own rules say (KEP-5307); `None` where none speaks of this code.
fn by_rules(container: &Container, code: i32) -> Option<bool> {
    let speaks = |codes: &k8s_openapi::api::core::v1::ContainerRestartRuleOnExitCodes| {
        let listed = codes.values.iter().flatten().any(|value| *value == code);
        match codes.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        }
    };
    let rules = container.restart_policy_rules.iter().flatten();
    let mut matching = rules.filter(|rule| rule.exit_codes.as_ref().is_some_and(speaks));
    matching.next().map(|rule| rule.action == "Restart")
}

/// The growing delay before something is tried again: none before the first time, then 10 s, doubled up to 5 minutes; forgotten after twice that without a try.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    tried: Option<(SystemTime, Duration)>,
}

impl Backoff {
    /// Nothing was tried yet.
    pub const NEVER: Self = Self { tried: None };

    /// Until when nothing is to be done, if what was tried last ended at `since`; `None` if now is good.
    pub fn wait(&self, since: SystemTime, now: SystemTime) -> Option<SystemTime> {
        let (at, delay) = self.tried?;
        let until = since + delay;
        (!forgotten(at, now) && until > now).then_some(until)
    }

    /// The delay after the last try.
    pub fn delay(&self) -> Duration {
        self.tried.map_or(Duration::ZERO, |(_, delay)| delay)
    }

    /// Something is tried now.
    pub fn tried(&mut self, now: SystemTime) {
        let delay = match self.tried {
            Some((at, delay)) if !forgotten(at, now) => (delay * 2).min(LONGEST_DELAY),
            _ => FIRST_DELAY,
        };
        self.tried = Some((now, delay));
    }
}

fn forgotten(tried_at: SystemTime, now: SystemTime) -> bool {
    now.duration_since(tried_at).is_ok_and(|passed| passed > LONGEST_DELAY * 2)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_container_is_started_again_as_its_policy_says() {
        use Role::{Init, Main, Sidecar};
        let rules = json!([
            {"action": "Restart", "exitCodes": {"operator": "In", "values": [42, 43]}},
            {"action": "Restart", "exitCodes": {"operator": "NotIn", "values": [0, 1]}},
        ]);
        let none = Value::Null;
        for (policy, own, rules, role, code, again) in [
            ("Always", None, &none, Main, 0, true),
            ("Always", None, &none, Main, 1, true),
            ("Always", None, &none, Init, 0, false),
            ("Always", None, &none, Init, 1, true),
            ("OnFailure", None, &none, Main, 0, false),
            ("OnFailure", None, &none, Main, 137, true),
            ("OnFailure", None, &none, Init, 1, true),
            ("Never", None, &none, Main, 1, false),
            ("Never", None, &none, Init, 1, false),
            ("Never", None, &none, Sidecar, 0, true),
            ("Never", Some("OnFailure"), &none, Main, 1, true),
            ("Always", Some("Never"), &none, Main, 1, false),
            ("Never", Some("Never"), &rules, Main, 42, true),
            ("Never", Some("Never"), &rules, Main, 7, true),
            ("Never", Some("Never"), &rules, Main, 1, false),
            ("Always", Some("OnFailure"), &rules, Main, 0, false),
        ] {
            let spec = json!({"restartPolicy": policy, "containers": []});
            let container = json!({"name": "c", "restartPolicy": own, "restartPolicyRules": rules});
            let spec: PodSpec = serde_json::from_value(spec).expect("a spec");
            let container: Container = serde_json::from_value(container).expect("a container");
            assert_eq!(wanted(&spec, &container, role, code), again, "{policy} {own:?} {role:?} {code}");
        }
    }

    #[test]
    fn the_delay_doubles_up_to_five_minutes_and_is_forgotten_after_ten_quiet_ones() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.wait(at(0), at(0)), None, "the first time is at once");
        backoff.tried(at(0));
        assert_eq!(backoff.wait(at(1), at(2)), Some(at(11)), "the delay counts from the end");
        assert_eq!(backoff.wait(at(1), at(11)), None);
        for (seconds, delay) in [(11, 20), (40, 40), (90, 80), (180, 160), (350, 300), (700, 300)] {
            backoff.tried(at(seconds));
            assert_eq!(backoff.delay().as_secs(), delay, "after {seconds}");
        }
        assert_eq!(backoff.wait(at(5_000), at(5_001)), None, "it is forgotten");
        backoff.tried(at(5_002));
        assert_eq!(backoff.delay(), FIRST_DELAY);
    }
}
