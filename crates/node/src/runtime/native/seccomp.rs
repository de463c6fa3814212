//! The filter of system calls that `RuntimeDefault` means: a table, by what the container may. Pure.
//!
//! Its facts are those of Moby's and containerd's default profile: calls that are harmless, calls that a capability opens, three calls judged by an argument.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// Allowed to everyone. Names that a machine does not know are passed over.
const ALWAYS: &str = "accept accept4 access adjtimex alarm arch_prctl bind brk cachestat capget capset chdir chmod chown clock_adjtime clock_getres \
clock_gettime clock_nanosleep close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old \
epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fallocate \
fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstatfs \
fsync ftruncate futex futex_requeue futex_wait futex_waitv futex_wake futimesat getcpu getcwd getdents getdents64 getegid geteuid getgid getgroups \
getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid getresuid getrlimit get_robust_list getrusage getsid getsockname \
getsockopt get_thread_area gettid gettimeofday getuid getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel \
ioctl io_destroy io_getevents io_pgetevents ioprio_get ioprio_set io_setup io_submit kill landlock_add_rule landlock_create_ruleset \
landlock_restrict_self lchown lgetxattr link linkat listen listmount listxattr listxattrat llistxattr lremovexattr lseek lsetxattr lstat madvise \
map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap modify_ldt mprotect mq_getsetattr \
mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at \
nanosleep newfstatat open openat openat2 pause pidfd_getfd pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll prctl \
pread64 preadv preadv2 prlimit64 process_mrelease process_vm_readv process_vm_writev pselect6 ptrace pwrite64 pwritev pwritev2 read readahead readlink \
readlinkat readv recvfrom recvmmsg recvmsg remap_file_pages removexattr removexattrat rename renameat renameat2 restart_syscall riscv_flush_icache \
riscv_hwprobe rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo \
sched_getaffinity sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min sched_getscheduler sched_rr_get_interval sched_setaffinity \
sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop sendfile sendmmsg sendmsg sendto setfsgid \
setfsuid setgid setgroups setitimer setpgid setpriority setregid setresgid setresuid setreuid setrlimit set_robust_list setsid setsockopt \
set_thread_area set_tid_address setuid setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 socketpair splice stat \
statfs statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timerfd_create timerfd_gettime \
timerfd_settime timer_getoverrun timer_gettime timer_settime times tkill truncate umask uname unlink unlinkat uretprobe utime utimensat utimes vfork \
vmsplice wait4 waitid write writev";

/// Opened by a capability.
const BY_CAPABILITY: [(&str, &str); 12] = [
    ("DAC_READ_SEARCH", "open_by_handle_at"),
    (
        "SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr \
         move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
    ),
    ("SYS_BOOT", "reboot"),
    ("SYS_CHROOT", "chroot"),
    ("SYS_MODULE", "delete_module init_module finit_module"),
    ("SYS_PACCT", "acct"),
    ("SYS_PTRACE", "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"),
    ("SYS_RAWIO", "iopl ioperm"),
    ("SYS_TIME", "settimeofday stime clock_settime clock_settime64"),
    ("SYS_TTY_CONFIG", "vhangup"),
    ("SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    ("SYSLOG", "syslog"),
];

/// What each of these is asked for: an execution domain, `personality(2)`.
const PERSONALITIES: [u64; 5] = [0x0, 0x0008, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// The flags of `clone` that make namespaces.
const NAMESPACE_FLAGS: u64 = 0x7E02_0000;

/// Sockets of virtual machines' hosts have no namespace.
const AF_VSOCK: u64 = 40;

/// The profile for a container with these capabilities, as the OCI writes it.
pub(super) fn runtime_default(capabilities: &BTreeSet<&'static str>) -> Value {
    let names = |list: &str| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let allow = |names: Vec<String>| json!({"names": names, "action": "SCMP_ACT_ALLOW"});
    let argument = |index: u8, value: u64, second: Option<u64>, operator: &str| {
        let mut argument = json!({"index": index, "value": value, "op": operator});
        if let Some(second) = second {
            argument["valueTwo"] = second.into();
        }
        argument
    };
    let mut groups = vec![allow(names(ALWAYS))];
    for (capability, list) in BY_CAPABILITY {
        if capabilities.contains(capability) {
            groups.push(allow(names(list)));
        }
    }
    let mut judged = |name: &str, argument: Value| {
        groups.push(json!({"names": [name], "action": "SCMP_ACT_ALLOW", "args": [argument]}));
    };
    judged("socket", argument(0, AF_VSOCK, None, "SCMP_CMP_NE"));
    for domain in PERSONALITIES {
        judged("personality", argument(0, domain, None, "SCMP_CMP_EQ"));
    }
    if !capabilities.contains("SYS_ADMIN") {
        judged("clone", argument(0, NAMESPACE_FLAGS, Some(0), "SCMP_CMP_MASKED_EQ"));
        // Its flags are in memory, where a filter cannot look: with this number, C libraries use `clone`.
        groups.push(json!({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}));
    }
    json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "syscalls": groups})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(capabilities: &[&'static str], call: &str) -> bool {
        let profile = runtime_default(&capabilities.iter().copied().collect());
        profile["syscalls"].as_array().unwrap().iter().any(|group| {
            let named = group["names"].as_array().unwrap().iter().any(|name| name == call);
            named && group["action"] == "SCMP_ACT_ALLOW" && group.get("args").is_none()
        })
    }

    #[test]
    fn capabilities_open_system_calls() {
        for (name, capabilities, call, expected) in [
            ("harmless", &[][..], "openat", true),
            ("mounts", &[], "mount", false),
            ("mounts of who may", &["SYS_ADMIN"], "mount", true),
            ("namespaces", &["CHOWN"], "unshare", false),
            ("a clone without a look at its flags", &[], "clone", false),
            ("that of who may", &["SYS_ADMIN"], "clone3", true),
            ("modules", &["SYS_ADMIN"], "init_module", false),
            ("io_uring", &["SYS_ADMIN"], "io_uring_setup", false),
            ("keys", &["SYS_ADMIN"], "add_key", false),
        ] {
            assert_eq!(allows(capabilities, call), expected, "{name}");
        }
    }
}
