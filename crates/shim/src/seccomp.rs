//! A bundle's filter of system calls as programs for the kernel, without a C library.
//!
//! A program has two answers: one for calls that it names, one for all others. So a profile becomes one program for each action that
//! it names besides its default; the kernel runs all of them and takes the strictest answer, among equals that of the program which came last.
//! Calls of another architecture than the machine's kill the process.

use std::collections::BTreeMap;
use std::str::FromStr;

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use syscalls::Sysno;

/// Why a profile cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("seccomp action {0} is not supported")]
    Action(LinuxSeccompAction),
    #[error("a seccomp rule has a bad argument {0}")]
    Argument(usize),
    #[error("the seccomp profile cannot be compiled")]
    Compile(#[from] seccompiler::BackendError),
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// The programs, in the order in which they are to be installed.
pub(crate) fn compile(profile: &LinuxSeccomp) -> Result<Vec<BpfProgram>, Error> {
    let default = action(profile.default_action(), profile.default_errno_ret())?;
    let mut groups: Vec<(SeccompAction, Rules)> = Vec::new();
    for group in profile.syscalls().iter().flatten() {
        let wanted = action(group.action(), group.errno_ret())?;
        if wanted == default {
            continue;
        }
        let place = groups.iter().position(|(action, _)| *action == wanted).unwrap_or_else(|| {
            groups.push((wanted, Rules::new()));
            groups.len() - 1
        });
        // A profile is made for many kernels and architectures: names that mean nothing here are passed over.
        for number in group.names().iter().filter_map(|name| Sysno::from_str(name).ok()) {
            add(&mut groups[place].1, i64::from(number.id()), group.args().as_deref().unwrap_or_default())?;
        }
    }
    // The one that allows comes first: with it, the default is the answer to all that it does not name, and the others overrule it.
    groups.sort_by_key(|(action, _)| *action != SeccompAction::Allow);
    if default != SeccompAction::Allow
        && groups.first().is_none_or(|(action, _)| *action != SeccompAction::Allow)
    {
        groups.insert(0, (SeccompAction::Allow, Rules::new()));
    }
    groups.into_iter().map(|(action, rules)| program(action, rules, &default)).collect()
}

fn program(matched: SeccompAction, rules: Rules, default: &SeccompAction) -> Result<BpfProgram, Error> {
    let otherwise = if matched == SeccompAction::Allow { default.clone() } else { SeccompAction::Allow };
    let architecture = std::env::consts::ARCH.try_into()?;
    Ok(SeccompFilter::new(rules, otherwise, matched, architecture)?.try_into()?)
}

fn action(action: LinuxSeccompAction, errno: Option<u32>) -> Result<SeccompAction, Error> {
    // EPERM is what the OCI says where no number is given.
    let errno = errno.unwrap_or(1);
    Ok(match action {
        LinuxSeccompAction::ScmpActAllow => SeccompAction::Allow,
        LinuxSeccompAction::ScmpActErrno => SeccompAction::Errno(errno),
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => SeccompAction::KillThread,
        LinuxSeccompAction::ScmpActKillProcess => SeccompAction::KillProcess,
        LinuxSeccompAction::ScmpActLog => SeccompAction::Log,
        LinuxSeccompAction::ScmpActTrace => SeccompAction::Trace(errno),
        LinuxSeccompAction::ScmpActTrap => SeccompAction::Trap,
        LinuxSeccompAction::ScmpActNotify => return Err(Error::Action(action)),
    })
}

/// Adds a call. Without conditions it is meant whatever its arguments are, which takes in every rule with some.
fn add(rules: &mut Rules, number: i64, arguments: &[LinuxSeccompArg]) -> Result<(), Error> {
    let known = rules.get(&number);
    if known.is_some_and(Vec::is_empty) {
        return Ok(());
    }
    if arguments.is_empty() {
        rules.insert(number, Vec::new());
        return Ok(());
    }
    let conditions = arguments.iter().map(condition).collect::<Result<Vec<_>, _>>()?;
    rules.entry(number).or_default().push(SeccompRule::new(conditions)?);
    Ok(())
}

fn condition(argument: &LinuxSeccompArg) -> Result<SeccompCondition, Error> {
    let index = u8::try_from(argument.index()).map_err(|_| Error::Argument(argument.index()))?;
    let (operator, value) = match argument.op() {
        LinuxSeccompOperator::ScmpCmpNe => (SeccompCmpOp::Ne, argument.value()),
        LinuxSeccompOperator::ScmpCmpLt => (SeccompCmpOp::Lt, argument.value()),
        LinuxSeccompOperator::ScmpCmpLe => (SeccompCmpOp::Le, argument.value()),
        LinuxSeccompOperator::ScmpCmpEq => (SeccompCmpOp::Eq, argument.value()),
        LinuxSeccompOperator::ScmpCmpGe => (SeccompCmpOp::Ge, argument.value()),
        LinuxSeccompOperator::ScmpCmpGt => (SeccompCmpOp::Gt, argument.value()),
        LinuxSeccompOperator::ScmpCmpMaskedEq => {
            (SeccompCmpOp::MaskedEq(argument.value()), argument.value_two().unwrap_or(0))
        }
    };
    Ok(SeccompCondition::new(index, SeccompCmpArgLen::Qword, operator, value)?)
}

/// Puts a program on this process, for good.
pub(crate) fn install(program: &BpfProgram) -> std::io::Result<()> {
    #[repr(C)]
    struct Program {
        length: libc::c_ushort,
        instructions: *const seccompiler::sock_filter,
    }
    let length = libc::c_ushort::try_from(program.len()).map_err(|_| std::io::ErrorKind::InvalidInput)?;
    let program = Program { length, instructions: program.as_ptr() };
    // seccompiler's own call sets `no_new_privs`, which a container has only if its pod asks for it.
    #[allow(
        unsafe_code,
        reason = "no safe wrapper leaves no_new_privs alone; the kernel copies the program, which outlives the call"
    )]
    let outcome = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    if outcome == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn programs(profile: serde_json::Value) -> Result<usize, String> {
        let profile: LinuxSeccomp = serde_json::from_value(profile).unwrap();
        compile(&profile).map(|programs| programs.len()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_profile_has_a_program_for_each_of_its_actions() {
        let allow = json!({"names": ["read", "no_such_call"], "action": "SCMP_ACT_ALLOW"});
        let masked = json!({"names": ["clone"], "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": 2_114_060_288_u64, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]});
        let no_such = json!({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38});
        let plain = json!({"names": ["mount"], "action": "SCMP_ACT_ERRNO"});
        let notify = json!({"names": ["mount"], "action": "SCMP_ACT_NOTIFY"});
        for (name, default, groups, expected) in [
            ("all is allowed", "SCMP_ACT_ALLOW", json!([]), Ok(0)),
            ("all is refused", "SCMP_ACT_ERRNO", json!([]), Ok(1)),
            ("some are allowed", "SCMP_ACT_ERRNO", json!([allow, masked]), Ok(1)),
            ("some are allowed, one has its own number", "SCMP_ACT_ERRNO", json!([no_such, allow]), Ok(2)),
            ("what the default does anyway", "SCMP_ACT_ERRNO", json!([plain]), Ok(1)),
            ("one is refused", "SCMP_ACT_ALLOW", json!([plain, allow]), Ok(1)),
            (
                "somebody else is asked",
                "SCMP_ACT_ALLOW",
                json!([notify]),
                Err("seccomp action SCMP_ACT_NOTIFY is not supported".to_owned()),
            ),
        ] {
            assert_eq!(programs(json!({"defaultAction": default, "syscalls": groups})), expected, "{name}");
        }
    }
}
