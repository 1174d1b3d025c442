//! Linux's table of system calls; what the columns mean says [`abi::table`](crate::abi::table).

use std::future::Future;

use crate::{
    abi::table::{
        Coverage::{Full, Partial},
        system_calls,
    },
    errno::Errno,
    event::aio::Event,
    process::{Current, Thread},
    signal::{SigAction, SigInfo, SigSet, StackT},
    syscall::{argument::*, *},
    timer::{Itimerspec, Itimerval, Timespec, Timeval, posix::SigEvent},
};

system_calls! {
    thread Thread, current Current, arguments Arguments, error Errno,
    unknown Errno::ENOSYS, absent Errno::ENOSYS;
    present {
        0 read(fd: Fd, buffer: UserAddr, count: usize) wait (io::read_at_once) io::read, Full;
        1 write(fd: Fd, buffer: UserAddr, count: usize) wait (io::write_at_once) io::write, Full;
        2 open(path: UserStr, flags: Flags, mode: Mode) wait fs::open, Full;
        3 close(fd: Fd) now descriptor::close, Full;
        4 stat(path: UserStr, into: UserPtr<stat::Stat>) now fs::stat, Full;
        5 fstat(fd: Fd, into: UserPtr<stat::Stat>) now fs::fstat, Full;
        6 lstat(path: UserStr, into: UserPtr<stat::Stat>) now fs::lstat, Full;
        7 poll(fds: UserPtr<poll::PollFd>, count: u32, timeout: i32) wait poll::poll, Full;
        8 lseek(fd: Fd, offset: i64, whence: u32) now io::lseek, Full;
        9 mmap(addr: UserAddr, len: u64, prot: u32, flags: Flags, fd: Fd, offset: u64) wait (memory::mmap_at_once) memory::mmap, Partial("MAP_GROWSDOWN and MAP_HUGETLB");
        10 mprotect(addr: UserAddr, len: u64, prot: u32) wait (memory::mprotect_at_once) memory::mprotect, Partial("PROT_GROWSDOWN but for the first stack");
        11 munmap(addr: UserAddr, len: u64) now memory::munmap, Full;
        12 brk(end: u64) now memory::brk, Full;
        13 rt_sigaction(signal: i32, new: UserPtr<SigAction>, old: UserPtr<SigAction>, size: usize) now signal::rt_sigaction, Full;
        14 rt_sigprocmask(how: i32, set: UserPtr<SigSet>, old: UserPtr<SigSet>, size: usize) now signal::rt_sigprocmask, Full;
        15 rt_sigreturn() context signal::rt_sigreturn, Full;
        16 ioctl(fd: Fd, request: Flags, argument: u64) wait (descriptor::ioctl_at_once) descriptor::ioctl, Partial("what the files at hand know; FIOASYNC of terminals, TIOCCONS, locked termios");
        17 pread64(fd: Fd, buffer: UserAddr, count: usize, offset: i64) wait (io::pread64_at_once) io::pread64, Full;
        18 pwrite64(fd: Fd, buffer: UserAddr, count: usize, offset: i64) wait io::pwrite64, Full;
        19 readv(fd: Fd, vector: UserPtr<io::IoVec>, count: usize) wait io::readv, Full;
        20 writev(fd: Fd, vector: UserPtr<io::IoVec>, count: usize) wait io::writev, Full;
        21 access(path: UserStr, mode: u32) now fs::access, Full;
        22 pipe(ends: UserPtr<[i32; 2]>) now file::pipe, Full;
        23 select(count: i32, read: UserAddr, write: UserAddr, except: UserAddr, timeout: UserPtr<Timeval>) wait poll::select, Full;
        24 sched_yield() wait thread::sched_yield, Full;
        25 mremap(addr: UserAddr, old_len: u64, new_len: u64, flags: Flags, new_addr: UserAddr) now memory::mremap, Partial("MREMAP_DONTUNMAP of private mappings of files");
        26 msync(addr: UserAddr, len: u64, flags: Flags) now memory::msync, Full;
        27 mincore(addr: UserAddr, len: u64, vector: UserAddr) wait memory::mincore, Full;
        28 madvise(addr: UserAddr, len: u64, advice: u32) wait memory::madvise, Partial("MADV_REMOVE, MADV_WIPEONFORK, MADV_MERGEABLE, MADV_COLLAPSE");
        29 shmget(key: i32, size: u64, flags: Flags) now sysv::shm::shmget, Partial("SHM_HUGETLB");
        30 shmat(id: i32, addr: UserAddr, flags: Flags) now sysv::shm::shmat, Full;
        31 shmctl(id: i32, command: i32, buffer: UserAddr) now sysv::shm::shmctl, Partial("shm_dtime and shm_lpid tell of shmat and shmdt alone, not of other ways to detach");
        32 dup(fd: Fd) now descriptor::dup, Full;
        33 dup2(old: Fd, new: Fd) now descriptor::dup2, Full;
        34 pause() wait signal::pause, Full;
        35 nanosleep(request: UserPtr<Timespec>, remaining: UserPtr<Timespec>) wait time::nanosleep, Full;
        36 getitimer(which: i32, value: UserPtr<Itimerval>) now timer::getitimer, Partial("ITIMER_VIRTUAL counts time in the kernel too");
        37 alarm(seconds: u32) now timer::alarm, Full;
        38 setitimer(which: i32, new: UserPtr<Itimerval>, old: UserPtr<Itimerval>) now timer::setitimer, Partial("ITIMER_VIRTUAL counts time in the kernel too");
        39 getpid() now identity::getpid, Full;
        40 sendfile(to: Fd, from: Fd, offset: UserPtr<i64>, count: usize) wait splice::sendfile, Full;
        41 socket(family: i32, kind: i32, protocol: i32) now socket::socket, Partial("AF_UNIX, TCP and UDP of AF_INET and AF_INET6, NETLINK_ROUTE");
        42 connect(fd: Fd, address: UserAddr, len: i32) wait socket::connect, Full;
        43 accept(fd: Fd, address: UserAddr, len: UserPtr<i32>) wait socket::accept, Full;
        44 sendto(fd: Fd, buffer: UserAddr, count: usize, flags: u32, to: UserAddr, to_len: i32) wait (socket::message::sendto_at_once) socket::message::sendto, Partial("MSG_OOB of AF_UNIX, MSG_ZEROCOPY, MSG_FASTOPEN");
        45 recvfrom(fd: Fd, buffer: UserAddr, count: usize, flags: u32, from: UserAddr, from_len: UserPtr<i32>) wait (socket::message::recvfrom_at_once) socket::message::recvfrom, Partial("MSG_OOB of AF_UNIX");
        46 sendmsg(fd: Fd, header: UserPtr<socket::message::MsgHdr>, flags: u32) wait socket::message::sendmsg, Partial("MSG_OOB of AF_UNIX, MSG_ZEROCOPY; of control messages of SOL_SOCKET SCM_RIGHTS and SCM_CREDENTIALS");
        47 recvmsg(fd: Fd, header: UserPtr<socket::message::MsgHdr>, flags: u32) wait socket::message::recvmsg, Partial("MSG_OOB of AF_UNIX; of control messages of SOL_SOCKET rights, credentials and time stamps");
        48 shutdown(fd: Fd, how: i32) now socket::shutdown, Full;
        49 bind(fd: Fd, address: UserAddr, len: i32) now socket::bind, Full;
        50 listen(fd: Fd, backlog: i32) now socket::listen, Full;
        51 getsockname(fd: Fd, address: UserAddr, len: UserPtr<i32>) now socket::getsockname, Full;
        52 getpeername(fd: Fd, address: UserAddr, len: UserPtr<i32>) now socket::getpeername, Full;
        53 socketpair(family: i32, kind: i32, protocol: i32, into: UserPtr<[i32; 2]>) now socket::socketpair, Full;
        54 setsockopt(fd: Fd, level: u32, name: u32, value: UserAddr, len: i32) now socket::option::setsockopt, Partial("no filters, pidfds, zero copy, SO_TIMESTAMPING; time stamps of AF_INET only");
        55 getsockopt(fd: Fd, level: u32, name: u32, value: UserAddr, len: UserPtr<i32>) now socket::option::getsockopt, Partial("no filters, pidfds, groups of the peer, zero copy, SO_TIMESTAMPING");
        56 clone(flags: u64, stack: u64, parent_tid: UserPtr<u32>, child_tid: UserPtr<u32>, tls: u64) context thread::clone, Partial("namespaces as unshare");
        57 fork() context thread::fork, Partial("ENOSYS where nothing may be isolated");
        58 vfork() context thread::vfork, Full;
        59 execve(path: UserStr, args: UserPtr<u64>, env: UserPtr<u64>) context process::execve, Partial("set-id bits are ignored");
        60 exit(code: i32) now thread::exit, Full;
        61 wait4(pid: i32, status: UserPtr<i32>, options: Flags, usage: UserPtr<time::Rusage>) wait wait::wait4, Partial("rusage has the CPU time, all as user time, and the resident size at the end");
        62 kill(pid: i32, signal: i32) now signal::kill, Full;
        63 uname(buffer: UserPtr<system::UtsName>) now system::uname, Full;
        64 semget(key: i32, count: i32, flags: Flags) now sysv::sem::semget, Full;
        65 semop(id: i32, operations: UserPtr<sysv::sem::RawOperation>, count: usize) wait sysv::sem::semop, Full;
        66 semctl(id: i32, number: i32, command: i32, argument: u64) now sysv::sem::semctl, Full;
        67 shmdt(addr: UserAddr) now sysv::shm::shmdt, Full;
        68 msgget(key: i32, flags: Flags) now sysv::msg::msgget, Full;
        69 msgsnd(id: i32, message: UserPtr<i64>, size: usize, flags: Flags) wait sysv::msg::msgsnd, Full;
        70 msgrcv(id: i32, message: UserPtr<i64>, size: usize, kind: i64, flags: Flags) wait sysv::msg::msgrcv, Full;
        71 msgctl(id: i32, command: i32, buffer: UserAddr) now sysv::msg::msgctl, Full;
        72 fcntl(fd: Fd, command: u32, argument: u64) wait descriptor::fcntl, Partial("leases, dnotify; owners are told of pipes and inotify only; EDEADLK");
        73 flock(fd: Fd, operation: u32) wait lock::flock, Full;
        74 fsync(fd: Fd) wait file::fsync, Full;
        75 fdatasync(fd: Fd) wait file::fdatasync, Full;
        76 truncate(path: UserStr, size: i64) now file::truncate, Full;
        77 ftruncate(fd: Fd, size: i64) now file::ftruncate, Full;
        78 getdents(fd: Fd, buffer: UserAddr, size: u32) now file::getdents, Full;
        79 getcwd(buffer: UserAddr, size: usize) now fs::getcwd, Full;
        80 chdir(path: UserStr) now fs::chdir, Full;
        81 fchdir(fd: Fd) now fs::fchdir, Full;
        82 rename(from: UserStr, to: UserStr) now fs::rename, Full;
        83 mkdir(path: UserStr, mode: Mode) now fs::mkdir, Full;
        84 rmdir(path: UserStr) now fs::rmdir, Full;
        85 creat(path: UserStr, mode: Mode) wait fs::creat, Full;
        86 link(from: UserStr, to: UserStr) now fs::link, Full;
        87 unlink(path: UserStr) now fs::unlink, Full;
        88 symlink(target: UserStr, path: UserStr) now fs::symlink, Full;
        89 readlink(path: UserStr, buffer: UserAddr, size: i32) now fs::readlink, Full;
        90 chmod(path: UserStr, mode: Mode) now attributes::chmod, Full;
        91 fchmod(fd: Fd, mode: Mode) now attributes::fchmod, Full;
        92 chown(path: UserStr, user: u32, group: u32) now attributes::chown, Full;
        93 fchown(fd: Fd, user: u32, group: u32) now attributes::fchown, Full;
        94 lchown(path: UserStr, user: u32, group: u32) now attributes::lchown, Full;
        95 umask(mask: Mode) now fs::umask, Full;
        96 gettimeofday(time: UserPtr<Timeval>, zone: UserPtr<[i32; 2]>) now time::gettimeofday, Full;
        97 getrlimit(resource: u32, into: UserPtr<system::RawLimit>) now system::getrlimit, Full;
        99 sysinfo(buffer: UserPtr<system::SysInfo>) now system::sysinfo, Partial("load averages are 0");
        98 getrusage(who: i32, usage: UserPtr<time::Rusage>) now time::getrusage, Partial("all time is user time, the resident size is the present one or that at the end");
        100 times(times: UserPtr<[u64; 4]>) now time::times, Partial("all time is user time");
        101 ptrace(request: u32, tid: i32, addr: u64, data: u64) now ptrace::ptrace, Partial("what is watched by debug registers is written, not read, and each instruction costs a step; no PTRACE_EVENT_EXIT of threads that another one's end ends; no requests about seccomp and rseq");
        102 getuid() now identity::getuid, Full;
        103 syslog(kind: i32, buffer: UserAddr, len: i32) wait syslog::syslog, Full;
        104 getgid() now identity::getgid, Full;
        105 setuid(uid: u32) now identity::setuid, Full;
        106 setgid(gid: u32) now identity::setgid, Full;
        107 geteuid() now identity::geteuid, Full;
        108 getegid() now identity::getegid, Full;
        109 setpgid(pid: i32, group: i32) now process::setpgid, Full;
        110 getppid() now identity::getppid, Full;
        111 getpgrp() now identity::getpgrp, Full;
        112 setsid() now process::setsid, Full;
        113 setreuid(real: u32, effective: u32) now identity::setreuid, Full;
        114 setregid(real: u32, effective: u32) now identity::setregid, Full;
        115 getgroups(size: i32, list: UserPtr<u32>) now identity::getgroups, Full;
        116 setgroups(size: usize, list: UserPtr<u32>) now identity::setgroups, Full;
        117 setresuid(real: u32, effective: u32, saved: u32) now identity::setresuid, Full;
        118 getresuid(real: UserPtr<u32>, effective: UserPtr<u32>, saved: UserPtr<u32>) now identity::getresuid, Full;
        119 setresgid(real: u32, effective: u32, saved: u32) now identity::setresgid, Full;
        120 getresgid(real: UserPtr<u32>, effective: UserPtr<u32>, saved: UserPtr<u32>) now identity::getresgid, Full;
        121 getpgid(pid: i32) now identity::getpgid, Full;
        122 setfsuid(uid: u32) now identity::setfsuid, Full;
        123 setfsgid(gid: u32) now identity::setfsgid, Full;
        124 getsid(pid: i32) now identity::getsid, Full;
        125 capget(header: UserPtr<identity::CapabilityHeader>, data: UserPtr<identity::CapabilityData>) now identity::capget, Full;
        126 capset(header: UserPtr<identity::CapabilityHeader>, data: UserPtr<identity::CapabilityData>) now identity::capset, Partial("files have no capabilities");
        127 rt_sigpending(set: UserAddr, size: usize) now signal::rt_sigpending, Full;
        128 rt_sigtimedwait(set: UserPtr<SigSet>, info: UserPtr<SigInfo>, timeout: UserPtr<Timespec>, size: usize) wait signal::rt_sigtimedwait, Full;
        129 rt_sigqueueinfo(pid: i32, signal: i32, info: UserPtr<SigInfo>) now signal::rt_sigqueueinfo, Full;
        130 rt_sigsuspend(mask: UserPtr<SigSet>, size: usize) wait signal::rt_sigsuspend, Full;
        131 sigaltstack(new: UserPtr<StackT>, old: UserPtr<StackT>) context signal::sigaltstack, Full;
        132 utime(path: UserStr, times: UserPtr<[i64; 2]>) now attributes::utime, Full;
        133 mknod(path: UserStr, mode: Mode, device: u64) now fs::mknod, Full;
        135 personality(persona: u32) now prctl::personality, Partial("kept; changes what uname tells, and a program under ADDR_NO_RANDOMIZE is isolated");
        137 statfs(path: UserStr, into: UserPtr<stat::RawStatFs>) now fs::statfs, Full;
        138 fstatfs(fd: Fd, into: UserPtr<stat::RawStatFs>) now fs::fstatfs, Full;
        140 getpriority(which: u32, who: i32) now scheduling::getpriority, Full;
        141 setpriority(which: u32, who: i32, nice: i32) now scheduling::setpriority, Partial("kept and shown, but all are scheduled alike");
        142 sched_setparam(tid: i32, param: UserPtr<i32>) now scheduling::sched_setparam, Partial("kept and told: all threads are scheduled alike");
        143 sched_getparam(tid: i32, param: UserPtr<i32>) now scheduling::sched_getparam, Full;
        144 sched_setscheduler(tid: i32, policy: u32, param: UserPtr<i32>) now scheduling::sched_setscheduler, Partial("kept and told: all threads are scheduled alike");
        145 sched_getscheduler(tid: i32) now scheduling::sched_getscheduler, Full;
        146 sched_get_priority_max(policy: u32) now scheduling::sched_get_priority_max, Full;
        147 sched_get_priority_min(policy: u32) now scheduling::sched_get_priority_min, Full;
        148 sched_rr_get_interval(tid: i32, interval: UserPtr<stat::RawTimespec>) now scheduling::sched_rr_get_interval, Full;
        149 mlock(addr: UserAddr, len: u64) wait locked::mlock, Full;
        150 munlock(addr: UserAddr, len: u64) now locked::munlock, Full;
        151 mlockall(flags: Flags) wait locked::mlockall, Full;
        152 munlockall() now locked::munlockall, Full;
        153 vhangup() now terminal::vhangup, Full;
        155 pivot_root(new: UserStr, old: UserStr) now mount::pivot_root, Full;
        157 prctl(option: u32, second: u64, third: u64, fourth: u64, fifth: u64) now prctl::prctl, Partial("no seccomp, memory layout, names of mappings, speculation control; securebits stay 0");
        158 arch_prctl(code: u32, value: u64) context thread::arch_prctl, Partial("the GS base belongs to the kernel");
        159 adjtimex(timex: UserPtr<adjtimex::Timex>) now adjtimex::adjtimex, Partial("tells of a clock that nobody synchronizes; EPERM for changes");
        160 setrlimit(resource: u32, from: UserPtr<system::RawLimit>) now system::setrlimit, Full;
        161 chroot(path: UserStr) now fs::chroot, Full;
        162 sync() wait file::sync, Full;
        164 settimeofday(time: UserPtr<Timeval>, zone: UserPtr<[i32; 2]>) now time::settimeofday, Partial("always EPERM: the clock is the host's");
        165 mount(source: UserStr, target: UserStr, kind: UserStr, flags: u64, data: UserStr) now mount::mount, Partial("tmpfs, ramfs, proc, sysfs, devpts, mqueue; MS_SHARED and MS_UNBINDABLE; open files do not keep a mount from becoming read-only");
        166 umount2(target: UserStr, flags: Flags) now mount::umount2, Partial("MNT_EXPIRE");
        170 sethostname(name: UserAddr, len: i32) now system::sethostname, Full;
        171 setdomainname(name: UserAddr, len: i32) now system::setdomainname, Full;
        186 gettid() now identity::gettid, Full;
        187 readahead(fd: Fd, offset: i64, count: usize) now file::readahead, Full;
        188 setxattr(path: UserStr, name: UserStr, value: UserAddr, size: usize, flags: Flags) now attributes::setxattr, Full;
        189 lsetxattr(path: UserStr, name: UserStr, value: UserAddr, size: usize, flags: Flags) now attributes::lsetxattr, Full;
        190 fsetxattr(fd: Fd, name: UserStr, value: UserAddr, size: usize, flags: Flags) now attributes::fsetxattr, Full;
        191 getxattr(path: UserStr, name: UserStr, into: UserAddr, size: usize) now attributes::getxattr, Full;
        192 lgetxattr(path: UserStr, name: UserStr, into: UserAddr, size: usize) now attributes::lgetxattr, Full;
        193 fgetxattr(fd: Fd, name: UserStr, into: UserAddr, size: usize) now attributes::fgetxattr, Full;
        194 listxattr(path: UserStr, into: UserAddr, size: usize) now attributes::listxattr, Full;
        195 llistxattr(path: UserStr, into: UserAddr, size: usize) now attributes::llistxattr, Full;
        196 flistxattr(fd: Fd, into: UserAddr, size: usize) now attributes::flistxattr, Full;
        197 removexattr(path: UserStr, name: UserStr) now attributes::removexattr, Full;
        198 lremovexattr(path: UserStr, name: UserStr) now attributes::lremovexattr, Full;
        199 fremovexattr(fd: Fd, name: UserStr) now attributes::fremovexattr, Full;
        200 tkill(tid: i32, signal: i32) now signal::tkill, Full;
        201 time(time: UserPtr<i64>) now time::time, Full;
        202 futex(word: UserAddr, operation: u32, value: u32, timeout: u64, second_word: UserAddr, third_value: u32) wait (futex::futex_at_once) futex::futex, Partial("locks with priority inheritance are handed over, but nobody inherits; no FUTEX_WAIT_REQUEUE_PI, FUTEX_CMP_REQUEUE_PI");
        203 sched_setaffinity(tid: i32, size: usize, mask: UserAddr) now scheduling::sched_setaffinity, Partial("kept and told: any virtual CPU may run the thread");
        204 sched_getaffinity(tid: i32, size: usize, mask: UserAddr) now scheduling::sched_getaffinity, Full;
        206 io_setup(requests: u32, context: UserPtr<u64>) now aio::io_setup, Full;
        207 io_destroy(context: u64) wait aio::io_destroy, Full;
        208 io_getevents(context: u64, min: i64, max: i64, events: UserPtr<Event>, timeout: UserPtr<Timespec>) wait aio::io_getevents, Full;
        209 io_submit(context: u64, count: i64, list: UserPtr<u64>) wait aio::io_submit, Full;
        210 io_cancel(context: u64, operation: UserPtr<aio::RawOperation>, event: UserPtr<Event>) now aio::io_cancel, Full;
        213 epoll_create(size: i32) now event::epoll_create, Full;
        216 remap_file_pages(addr: UserAddr, len: u64, prot: u32, page: u64, flags: Flags) now memory::remap_file_pages, Full;
        217 getdents64(fd: Fd, buffer: UserAddr, size: u32) now file::getdents64, Full;
        218 set_tid_address(word: UserAddr) now thread::set_tid_address, Full;
        219 restart_syscall() wait restart::restart_syscall, Full;
        220 semtimedop(id: i32, operations: UserPtr<sysv::sem::RawOperation>, count: usize, timeout: UserPtr<Timespec>) wait sysv::sem::semtimedop, Full;
        221 fadvise64(fd: Fd, offset: i64, len: i64, advice: u32) now file::fadvise64, Full;
        222 timer_create(clock: i32, event: UserPtr<SigEvent>, id: UserPtr<i32>) now timer::timer_create, Full;
        223 timer_settime(id: i32, flags: Flags, new: UserPtr<Itimerspec>, old: UserPtr<Itimerspec>) now timer::timer_settime, Full;
        224 timer_gettime(id: i32, value: UserPtr<Itimerspec>) now timer::timer_gettime, Full;
        225 timer_getoverrun(id: i32) now timer::timer_getoverrun, Full;
        226 timer_delete(id: i32) now timer::timer_delete, Full;
        227 clock_settime(clock: i32, time: UserPtr<Timespec>) now time::clock_settime, Partial("always EPERM: the clocks are the host's");
        228 clock_gettime(clock: i32, time: UserPtr<Timespec>) now time::clock_gettime, Full;
        229 clock_getres(clock: i32, time: UserPtr<Timespec>) now time::clock_getres, Full;
        230 clock_nanosleep(clock: i32, flags: Flags, request: UserPtr<Timespec>, remaining: UserPtr<Timespec>) wait time::clock_nanosleep, Full;
        231 exit_group(code: i32) now thread::exit_group, Full;
        232 epoll_wait(set: Fd, events: UserPtr<event::EpollEvent>, max: i32, timeout: i32) wait event::epoll_wait, Full;
        233 epoll_ctl(set: Fd, operation: u32, fd: Fd, event: UserPtr<event::EpollEvent>) now event::epoll_ctl, Full;
        234 tgkill(tgid: i32, tid: i32, signal: i32) now signal::tgkill, Full;
        235 utimes(path: UserStr, times: UserPtr<[[i64; 2]; 2]>) now attributes::utimes, Full;
        240 mq_open(name: UserStr, flags: Flags, mode: Mode, attributes: UserPtr<mqueue::RawAttributes>) now mqueue::mq_open, Full;
        241 mq_unlink(name: UserStr) now mqueue::mq_unlink, Full;
        242 mq_timedsend(fd: Fd, message: UserAddr, len: usize, priority: u32, timeout: UserPtr<Timespec>) wait mqueue::mq_timedsend, Full;
        243 mq_timedreceive(fd: Fd, message: UserAddr, len: usize, priority: UserPtr<u32>, timeout: UserPtr<Timespec>) wait mqueue::mq_timedreceive, Full;
        244 mq_notify(fd: Fd, event: UserPtr<SigEvent>) now mqueue::mq_notify, Partial("SIGEV_THREAD, which needs a netlink socket");
        245 mq_getsetattr(fd: Fd, new: UserPtr<mqueue::RawAttributes>, old: UserPtr<mqueue::RawAttributes>) now mqueue::mq_getsetattr, Full;
        247 waitid(kind: u32, id: i32, info: UserPtr<[u8; 128]>, options: Flags, usage: UserPtr<time::Rusage>) wait wait::waitid, Partial("rusage as for wait4");
        251 ioprio_set(which: i32, who: i32, priority: u32) now scheduling::ioprio_set, Partial("kept and told: all transfers are alike");
        252 ioprio_get(which: i32, who: i32) now scheduling::ioprio_get, Full;
        253 inotify_init() now event::inotify_init, Full;
        254 inotify_add_watch(fd: Fd, path: UserStr, mask: Flags) now event::inotify_add_watch, Partial("watches are counted for each instance and not for the user; where a bind of the host changes behind our back, that is not seen");
        255 inotify_rm_watch(fd: Fd, watch: i32) now event::inotify_rm_watch, Full;
        257 openat(dir: Fd, path: UserStr, flags: Flags, mode: Mode) wait fs::openat, Full;
        258 mkdirat(dir: Fd, path: UserStr, mode: Mode) now fs::mkdirat, Full;
        259 mknodat(dir: Fd, path: UserStr, mode: Mode, device: u64) now fs::mknodat, Full;
        260 fchownat(dir: Fd, path: UserStr, user: u32, group: u32, flags: Flags) now attributes::fchownat, Full;
        261 futimesat(dir: Fd, path: UserStr, times: UserPtr<[[i64; 2]; 2]>) now attributes::futimesat, Full;
        262 newfstatat(dir: Fd, path: UserStr, into: UserPtr<stat::Stat>, flags: Flags) now fs::newfstatat, Full;
        263 unlinkat(dir: Fd, path: UserStr, flags: Flags) now fs::unlinkat, Full;
        264 renameat(from_dir: Fd, from: UserStr, to_dir: Fd, to: UserStr) now fs::renameat, Full;
        265 linkat(from_dir: Fd, from: UserStr, to_dir: Fd, to: UserStr, flags: Flags) now fs::linkat, Full;
        266 symlinkat(target: UserStr, dir: Fd, path: UserStr) now fs::symlinkat, Full;
        267 readlinkat(dir: Fd, path: UserStr, buffer: UserAddr, size: i32) now fs::readlinkat, Full;
        268 fchmodat(dir: Fd, path: UserStr, mode: Mode) now attributes::fchmodat, Full;
        269 faccessat(dir: Fd, path: UserStr, mode: u32) now fs::faccessat, Full;
        270 pselect6(count: i32, read: UserAddr, write: UserAddr, except: UserAddr, timeout: UserPtr<Timespec>, mask: UserPtr<[u64; 2]>) wait poll::pselect6, Full;
        271 ppoll(fds: UserPtr<poll::PollFd>, count: u32, timeout: UserPtr<Timespec>, mask: UserPtr<SigSet>, size: usize) wait poll::ppoll, Full;
        272 unshare(flags: u64) now namespace::unshare, Partial("no namespaces of clocks; /proc/sys/kernel, /proc/sysvipc and POSIX message queues are the first one's");
        273 set_robust_list(head: UserAddr, size: usize) now futex::set_robust_list, Full;
        274 get_robust_list(tid: i32, head: UserPtr<u64>, size: UserPtr<u64>) now futex::get_robust_list, Full;
        275 splice(from: Fd, from_offset: UserPtr<i64>, to: Fd, to_offset: UserPtr<i64>, count: usize, flags: Flags) wait splice::splice, Full;
        276 tee(from: Fd, to: Fd, count: usize, flags: Flags) wait splice::tee, Full;
        277 sync_file_range(fd: Fd, offset: i64, len: i64, flags: Flags) wait file::sync_file_range, Full;
        278 vmsplice(fd: Fd, vector: UserPtr<io::IoVec>, count: usize, flags: Flags) wait splice::vmsplice, Full;
        280 utimensat(dir: Fd, path: UserStr, times: UserPtr<[stat::RawTimespec; 2]>, flags: Flags) now attributes::utimensat, Full;
        281 epoll_pwait(set: Fd, events: UserPtr<event::EpollEvent>, max: i32, timeout: i32, mask: UserPtr<SigSet>, size: usize) wait event::epoll_pwait, Full;
        282 signalfd(fd: Fd, set: UserPtr<SigSet>, size: usize) now event::signalfd, Partial("shows the signals of the thread that made it, not of the one that reads");
        283 timerfd_create(clock: i32, flags: Flags) now event::timerfd_create, Full;
        284 eventfd(count: u32) now event::eventfd, Full;
        285 fallocate(fd: Fd, mode: u32, offset: i64, len: i64) now file::fallocate, Partial("COLLAPSE_RANGE, INSERT_RANGE");
        286 timerfd_settime(fd: Fd, flags: Flags, new: UserPtr<Itimerspec>, old: UserPtr<Itimerspec>) now event::timerfd_settime, Full;
        287 timerfd_gettime(fd: Fd, value: UserPtr<Itimerspec>) now event::timerfd_gettime, Full;
        288 accept4(fd: Fd, address: UserAddr, len: UserPtr<i32>, flags: Flags) wait socket::accept4, Full;
        289 signalfd4(fd: Fd, set: UserPtr<SigSet>, size: usize, flags: Flags) now event::signalfd4, Partial("shows the signals of the thread that made it, not of the one that reads");
        290 eventfd2(count: u32, flags: Flags) now event::eventfd2, Full;
        291 epoll_create1(flags: Flags) now event::epoll_create1, Full;
        292 dup3(old: Fd, new: Fd, flags: Flags) now descriptor::dup3, Full;
        293 pipe2(ends: UserPtr<[i32; 2]>, flags: Flags) now file::pipe2, Full;
        294 inotify_init1(flags: Flags) now event::inotify_init1, Full;
        295 preadv(fd: Fd, vector: UserPtr<io::IoVec>, count: usize, offset: i64) wait io::preadv, Full;
        296 pwritev(fd: Fd, vector: UserPtr<io::IoVec>, count: usize, offset: i64) wait io::pwritev, Full;
        297 rt_tgsigqueueinfo(tgid: i32, tid: i32, signal: i32, info: UserPtr<SigInfo>) now signal::rt_tgsigqueueinfo, Full;
        299 recvmmsg(fd: Fd, headers: UserPtr<socket::message::MMsgHdr>, count: u32, flags: u32, timeout: UserPtr<Timespec>) wait socket::message::recvmmsg, Partial("MSG_OOB; of control messages SCM_RIGHTS and SCM_CREDENTIALS");
        302 prlimit64(pid: i32, resource: u32, new: UserPtr<system::RawLimit>, old: UserPtr<system::RawLimit>) now system::prlimit64, Full;
        303 name_to_handle_at(dir: Fd, path: UserStr, handle: UserPtr<handle::RawHandle>, mount: UserPtr<i32>, flags: Flags) now handle::name_to_handle_at, Full;
        304 open_by_handle_at(fd: Fd, handle: UserPtr<handle::RawHandle>, flags: Flags) now handle::open_by_handle_at, Partial("a handle of a file that nobody has used for long may be stale");
        305 clock_adjtime(clock: i32, timex: UserPtr<adjtimex::Timex>) now adjtimex::clock_adjtime, Partial("as adjtimex");
        306 syncfs(fd: Fd) wait file::syncfs, Full;
        307 sendmmsg(fd: Fd, headers: UserPtr<socket::message::MMsgHdr>, count: u32, flags: u32) wait socket::message::sendmmsg, Partial("MSG_OOB; of control messages SCM_RIGHTS and SCM_CREDENTIALS");
        308 setns(fd: Fd, flags: Flags) now namespace::setns, Partial("as unshare");
        309 getcpu(cpu: UserPtr<u32>, node: UserPtr<u32>) now scheduling::getcpu, Full;
        310 process_vm_readv(pid: i32, local: UserPtr<io::IoVec>, local_count: usize, remote: UserPtr<io::IoVec>, remote_count: usize, flags: u64) wait remote::process_vm_readv, Full;
        311 process_vm_writev(pid: i32, local: UserPtr<io::IoVec>, local_count: usize, remote: UserPtr<io::IoVec>, remote_count: usize, flags: u64) wait remote::process_vm_writev, Full;
        312 kcmp(first: i32, second: i32, kind: u32, first_index: u64, second_index: u64) now kcmp::kcmp, Full;
        314 sched_setattr(tid: i32, attr: UserAddr, flags: Flags) now scheduling::sched_setattr, Partial("kept and told; SCHED_DEADLINE is EBUSY; no utilization clamps");
        315 sched_getattr(tid: i32, into: UserAddr, size: u32, flags: Flags) now scheduling::sched_getattr, Full;
        316 renameat2(from_dir: Fd, from: UserStr, to_dir: Fd, to: UserStr, flags: Flags) now fs::renameat2, Partial("RENAME_WHITEOUT");
        318 getrandom(buffer: UserAddr, count: usize, flags: Flags) wait system::getrandom, Full;
        319 memfd_create(name: UserStr, flags: Flags) now fs::memfd_create, Partial("MFD_HUGETLB");
        324 membarrier(command: u32, flags: Flags, cpu: i32) wait membarrier::membarrier, Partial("no commands for fetched code and restartable sequences");
        322 execveat(dir: Fd, path: UserStr, args: UserPtr<u64>, env: UserPtr<u64>, flags: Flags) context process::execveat, Partial("set-id bits are ignored");
        325 mlock2(addr: UserAddr, len: u64, flags: Flags) wait locked::mlock2, Full;
        326 copy_file_range(from: Fd, from_offset: UserPtr<i64>, to: Fd, to_offset: UserPtr<i64>, count: usize, flags: Flags) wait splice::copy_file_range, Full;
        327 preadv2(fd: Fd, vector: UserPtr<io::IoVec>, count: usize, offset: i64, high: u64, flags: Flags) wait io::preadv2, Full;
        328 pwritev2(fd: Fd, vector: UserPtr<io::IoVec>, count: usize, offset: i64, high: u64, flags: Flags) wait io::pwritev2, Full;
        329 pkey_mprotect(addr: UserAddr, len: u64, prot: u32, key: i32) now memory::pkey_mprotect, Partial("no keys");
        332 statx(dir: Fd, path: UserStr, flags: Flags, mask: u32, into: UserPtr<stat::Statx>) now fs::statx, Full;
        333 io_pgetevents(context: u64, min: i64, max: i64, events: UserPtr<Event>, timeout: UserPtr<Timespec>, mask: UserPtr<[u64; 2]>) wait aio::io_pgetevents, Full;
        424 pidfd_send_signal(fd: Fd, signal: i32, info: UserPtr<SigInfo>, flags: Flags) now pidfd::pidfd_send_signal, Full;
        425 io_uring_setup(entries: u32, params: UserPtr<crate::ring::uring::Params>) now uring::io_uring_setup, Partial("IOPOLL, HYBRID_IOPOLL, SQ_AFF, ATTACH_WQ, NO_MMAP, REGISTERED_FD_ONLY");
        426 io_uring_enter(fd: Fd, count: u32, wanted: u32, flags: Flags, argument: UserAddr, size: usize) wait (uring::io_uring_enter_at_once) uring::io_uring_enter, Partial("operations: URING_CMD, SEND_ZC, SENDMSG_ZC, FUTEX_WAITV, RECV_ZC, EPOLL_WAIT, READV_FIXED, WRITEV_FIXED, PIPE; of those that are there POLL_ADD_LEVEL, LINK_TIMEOUT_UPDATE, bundles, sending from provided buffers; EXT_ARG_REG and min_wait_usec; EPERM for another process than the one that made the ring");
        427 io_uring_register(fd: Fd, command: Flags, argument: UserAddr, count: u32) now uring::io_uring_register, Partial("PERSONALITY, IOWQ_AFF, SYNC_CANCEL, NAPI, CLOCK, CLONE_BUFFERS, SEND_MSG_RING, ZCRX_IFQ, RESIZE_RINGS, MEM_REGION; IOU_PBUF_RING_INC; buffers are named, and not pinned");
        434 pidfd_open(pid: i32, flags: Flags) now pidfd::pidfd_open, Full;
        435 clone3(args: UserAddr, size: usize) context thread::clone3, Partial("namespaces as unshare; no cgroups; set_tid has one number, of the innermost namespace");
        436 close_range(first: u32, last: u32, flags: Flags) now descriptor::close_range, Full;
        437 openat2(dir: Fd, path: UserStr, how: UserPtr<[u64; 3]>, size: usize) wait fs::openat2, Partial("RESOLVE_CACHED is always EAGAIN");
        438 pidfd_getfd(pidfd: Fd, fd: Fd, flags: Flags) now pidfd::pidfd_getfd, Full;
        439 faccessat2(dir: Fd, path: UserStr, mode: u32, flags: Flags) now fs::faccessat2, Full;
        441 epoll_pwait2(set: Fd, events: UserPtr<event::EpollEvent>, max: i32, timeout: UserPtr<Timespec>, mask: UserPtr<SigSet>, size: usize) wait event::epoll_pwait2, Full;
        449 futex_waitv(entries: UserPtr<futex::WaitvEntry>, count: u32, flags: u32, timeout: UserPtr<Timespec>, clock: i32) wait futex::futex_waitv, Full;
        452 fchmodat2(dir: Fd, path: UserStr, mode: Mode, flags: Flags) now attributes::fchmodat2, Full;
        1024 ring_setup(setup: UserPtr<libos_guest::abi::Setup>) now ring::ring_setup, Full;
        1025 ring_enter(fd: Fd, wanted: u32, flags: Flags, timeout: UserPtr<Timespec>) wait (ring::ring_enter_at_once) ring::ring_enter, Full;
        1026 ring_park(fd: Fd, wanted: u32, timeout: UserPtr<Timespec>) context ring::ring_park, Full;
    }
    absent {
        134 uselib
        136 ustat
        139 sysfs
        154 modify_ldt
        156 _sysctl
        163 acct
        167 swapon
        168 swapoff
        169 reboot
        172 iopl
        173 ioperm
        174 create_module
        175 init_module
        176 delete_module
        177 get_kernel_syms
        178 query_module
        179 quotactl
        180 nfsservctl
        181 getpmsg
        182 putpmsg
        183 afs_syscall
        184 tuxcall
        185 security
        205 set_thread_area
        211 get_thread_area
        212 lookup_dcookie
        214 epoll_ctl_old
        215 epoll_wait_old
        236 vserver
        237 mbind
        238 set_mempolicy
        239 get_mempolicy
        246 kexec_load
        248 add_key
        249 request_key
        250 keyctl
        256 migrate_pages
        279 move_pages
        298 perf_event_open
        300 fanotify_init
        301 fanotify_mark
        313 finit_module
        317 seccomp
        320 kexec_file_load
        321 bpf
        323 userfaultfd
        330 pkey_alloc
        331 pkey_free
        334 rseq
        335 uretprobe
        428 open_tree
        429 move_mount
        430 fsopen
        431 fsconfig
        432 fsmount
        433 fspick
        440 process_madvise
        442 mount_setattr
        443 quotactl_fd
        444 landlock_create_ruleset
        445 landlock_add_rule
        446 landlock_restrict_self
        447 memfd_secret
        448 process_mrelease
        450 set_mempolicy_home_node
        451 cachestat
        453 map_shadow_stack
        454 futex_wake
        455 futex_wait
        456 futex_requeue
        457 statmount
        458 listmount
        459 lsm_get_self_attr
        460 lsm_set_self_attr
        461 lsm_list_modules
        462 mseal
        463 setxattrat
        464 getxattrat
        465 listxattrat
        466 removexattrat
        467 open_tree_attr
        468 file_getattr
        469 file_setattr
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_and_no_name_is_there_twice() {
        crate::abi::table::tests::assert_unique(TABLE);
    }
}
