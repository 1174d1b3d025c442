// inside: 0
// Calls that the kernel does not have are ENOSYS, whatever their arguments; each part of the project takes those away that it brings.
#include "oracle.h"

int main(void) {
    static const int calls[] = {SYS_uselib, SYS_ustat, SYS_sysfs, SYS__sysctl, SYS_acct, SYS_swapon, SYS_swapoff, SYS_reboot, SYS_iopl, SYS_ioperm, SYS_create_module, SYS_init_module, SYS_delete_module, SYS_get_kernel_syms, SYS_query_module, SYS_nfsservctl, SYS_getpmsg, SYS_putpmsg, SYS_afs_syscall, SYS_tuxcall, SYS_security, SYS_vserver, SYS_lookup_dcookie, SYS_epoll_ctl_old, SYS_epoll_wait_old, SYS_kexec_load, SYS_bpf, SYS_perf_event_open};
    int wrong = 0;
    for (unsigned i = 0; i < sizeof calls / sizeof *calls; i++)
        for (long argument = -1; argument <= 1; argument++)
            if (syscall(calls[i], argument, argument, argument, argument, argument, argument) != -1 || errno != ENOSYS)
                printf("call %d: %s\n", calls[i], oracle_errname(errno)), wrong = 1;
    return wrong;
}
