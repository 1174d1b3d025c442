// timeout: 120
// uncounted
// Wild pointers and numbers to every system call that neither blocks nor ends the program nor changes the machine.
#include "oracle.h"
#include <sys/resource.h>

/* Not tried at all: they end or block the caller, change the machine (natively this runs as root), make processes,
 * or take numbers only. */
static const short excluded[] = {
    SYS_exit, SYS_exit_group, SYS_fork, SYS_vfork, SYS_clone, SYS_clone3, SYS_execve, SYS_execveat, SYS_pause, SYS_kill, SYS_tkill, SYS_tgkill, SYS_rt_sigreturn,
    SYS_rt_sigsuspend, SYS_reboot, SYS_kexec_load, SYS_kexec_file_load, SYS_mount, SYS_umount2, SYS_swapon, SYS_swapoff, SYS_setdomainname, SYS_sethostname,
    SYS_settimeofday, SYS_clock_settime, SYS_adjtimex, SYS_clock_adjtime, SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_pivot_root, SYS_chroot,
    SYS_ioperm, SYS_iopl, SYS_syslog, SYS_acct, SYS_quotactl, SYS_vhangup, SYS_setns, SYS_unshare, SYS_bpf, SYS_sync, SYS_syncfs, SYS_ptrace, SYS_setuid, SYS_setgid,
    SYS_setreuid, SYS_setregid, SYS_setresuid, SYS_setresgid, SYS_setgroups, SYS_setfsuid, SYS_setfsgid, SYS_capset, SYS_setsid, SYS_setpgid, SYS_personality,
    SYS_modify_ldt, SYS_arch_prctl, SYS_seccomp, SYS_prctl, SYS_set_tid_address, SYS_set_robust_list, SYS_munmap, SYS_mmap, SYS_mremap, SYS_brk, SYS_mprotect,
    SYS_pkey_mprotect, SYS_madvise, SYS_mlock, SYS_mlock2, SYS_mlockall, SYS_munlockall, SYS_munlock, SYS_alarm, SYS_close, SYS_close_range, SYS_dup, SYS_dup2, SYS_dup3,
    SYS_umask, SYS_rseq, SYS_membarrier, SYS_sigaltstack, SYS_wait4, SYS_waitid, SYS_setrlimit, SYS_ioprio_set, SYS_setpriority, SYS_sched_setscheduler,
    SYS_sched_setparam, SYS_sched_setaffinity, SYS_sched_setattr, SYS_setitimer, SYS_getpid, SYS_gettid, SYS_getppid, SYS_getpgrp, SYS_getpgid, SYS_getsid, SYS_getuid,
    SYS_geteuid, SYS_getgid, SYS_getegid, SYS_sched_yield, SYS_time, SYS_epoll_create, SYS_epoll_create1, SYS_eventfd, SYS_eventfd2, SYS_inotify_init, SYS_inotify_init1,
    SYS_timerfd_create, SYS_userfaultfd, SYS_perf_event_open, SYS_fanotify_init, SYS_fanotify_mark, SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register,
    SYS_socket, SYS_socketpair, SYS_bind, SYS_connect, SYS_listen, SYS_accept, SYS_accept4, SYS_sendto, SYS_recvfrom, SYS_sendmsg, SYS_recvmsg, SYS_sendmmsg, SYS_recvmmsg, SYS_shutdown,
    SYS_getsockname, SYS_getpeername, SYS_setsockopt, SYS_getsockopt, SYS_shmget, SYS_shmat, SYS_shmctl, SYS_shmdt, SYS_semget, SYS_semop, SYS_semctl, SYS_semtimedop, SYS_msgget,
    SYS_msgsnd, SYS_msgrcv, SYS_msgctl, SYS_mq_open, SYS_mq_unlink, SYS_mq_timedsend, SYS_mq_timedreceive, SYS_mq_notify, SYS_mq_getsetattr, SYS_add_key, SYS_request_key, SYS_keyctl,
    SYS_io_setup, SYS_io_destroy, SYS_io_getevents, SYS_io_submit, SYS_io_cancel, SYS_io_pgetevents, SYS_remap_file_pages, SYS_mbind, SYS_set_mempolicy, SYS_get_mempolicy, SYS_migrate_pages,
    SYS_move_pages, SYS_lookup_dcookie, SYS_name_to_handle_at, SYS_open_by_handle_at, SYS_kcmp, SYS_process_vm_readv, SYS_process_vm_writev, SYS_fsopen, SYS_fsmount, SYS_fsconfig,
    SYS_fspick, SYS_move_mount, SYS_open_tree, SYS_mount_setattr, SYS_pidfd_open, SYS_pidfd_send_signal, SYS_pidfd_getfd, SYS_process_madvise, SYS_process_mrelease,
    SYS_landlock_create_ruleset, SYS_landlock_add_rule, SYS_landlock_restrict_self, SYS_memfd_secret, SYS_quotactl_fd, SYS_set_mempolicy_home_node, SYS_pkey_alloc, SYS_pkey_free,
    SYS_ustat, SYS_sysfs, SYS__sysctl, SYS_getcpu, SYS_sched_getattr, SYS_ioprio_get, SYS_get_robust_list, SYS_futex, SYS_futex_waitv, SYS_epoll_ctl_old, SYS_epoll_wait_old,
    SYS_get_kernel_syms, SYS_query_module, SYS_get_thread_area, SYS_set_thread_area, SYS_inotify_add_watch, SYS_inotify_rm_watch, SYS_restart_syscall,
    SYS_getpmsg, SYS_putpmsg, SYS_afs_syscall, SYS_tuxcall, SYS_security, SYS_sched_get_priority_max, SYS_sched_get_priority_min, SYS_getpriority, SYS_select, SYS_poll, SYS_pselect6, SYS_ppoll, SYS_ftruncate, SYS_fallocate, SYS_pread64, SYS_pwrite64, SYS_readv, SYS_writev, SYS_fadvise64, SYS_lseek, SYS_readahead,
    SYS_sync_file_range, SYS_copy_file_range, SYS_clock_nanosleep, SYS_epoll_wait, SYS_epoll_pwait, SYS_epoll_pwait2, SYS_fchmod, SYS_fchown, SYS_flock, SYS_vmsplice, SYS_splice, SYS_tee, SYS_sendfile,
   
};

int main(void) {
    struct rlimit files = {64, 64};
    setrlimit(RLIMIT_NOFILE, &files);
    /* Nothing is ever mapped at the fourth, natively or inside; its low half is the same number in both. */
    const long wild[] = {0, 1, -1, 0x234567891000L, (long)0xffff888000000000UL, (long)0x00007ffffffff000UL, 0x4141414141414141L};
    /* Descriptor 0 is a file, 1 and 2 are nothing: the small numbers among the pointers are descriptors, too. */
    FILE *to = fdopen(dup2(1, 60), "w");
    close(0), close(1), close(2);
    int file = oracle_file("f", 100);
    for (int nr = 0; nr <= 439; nr++) {
        int skip = nr >= 335 && nr < 424; /* not assigned (335 is for uprobes) */
        for (unsigned i = 0; i < sizeof excluded / sizeof *excluded; i++) skip |= excluded[i] == nr;
        if (skip) continue;
        fprintf(to, "%d:", nr);
        for (unsigned i = 0; i < sizeof wild / sizeof *wild; i++) {
            long w = wild[i];
            /* all pointers, then a good descriptor with a pointer behind */
            for (int form = 0; form < 2; form++) {
                errno = 0;
                long r = form == 0 ? syscall(nr, w, w, w, w, w, w) : syscall(nr, (long)file, w, 8L, w, w, w);
                /* Which of its wrong arguments a call complains of first is not the point. */
                fprintf(to, r < 0 ? " refused" : " ok");
                if (r > 2 && r < 60 && nr != SYS_read && nr != SYS_write) close(r);
            }
        }
        fprintf(to, "\n");
    }
    return 0;
}
