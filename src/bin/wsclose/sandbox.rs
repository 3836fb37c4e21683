//! Gives up rights before the first packet is looked at.
//!
//! The order is a contract, which the live tests check from outside:
//!
//! ```text
//!  1  interfaces and listening sockets are opened, key logs read       with the rights of the start
//!  2  groups, then user (--user); all capabilities; no_new_privs       Rights::drop
//!  3  output files are created, as that user
//!  4  Landlock: output folders writable, key logs and interface counters readable, no other file, no TCP port
//!  5  seccomp: an allow-list of system calls, without socket, execve, ptrace, kill ...    Rights::confine
//!  6  the first packet is parsed
//! ```
//!
//! Packets wait in the kernel's buffer from step 1 on. On other systems than Linux, and without the feature `sandbox`,
//! nothing is given up.

use anyhow::Result;
use std::path::PathBuf;

/// What the rest of the run needs.
#[derive(Clone, Debug, Default)]
#[cfg_attr(
    not(all(feature = "sandbox", target_os = "linux")),
    expect(dead_code, reason = "nothing is given up, so nothing is kept")
)]
pub(crate) struct Needs {
    /// Folders to create, rename and delete files in.
    pub(crate) folders: Vec<PathBuf>,
    /// Files to read again.
    pub(crate) files: Vec<PathBuf>,
}

#[cfg(all(feature = "sandbox", target_os = "linux"))]
mod linux {
    use super::Needs;
    use anyhow::{Context as _, Result, bail};
    use caps::CapSet;
    use landlock::{
        ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, Ruleset,
        RulesetAttr as _, RulesetCreatedAttr as _, path_beneath_rules,
    };
    use nix::libc;
    use nix::unistd::{Gid, Uid, User, setgroups, setresgid, setresuid};
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

    /// The Landlock version whose rights are asked for; an older kernel grants fewer.
    const LANDLOCK: ABI = ABI::V5;
    /// Where libpcap reads the drop counters of interfaces.
    const COUNTERS: [&str; 3] = ["/sys/class/net", "/sys/devices", "/proc/net"];

    /// Step 2.
    pub(super) fn drop(user: Option<&str>) -> Result<()> {
        if caps::has_cap(None, CapSet::Effective, caps::Capability::CAP_SETPCAP).unwrap_or(false) {
            caps::clear(None, CapSet::Bounding).context("dropping the bounding set")?;
        }
        if let Some(name) = user {
            become_user(name)?;
        }
        for set in [CapSet::Ambient, CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
            caps::clear(None, set).context("dropping capabilities")?;
        }
        nix::sys::prctl::set_no_new_privs().context("setting no_new_privs")
    }

    fn become_user(name: &str) -> Result<()> {
        let number = name.parse().ok().map(Uid::from_raw);
        let user = match number {
            Some(uid) => User::from_uid(uid),
            None => User::from_name(name),
        };
        let (uid, gid) = match (user.context("looking the user up")?, number) {
            (Some(user), _) => (user.uid, user.gid),
            (None, Some(uid)) => (uid, Gid::from_raw(uid.as_raw())),
            (None, None) => bail!("there is no user {name:?}"),
        };
        if Uid::effective() == uid {
            return Ok(());
        }
        setgroups(&[gid])
            .and_then(|()| setresgid(gid, gid, gid))
            .and_then(|()| setresuid(uid, uid, uid))
            .with_context(|| format!("becoming {name} (this takes root)"))
    }

    /// Steps 4 and 5.
    pub(super) fn confine(needs: &Needs) -> Result<()> {
        restrict_files(needs).context("restricting access to files (Landlock)")?;
        let program = system_calls().context("making the list of system calls")?;
        seccompiler::apply_filter_all_threads(&program).context("restricting system calls (seccomp)")
    }

    fn restrict_files(needs: &Needs) -> Result<()> {
        let all: BitFlags<AccessFs> = AccessFs::from_all(LANDLOCK);
        let write = all & !BitFlags::from(AccessFs::Execute);
        let read = AccessFs::from_read(LANDLOCK) & !BitFlags::from(AccessFs::Execute);
        Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(all)?
            .handle_access(AccessNet::BindTcp | AccessNet::ConnectTcp)?
            .create()?
            .add_rules(path_beneath_rules(&needs.folders, write))?
            .add_rules(path_beneath_rules(&needs.files, read))?
            .add_rules(path_beneath_rules(COUNTERS, read))?
            .restrict_self()?;
        Ok(())
    }

    /// What is not listed fails with EPERM: a library that asks for more than it needs goes on without.
    fn system_calls() -> Result<BpfProgram> {
        let rules = ALLOWED.iter().chain(ALLOWED_X86_64).map(|call| (*call, Vec::new())).collect();
        let arch = std::env::consts::ARCH.try_into()?;
        let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
        Ok(SeccompFilter::new(rules, refused, SeccompAction::Allow, arch)?.try_into()?)
    }

    const ALLOWED: &[i64] = &[
        // Files that are open, and those that Landlock lets through.
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_pread64,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_pwrite64,
        libc::SYS_openat,
        libc::SYS_close,
        libc::SYS_fstat,
        libc::SYS_newfstatat,
        libc::SYS_statx,
        libc::SYS_lseek,
        libc::SYS_fsync,
        libc::SYS_fdatasync,
        libc::SYS_ftruncate,
        libc::SYS_fallocate,
        libc::SYS_renameat,
        libc::SYS_renameat2,
        libc::SYS_unlinkat,
        libc::SYS_mkdirat,
        libc::SYS_getdents64,
        libc::SYS_readlinkat,
        libc::SYS_faccessat,
        libc::SYS_faccessat2,
        libc::SYS_fcntl,
        libc::SYS_ioctl,
        libc::SYS_dup,
        libc::SYS_pipe2,
        libc::SYS_getcwd,
        libc::SYS_statfs,
        libc::SYS_fstatfs,
        libc::SYS_fchmod,
        libc::SYS_umask,
        // The capture and its waiting; the connections of the metrics page, on a socket that is open.
        libc::SYS_ppoll,
        libc::SYS_getsockopt,
        libc::SYS_setsockopt,
        libc::SYS_recvfrom,
        libc::SYS_recvmsg,
        libc::SYS_sendto,
        libc::SYS_sendmsg,
        libc::SYS_accept,
        libc::SYS_accept4,
        libc::SYS_shutdown,
        libc::SYS_getpeername,
        libc::SYS_getsockname,
        libc::SYS_epoll_create1,
        libc::SYS_epoll_ctl,
        libc::SYS_epoll_pwait,
        libc::SYS_eventfd2,
        // Memory.
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mprotect,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_brk,
        libc::SYS_mincore,
        libc::SYS_get_mempolicy,
        libc::SYS_mbind,
        // Time, signals, threads, the end.
        libc::SYS_clock_gettime,
        libc::SYS_clock_getres,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_gettimeofday,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_restart_syscall,
        libc::SYS_futex,
        libc::SYS_set_robust_list,
        libc::SYS_rseq,
        libc::SYS_clone,
        libc::SYS_clone3,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_prctl,
        libc::SYS_membarrier,
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_tgkill,
        // Who and where am I?
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_getuid,
        libc::SYS_geteuid,
        libc::SYS_getgid,
        libc::SYS_getegid,
        libc::SYS_getrandom,
        libc::SYS_uname,
        libc::SYS_sysinfo,
        libc::SYS_prlimit64,
        libc::SYS_getrusage,
        libc::SYS_getcpu,
        libc::SYS_capget,
    ];

    /// The older calls, which newer architectures do without.
    #[cfg(target_arch = "x86_64")]
    const ALLOWED_X86_64: &[i64] = &[
        libc::SYS_open,
        libc::SYS_stat,
        libc::SYS_lstat,
        libc::SYS_access,
        libc::SYS_poll,
        libc::SYS_rename,
        libc::SYS_unlink,
        libc::SYS_mkdir,
        libc::SYS_readlink,
        libc::SYS_getdents,
        libc::SYS_epoll_wait,
        libc::SYS_epoll_create,
        libc::SYS_pipe,
        libc::SYS_dup2,
        libc::SYS_time,
        libc::SYS_arch_prctl,
        libc::SYS_chmod,
    ];
    #[cfg(not(target_arch = "x86_64"))]
    const ALLOWED_X86_64: &[i64] = &[];
}

/// Step 2: drops user, groups and capabilities.
#[cfg(all(feature = "sandbox", target_os = "linux"))]
pub(crate) fn drop_rights(user: Option<&str>) -> Result<()> {
    linux::drop(user)
}

/// Steps 4 and 5: leaves files, ports and system calls that the rest of the run does not need.
#[cfg(all(feature = "sandbox", target_os = "linux"))]
pub(crate) fn confine(needs: &Needs) -> Result<()> {
    linux::confine(needs)
}

#[cfg(not(all(feature = "sandbox", target_os = "linux")))]
pub(crate) fn drop_rights(user: Option<&str>) -> Result<()> {
    match user {
        Some(_) => anyhow::bail!("--user takes Linux, and the feature `sandbox`"),
        None => Ok(()),
    }
}

#[cfg(not(all(feature = "sandbox", target_os = "linux")))]
pub(crate) fn confine(_: &Needs) -> Result<()> {
    Ok(())
}

/// Tries what must no longer be allowed; says of each what came of it. True: nothing of it was.
pub(crate) fn try_forbidden() -> bool {
    let raw = pcap_socket().err();
    let elsewhere = std::env::temp_dir().join("wsclose-must-not-be");
    let tries = [
        ("reading /etc/shadow", std::fs::read("/etc/shadow").err().map(|error| error.to_string())),
        ("a raw socket", raw),
        ("a file outside of the output folders", std::fs::write(&elsewhere, "").err().map(|e| e.to_string())),
        ("another program", std::process::Command::new("/bin/true").status().err().map(|e| e.to_string())),
        ("a TCP port", std::net::TcpListener::bind("127.0.0.1:0").err().map(|error| error.to_string())),
    ];
    for (what, refusal) in &tries {
        let refusal =
            refusal.as_deref().map_or_else(|| "ALLOWED".to_owned(), |why| format!("refused: {why}"));
        tell!("{what}: {refusal}");
    }
    tries.iter().all(|(_, refusal)| refusal.is_some())
}

/// What a new capture needs.
fn pcap_socket() -> Result<(), String> {
    use wsclose::capture::live::{LiveOptions, LiveSource};
    let options = LiveOptions { interfaces: vec!["lo".to_owned()], ..LiveOptions::default() };
    LiveSource::open(&options, std::sync::Arc::default()).map(drop).map_err(|error| error.to_string())
}
