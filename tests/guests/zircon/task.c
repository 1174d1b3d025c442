// Jobs, processes and threads: made, started, suspended, looked into, killed.

#include "check.h"

static char stack[16384] __attribute__((aligned(16)));
static volatile uint64_t counter;

static zx_vaddr_t top(void) { return (zx_vaddr_t)(stack + sizeof(stack) - 8); }

static void count(uintptr_t step, uintptr_t unused) {
    for (;;) counter += step;
}

static void leave(uintptr_t one, uintptr_t two) {
    counter = one + two;
    zx_thread_exit();
}

static void jobs(zx_handle_t root) {
    zx_handle_t job, child, process, vmar, none;
    OK(zx_job_create(root, 0, &job));
    STATUS(zx_job_create(root, 1, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_job_create(root, 0, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_job_create(NO_HANDLE, 0, &none), ZX_ERR_BAD_HANDLE);
    STATUS(zx_job_create(zx_process_self(), 0, &none), ZX_ERR_WRONG_TYPE);
    STATUS(zx_job_create(with_rights(root, ZX_RIGHT_MANAGE_PROCESS), 0, &none), ZX_ERR_ACCESS_DENIED);

    // What a job's policy says holds for its children.
    zx_policy_basic_v2_t deny = {ZX_POL_NEW_FIFO, ZX_POL_ACTION_DENY, ZX_POL_OVERRIDE_DENY};
    zx_policy_basic_v2_t allow = {ZX_POL_NEW_FIFO, ZX_POL_ACTION_ALLOW, ZX_POL_OVERRIDE_DENY};
    zx_policy_basic_v1_t old = {ZX_POL_NEW_EVENT, ZX_POL_ACTION_DENY};
    zx_policy_timer_slack_t slack = {ZX_USEC(10), ZX_TIMER_SLACK_LATE, 0};
    const uint32_t relative = ZX_JOB_POL_RELATIVE, basic = ZX_JOB_POL_BASIC_V2;
    OK(zx_job_set_policy(job, relative, basic, &deny, 1));
    OK(zx_job_set_policy(job, relative, ZX_JOB_POL_BASIC_V1, &old, 1));
    OK(zx_job_set_policy(job, relative, basic, &allow, 1));
    STATUS(zx_job_set_policy(job, ZX_JOB_POL_ABSOLUTE, basic, &allow, 1), ZX_ERR_ALREADY_EXISTS);
    OK(zx_job_set_policy(job, relative, ZX_JOB_POL_TIMER_SLACK, &slack, 1));
    STATUS(zx_job_set_policy(job, ZX_JOB_POL_ABSOLUTE, ZX_JOB_POL_TIMER_SLACK, &slack, 1), ZX_ERR_INVALID_ARGS);
    STATUS(zx_job_set_policy(job, relative, ZX_JOB_POL_TIMER_SLACK, &slack, 2), ZX_ERR_INVALID_ARGS);
    STATUS(zx_job_set_policy(job, 2, basic, &deny, 1), ZX_ERR_INVALID_ARGS);
    STATUS(zx_job_set_policy(job, relative, 99, &deny, 1), ZX_ERR_INVALID_ARGS);
    STATUS(zx_job_set_policy(job, relative, basic, &deny, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_job_set_policy(job, relative, basic, BAD, 1), ZX_ERR_INVALID_ARGS);
    STATUS(zx_job_set_policy(job, relative, basic, &deny, ZX_POL_MAX + 1), ZX_ERR_OUT_OF_RANGE);
    deny.condition = ZX_POL_MAX;
    STATUS(zx_job_set_policy(job, relative, basic, &deny, 1), ZX_ERR_OUT_OF_RANGE);
    deny.condition = ZX_POL_NEW_FIFO, deny.action = 99;
    STATUS(zx_job_set_policy(job, relative, basic, &deny, 1), ZX_ERR_NOT_SUPPORTED);
    STATUS(zx_job_set_policy(NO_HANDLE, relative, basic, &allow, 1), ZX_ERR_BAD_HANDLE);
    STATUS(zx_job_set_policy(zx_process_self(), relative, basic, &allow, 1), ZX_ERR_WRONG_TYPE);
    STATUS(zx_job_set_policy(with_rights(job, ZX_RIGHT_READ), relative, basic, &allow, 1), ZX_ERR_ACCESS_DENIED);
    OK(zx_job_create(job, 0, &child));
    STATUS(zx_job_set_policy(job, relative, basic, &allow, 1), ZX_ERR_BAD_STATE);

    zx_info_job_t info = {0};
    zx_koid_t koids[2] = {0};
    size_t actual = 0, avail = 0, kill = 1;
    OK(zx_object_set_property(job, ZX_PROP_JOB_KILL_ON_OOM, &kill, sizeof(kill)));
    kill = 2;
    STATUS(zx_object_set_property(job, ZX_PROP_JOB_KILL_ON_OOM, &kill, sizeof(kill)), ZX_ERR_INVALID_ARGS);
    OK(zx_object_get_info(job, ZX_INFO_JOB, &info, sizeof(info), 0, 0));
    TRUE(!info.exited && info.kill_on_oom && !info.debugger_attached);
    OK(zx_object_get_info(job, ZX_INFO_JOB_CHILDREN, koids, sizeof(koids), &actual, &avail));
    TRUE(actual == 1 && avail == 1 && koids[0] == koid_of(child));
    STATUS(zx_object_get_info(with_rights(job, ZX_RIGHT_INSPECT), ZX_INFO_JOB_CHILDREN, koids, 16, 0, 0), ZX_ERR_ACCESS_DENIED);

    // So high a tree may be and no higher.
    zx_handle_t high = child, higher;
    int height = 0;
    while (height < 100000 && zx_job_create(high, 0, &higher) == ZX_OK) high = higher, height++;
    STATUS(zx_job_create(high, 0, &none), ZX_ERR_OUT_OF_RANGE);

    // Killed with all that is in it.
    OK(zx_process_create(child, "p", 1, 0, &process, &vmar));
    STATUS(zx_object_get_info(with_rights(child, ZX_RIGHT_INSPECT), ZX_INFO_JOB_PROCESSES, koids, 16, 0, 0), ZX_ERR_ACCESS_DENIED);
    OK(zx_object_get_info(child, ZX_INFO_JOB_PROCESSES, koids, sizeof(koids), &actual, &avail));
    TRUE(actual == 1 && avail == 1 && koids[0] == koid_of(process));
    OK(zx_job_set_critical(job, ZX_JOB_CRITICAL_PROCESS_RETCODE_NONZERO, process));
    STATUS(zx_job_set_critical(job, 0, process), ZX_ERR_ALREADY_BOUND);
    STATUS(zx_job_set_critical(job, 2, process), ZX_ERR_INVALID_ARGS);
    STATUS(zx_job_set_critical(job, 0, zx_process_self()), ZX_ERR_INVALID_ARGS);
    STATUS(zx_job_set_critical(NO_HANDLE, 0, process), ZX_ERR_BAD_HANDLE);
    STATUS(zx_job_set_critical(process, 0, process), ZX_ERR_WRONG_TYPE);
    STATUS(zx_job_set_critical(with_rights(job, ZX_RIGHT_READ), 0, process), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_task_kill(with_rights(job, ZX_RIGHT_WRITE)), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_task_kill(NO_HANDLE), ZX_ERR_BAD_HANDLE);
    STATUS(zx_task_kill(zx_thread_self()), ZX_ERR_WRONG_TYPE);
    OK(zx_task_kill(job));
    OK(zx_object_wait_one(process, ZX_PROCESS_TERMINATED, ZX_TIME_INFINITE, 0));
    OK(zx_object_wait_one(child, ZX_JOB_TERMINATED, ZX_TIME_INFINITE, 0));
    OK(zx_object_get_info(job, ZX_INFO_JOB, &info, sizeof(info), 0, 0));
    TRUE(info.exited && info.return_code == ZX_TASK_RETCODE_SYSCALL_KILL);
    STATUS(zx_process_create(job, "p", 1, 0, &process, &vmar), ZX_ERR_BAD_STATE);
    STATUS(zx_job_create(job, 0, &none), ZX_ERR_BAD_STATE);
}

// The vDSO's first byte in this process.
static const char* vdso_base(void) {
    const char* page = (const char*)((uintptr_t)&zx_process_exit & ~4095ul);
    while (page[0] != 0x7f || page[1] != 'E' || page[2] != 'L' || page[3] != 'F') page -= 4096;
    return page;
}

static void processes(zx_handle_t job, zx_handle_t vdso) {
    zx_handle_t process, vmar, thread, event, vmo, none, unused;
    STATUS(zx_process_create(job, "p", 1, 2, &none, &unused), ZX_ERR_INVALID_ARGS);
    STATUS(zx_process_create(job, BAD, 1, 0, &none, &unused), ZX_ERR_INVALID_ARGS);
    STATUS(zx_process_create(job, "p", 1, 0, BAD, &unused), ZX_ERR_INVALID_ARGS);
    STATUS(zx_process_create(job, "p", 1, 0, &none, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_process_create(NO_HANDLE, "p", 1, 0, &none, &unused), ZX_ERR_BAD_HANDLE);
    STATUS(zx_process_create(zx_process_self(), "p", 1, 0, &none, &unused), ZX_ERR_WRONG_TYPE);
    STATUS(zx_process_create(with_rights(job, ZX_RIGHT_WRITE), "p", 1, 0, &none, &unused), ZX_ERR_ACCESS_DENIED);
    OK(zx_process_create(job, "child", 5, 0, &process, &vmar));
    OK(zx_event_create(0, &event));

    zx_info_process_t info = {0};
    uint64_t address = 0;
    OK(zx_object_get_info(process, ZX_INFO_PROCESS, &info, sizeof(info), 0, 0));
    TRUE(info.flags == 0 && info.start_time == 0);
    OK(zx_object_get_property(zx_process_self(), ZX_PROP_PROCESS_VDSO_BASE_ADDRESS, &address, sizeof(address)));
    TRUE(address == (uint64_t)vdso_base());
    STATUS(zx_object_set_property(process, ZX_PROP_PROCESS_VDSO_BASE_ADDRESS, &address, sizeof(address)), ZX_ERR_NOT_SUPPORTED);
    OK(zx_object_set_property(process, ZX_PROP_PROCESS_DEBUG_ADDR, &address, sizeof(address)));
    STATUS(zx_object_set_property(process, ZX_PROP_PROCESS_DEBUG_ADDR, &address, sizeof(address)), ZX_ERR_ACCESS_DENIED);
    OK(zx_object_set_property(process, ZX_PROP_PROCESS_BREAK_ON_LOAD, &address, sizeof(address)));
    address = 0;
    OK(zx_object_get_property(process, ZX_PROP_PROCESS_DEBUG_ADDR, &address, sizeof(address)));
    TRUE(address == (uint64_t)vdso_base());
    address = 0;
    OK(zx_object_get_property(process, ZX_PROP_PROCESS_BREAK_ON_LOAD, &address, sizeof(address)));
    TRUE(address == (uint64_t)vdso_base());

    // Memory, from outside.
    zx_vaddr_t at = 0;
    char text[8] = {0};
    size_t n = 0;
    OK(zx_vmo_create(4096, 0, &vmo));
    OK(zx_vmar_map(vmar, ZX_VM_PERM_READ, 0, vmo, 0, 4096, &at));
    OK(zx_process_write_memory(process, at + 4090, "remote", 6, &n));
    NUMBER(n, 6);
    OK(zx_process_read_memory(process, at + 4092, text, 8, &n));
    TRUE(n == 4 && text[0] == 'm' && text[3] == 'e');
    STATUS(zx_process_read_memory(process, at, BAD, 1, &n), ZX_ERR_INVALID_ARGS);
    STATUS(zx_process_read_memory(process, at, 0, 1, &n), ZX_ERR_INVALID_ARGS);
    STATUS(zx_process_read_memory(process, at, text, 0, &n), ZX_ERR_INVALID_ARGS);
    STATUS(zx_process_read_memory(process, at, text, (64 << 20) + 1, &n), ZX_ERR_INVALID_ARGS);
    STATUS(zx_process_read_memory(process, 0, text, 1, &n), ZX_ERR_NO_MEMORY);
    STATUS(zx_process_read_memory(NO_HANDLE, at, text, 1, &n), ZX_ERR_BAD_HANDLE);
    STATUS(zx_process_read_memory(event, at, text, 1, &n), ZX_ERR_WRONG_TYPE);
    STATUS(zx_process_read_memory(with_rights(process, ZX_RIGHT_READ), at, text, 1, &n), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_process_write_memory(process, at, BAD, 1, &n), ZX_ERR_INVALID_ARGS);
    STATUS(zx_process_write_memory(process, at, text, 0, &n), ZX_ERR_INVALID_ARGS);
    STATUS(zx_process_write_memory(process, 0, text, 1, &n), ZX_ERR_NO_MEMORY);
    STATUS(zx_process_write_memory(NO_HANDLE, at, text, 1, &n), ZX_ERR_BAD_HANDLE);
    STATUS(zx_process_write_memory(event, at, text, 1, &n), ZX_ERR_WRONG_TYPE);
    STATUS(zx_process_write_memory(with_rights(process, ZX_RIGHT_READ), at, text, 1, &n), ZX_ERR_ACCESS_DENIED);

    // Started at the vDSO's function that ends it.
    zx_vaddr_t base = 0, writable = 0;
    OK(zx_vmar_map(vmar, ZX_VM_PERM_READ | ZX_VM_PERM_WRITE, 0, vmo, 0, 4096, &writable));
    OK(zx_thread_create(process, "first", 5, 0, &thread));
    STATUS(zx_thread_start(thread, 0x1000, 0, 0, 0), ZX_ERR_BAD_STATE);
    uint64_t image = 0;
    OK(zx_vmo_get_size(vdso, &image));
    OK(zx_vmar_map(vmar, ZX_VM_PERM_READ | ZX_VM_PERM_EXECUTE, 0, vdso, 0, image, &base));
    const zx_vaddr_t entry = base + (zx_vaddr_t)((const char*)&zx_process_exit - vdso_base());
    STATUS(zx_process_start(NO_HANDLE, thread, entry, at, 0, 0), ZX_ERR_BAD_HANDLE);
    STATUS(zx_process_start(event, thread, entry, at, 0, 0), ZX_ERR_WRONG_TYPE);
    STATUS(zx_process_start(process, event, entry, at, 0, 0), ZX_ERR_WRONG_TYPE);
    STATUS(zx_process_start(process, thread, entry, at, NO_HANDLE, 0), ZX_ERR_BAD_HANDLE);
    STATUS(zx_process_start(with_rights(process, ZX_RIGHT_READ), thread, entry, at, 0, 0), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_process_start(process, with_rights(thread, ZX_RIGHT_READ), entry, at, 0, 0), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_process_start(process, zx_thread_self(), entry, at, 0, 0), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_process_start(process, thread, 1ul << 63, at, 0, 0), ZX_ERR_INVALID_ARGS);
    zx_handle_t fixed = with_rights(event, ZX_RIGHT_WAIT);
    STATUS(zx_process_start(process, thread, entry, at, fixed, 0), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_handle_close(fixed), ZX_ERR_BAD_HANDLE);
    OK(zx_process_start(process, thread, entry, writable + 4096 - 8, event, 0));
    STATUS(zx_handle_close(event), ZX_ERR_BAD_HANDLE);
    OK(zx_object_wait_one(process, ZX_PROCESS_TERMINATED, ZX_TIME_INFINITE, 0));
    OK(zx_object_get_info(process, ZX_INFO_PROCESS, &info, sizeof(info), 0, 0));
    NUMBER(info.flags, ZX_INFO_PROCESS_FLAG_STARTED | ZX_INFO_PROCESS_FLAG_EXITED);
    // It ended with its first argument: the value of the handle that it was given.
    TRUE(info.start_time > 0);
    TRUE(info.return_code > 0 && (info.return_code & ZX_HANDLE_FIXED_BITS_MASK) == ZX_HANDLE_FIXED_BITS_MASK);
    STATUS(zx_object_get_info(thread, ZX_INFO_PROCESS, &info, sizeof(info), 0, 0), ZX_ERR_WRONG_TYPE);
    STATUS(zx_process_start(process, thread, entry, at, 0, 0), ZX_ERR_BAD_STATE);
    STATUS(zx_process_read_memory(process, at, text, 1, &n), ZX_ERR_BAD_STATE);
    STATUS(zx_process_write_memory(process, at, text, 1, &n), ZX_ERR_BAD_STATE);
    STATUS(zx_thread_create(process, "late", 4, 0, &none), ZX_ERR_BAD_STATE);
}

static void threads(void) {
    zx_handle_t thread, token, none, self = zx_process_self();
    zx_thread_state_general_regs_t regs;
    uint64_t base = 1;
    STATUS(zx_thread_create(self, "t", 1, 1, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_thread_create(self, BAD, 1, 0, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_thread_create(self, "t", 1, 0, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_thread_create(NO_HANDLE, "t", 1, 0, &none), ZX_ERR_BAD_HANDLE);
    STATUS(zx_thread_create(zx_thread_self(), "t", 1, 0, &none), ZX_ERR_WRONG_TYPE);
    STATUS(zx_thread_create(with_rights(self, ZX_RIGHT_READ), "t", 1, 0, &none), ZX_ERR_ACCESS_DENIED);
    OK(zx_thread_create(self, "counter", 7, 0, &thread));
    STATUS(zx_thread_start(NO_HANDLE, (zx_vaddr_t)&count, top(), 3, 0), ZX_ERR_BAD_HANDLE);
    STATUS(zx_thread_start(self, (zx_vaddr_t)&count, top(), 3, 0), ZX_ERR_WRONG_TYPE);
    STATUS(zx_thread_start(with_rights(thread, ZX_RIGHT_READ), (zx_vaddr_t)&count, top(), 3, 0), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_thread_start(thread, 1ul << 63, top(), 3, 0), ZX_ERR_INVALID_ARGS);
    OK(zx_thread_start(thread, (zx_vaddr_t)&count, top(), 3, 0));
    STATUS(zx_thread_start(thread, (zx_vaddr_t)&count, top(), 3, 0), ZX_ERR_BAD_STATE);
    while (counter == 0) OK(zx_thread_legacy_yield(0));
    STATUS(zx_thread_legacy_yield(1), ZX_ERR_INVALID_ARGS);
    STATUS(zx_thread_read_state(thread, ZX_THREAD_STATE_GENERAL_REGS, &regs, sizeof(regs)), ZX_ERR_BAD_STATE);

    zx_info_thread_t info = {0};
    zx_info_thread_stats_t stats = {0};
    zx_koid_t koids[4] = {0};
    size_t actual = 0;
    OK(zx_object_get_info(thread, ZX_INFO_THREAD, &info, sizeof(info), 0, 0));
    TRUE(info.state == ZX_THREAD_STATE_RUNNING && info.wait_exception_channel_type == 0);
    OK(zx_object_get_info(thread, ZX_INFO_THREAD_STATS, &stats, sizeof(stats), 0, 0));
    TRUE(stats.last_scheduled_cpu != ZX_INFO_INVALID_CPU);
    OK(zx_object_get_info(self, ZX_INFO_PROCESS_THREADS, koids, sizeof(koids), &actual, 0));
    TRUE(actual == 2 && (koids[0] == koid_of(thread) || koids[1] == koid_of(thread)));
    STATUS(zx_object_get_info(self, ZX_INFO_THREAD, &info, sizeof(info), 0, 0), ZX_ERR_WRONG_TYPE);

    // Suspended, it stands still and shows its registers; changed, it goes on elsewhere.
    STATUS(zx_task_suspend(NO_HANDLE, &none), ZX_ERR_BAD_HANDLE);
    STATUS(zx_task_suspend(token = with_rights(thread, ZX_RIGHT_READ), &none), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_task_suspend(zx_thread_self(), &none), ZX_ERR_NOT_SUPPORTED);
    STATUS(zx_task_suspend(self, &none), ZX_ERR_NOT_SUPPORTED);
    STATUS(zx_task_suspend(thread, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_task_suspend_token(NO_HANDLE, &none), ZX_ERR_BAD_HANDLE);
    STATUS(zx_task_suspend_token(with_rights(thread, ZX_RIGHT_READ), &none), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_task_suspend_token(zx_thread_self(), &none), ZX_ERR_NOT_SUPPORTED);
    STATUS(zx_task_suspend_token(thread, BAD), ZX_ERR_INVALID_ARGS);
    OK(zx_task_suspend(thread, &token));
    OK(zx_object_wait_one(thread, ZX_THREAD_SUSPENDED, ZX_TIME_INFINITE, 0));
    uint64_t before = counter;
    zx_nanosleep(zx_clock_get_monotonic() + ZX_MSEC(2));
    TRUE(counter == before);
    STATUS(zx_task_suspend(token, &none), ZX_ERR_WRONG_TYPE);
    STATUS(zx_task_suspend_token(token, &none), ZX_ERR_WRONG_TYPE);
    OK(zx_thread_read_state(thread, ZX_THREAD_STATE_GENERAL_REGS, &regs, sizeof(regs)));
    TRUE(regs.rip - (uint64_t)&count < 200);
    OK(zx_thread_read_state(thread, ZX_THREAD_X86_REGISTER_FS, &base, sizeof(base)));
    NUMBER(base, 0);
    STATUS(zx_thread_read_state(thread, ZX_THREAD_STATE_GENERAL_REGS, &regs, sizeof(regs) - 1), ZX_ERR_BUFFER_TOO_SMALL);
    STATUS(zx_thread_read_state(thread, ZX_THREAD_STATE_GENERAL_REGS, BAD, sizeof(regs)), ZX_ERR_INVALID_ARGS);
    STATUS(zx_thread_read_state(thread, 3, &regs, sizeof(regs)), ZX_ERR_INVALID_ARGS);
    STATUS(zx_thread_read_state(thread, ZX_THREAD_STATE_DEBUG_REGS, &regs, sizeof(regs)), ZX_ERR_NOT_SUPPORTED);
    STATUS(zx_thread_read_state(NO_HANDLE, 0, &regs, sizeof(regs)), ZX_ERR_BAD_HANDLE);
    STATUS(zx_thread_read_state(self, 0, &regs, sizeof(regs)), ZX_ERR_WRONG_TYPE);
    STATUS(zx_thread_read_state(with_rights(thread, ZX_RIGHT_WRITE), 0, &regs, sizeof(regs)), ZX_ERR_ACCESS_DENIED);
    regs.rip = (uint64_t)&leave, regs.rsp = top(), regs.rdi = 40, regs.rsi = 2;
    STATUS(zx_thread_write_state(thread, 0, &regs, 8), ZX_ERR_BUFFER_TOO_SMALL);
    STATUS(zx_thread_write_state(thread, 0, BAD, sizeof(regs)), ZX_ERR_INVALID_ARGS);
    STATUS(zx_thread_write_state(thread, 3, &regs, sizeof(regs)), ZX_ERR_INVALID_ARGS);
    STATUS(zx_thread_write_state(thread, ZX_THREAD_STATE_SINGLE_STEP, &regs, sizeof(regs)), ZX_ERR_NOT_SUPPORTED);
    STATUS(zx_thread_write_state(NO_HANDLE, 0, &regs, sizeof(regs)), ZX_ERR_BAD_HANDLE);
    STATUS(zx_thread_write_state(self, 0, &regs, sizeof(regs)), ZX_ERR_WRONG_TYPE);
    STATUS(zx_thread_write_state(with_rights(thread, ZX_RIGHT_READ), 0, &regs, sizeof(regs)), ZX_ERR_ACCESS_DENIED);
    OK(zx_thread_write_state(thread, ZX_THREAD_STATE_GENERAL_REGS, &regs, sizeof(regs)));
    OK(zx_handle_close(token));
    OK(zx_object_wait_one(thread, ZX_THREAD_TERMINATED, ZX_TIME_INFINITE, 0));
    NUMBER(counter, 42);
    OK(zx_object_get_info(thread, ZX_INFO_THREAD, &info, sizeof(info), 0, 0));
    NUMBER(info.state, ZX_THREAD_STATE_DEAD);
    STATUS(zx_object_get_info(thread, ZX_INFO_THREAD_STATS, &stats, sizeof(stats), 0, 0), ZX_ERR_BAD_STATE);
    STATUS(zx_thread_read_state(thread, 0, &regs, sizeof(regs)), ZX_ERR_BAD_STATE);
    STATUS(zx_thread_write_state(thread, 0, &regs, sizeof(regs)), ZX_ERR_BAD_STATE);
    STATUS(zx_task_suspend(thread, &none), ZX_ERR_BAD_STATE);
    STATUS(zx_task_suspend_token(thread, &none), ZX_ERR_BAD_STATE);
}

static volatile uint64_t from_fs;
static char area[64];

// Waits for long, and looks at FS behind it.
static void wait_long(uintptr_t event, uintptr_t unused) {
    counter = 1;
    zx_object_wait_one((zx_handle_t)event, ZX_EVENT_SIGNALED, ZX_TIME_INFINITE, 0);
    __asm__ volatile("movq %%fs:8, %0" : "=r"(from_fs));
    counter = 2;
    zx_thread_exit();
}

// Spins with these in its registers.
static void hold(uintptr_t unused, uintptr_t unused2) {
    static const uint64_t value[2] = {0x1111222233334444, 0x5555666677778888};
    counter = 1;
    __asm__ volatile("movdqu %1, %%xmm3\n fldpi\n 1: movdqu %%xmm3, %0\n pause\n jmp 1b"
                     : "=m"(*(uint64_t(*)[2])(area + 16)) : "m"(value) : "xmm3");
}

// The registers of one that waits within a call, and those of vectors and floating point.
static void registers(void) {
    zx_handle_t thread, token, event, self = zx_process_self();
    zx_thread_state_general_regs_t regs;
    zx_thread_state_fp_regs_t fp;
    zx_thread_state_vector_regs_t vector;
    zx_info_thread_t info = {0};
    uint64_t base = 0;
    counter = 0;
    OK(zx_event_create(0, &event));
    OK(zx_thread_create(self, "waiter", 6, 0, &thread));
    OK(zx_thread_start(thread, (zx_vaddr_t)&wait_long, top(), event, 0));
    while (info.state != ZX_THREAD_STATE_BLOCKED_WAIT_ONE) {
        zx_thread_legacy_yield(0);
        zx_object_get_info(thread, ZX_INFO_THREAD, &info, sizeof(info), 0, 0);
    }
    STATUS(zx_thread_read_state(thread, ZX_THREAD_STATE_GENERAL_REGS, &regs, sizeof(regs)), ZX_ERR_BAD_STATE);
    OK(zx_task_suspend(thread, &token));
    OK(zx_object_wait_one(thread, ZX_THREAD_SUSPENDED, ZX_TIME_INFINITE, 0));
    OK(zx_thread_read_state(thread, ZX_THREAD_STATE_GENERAL_REGS, &regs, sizeof(regs)));
    TRUE(regs.rsp < top() && regs.rsp > top() - 4096);
    NUMBER(regs.rdi, event);
    *(uint64_t*)(area + 8) = 4711;
    base = (uint64_t)area;
    OK(zx_thread_write_state(thread, ZX_THREAD_X86_REGISTER_FS, &base, sizeof(base)));
    base = 1ul << 63;
    STATUS(zx_thread_write_state(thread, ZX_THREAD_X86_REGISTER_FS, &base, sizeof(base)), ZX_ERR_INVALID_ARGS);
    OK(zx_handle_close(token));
    OK(zx_object_signal(event, 0, ZX_EVENT_SIGNALED));
    OK(zx_object_wait_one(thread, ZX_THREAD_TERMINATED, ZX_TIME_INFINITE, 0));
    TRUE(counter == 2 && from_fs == 4711);

    // Sent elsewhere while it waits, it leaves the call.
    counter = 0;
    OK(zx_object_signal(event, ZX_EVENT_SIGNALED, 0));
    OK(zx_thread_create(self, "waiter", 6, 0, &thread));
    OK(zx_thread_start(thread, (zx_vaddr_t)&wait_long, top(), event, 0));
    while (counter == 0) zx_thread_legacy_yield(0);
    zx_nanosleep(zx_deadline_after(ZX_MSEC(5)));
    OK(zx_task_suspend(thread, &token));
    OK(zx_object_wait_one(thread, ZX_THREAD_SUSPENDED, ZX_TIME_INFINITE, 0));
    OK(zx_thread_read_state(thread, ZX_THREAD_STATE_GENERAL_REGS, &regs, sizeof(regs)));
    regs.rip = (uint64_t)&leave, regs.rsp = top(), regs.rdi = 50, regs.rsi = 5;
    OK(zx_thread_write_state(thread, ZX_THREAD_STATE_GENERAL_REGS, &regs, sizeof(regs)));
    OK(zx_handle_close(token));
    OK(zx_object_wait_one(thread, ZX_THREAD_TERMINATED, ZX_TIME_INFINITE, 0));
    NUMBER(counter, 55);

    counter = 0;
    OK(zx_thread_create(self, "holder", 6, 0, &thread));
    OK(zx_thread_start(thread, (zx_vaddr_t)&hold, top(), 0, 0));
    while (*(volatile uint64_t*)(area + 16) != 0x1111222233334444) zx_thread_legacy_yield(0);
    OK(zx_task_suspend(thread, &token));
    OK(zx_object_wait_one(thread, ZX_THREAD_SUSPENDED, ZX_TIME_INFINITE, 0));
    OK(zx_thread_read_state(thread, ZX_THREAD_STATE_VECTOR_REGS, &vector, sizeof(vector)));
    TRUE(vector.zmm[3].v[0] == 0x1111222233334444 && vector.zmm[3].v[1] == 0x5555666677778888);
    NUMBER(vector.mxcsr & 0x1f80, 0x1f80);
    OK(zx_thread_read_state(thread, ZX_THREAD_STATE_FP_REGS, &fp, sizeof(fp)));
    TRUE(fp.st[0].low == 0xc90fdaa22168c235 && fp.st[0].high == 0x4000);
    STATUS(zx_thread_read_state(thread, ZX_THREAD_STATE_FP_REGS, &fp, sizeof(fp) - 1), ZX_ERR_BUFFER_TOO_SMALL);
    STATUS(zx_thread_read_state(thread, ZX_THREAD_STATE_VECTOR_REGS, &vector, 8), ZX_ERR_BUFFER_TOO_SMALL);
    vector.zmm[3].v[0] = 99;
    OK(zx_thread_write_state(thread, ZX_THREAD_STATE_VECTOR_REGS, &vector, sizeof(vector)));
    OK(zx_thread_write_state(thread, ZX_THREAD_STATE_FP_REGS, &fp, sizeof(fp)));
    vector.mxcsr = ~0u;
    STATUS(zx_thread_write_state(thread, ZX_THREAD_STATE_VECTOR_REGS, &vector, sizeof(vector)), ZX_ERR_INVALID_ARGS);
    STATUS(zx_thread_write_state(thread, ZX_THREAD_STATE_VECTOR_REGS, &vector, 8), ZX_ERR_BUFFER_TOO_SMALL);
    OK(zx_handle_close(token));
    while (*(volatile uint64_t*)(area + 16) != 99) zx_thread_legacy_yield(0);

    // The caller's own FS base is a property of its thread.
    uint64_t found = 1;
    base = (uint64_t)area;
    OK(zx_object_set_property(zx_thread_self(), ZX_PROP_REGISTER_FS, &base, sizeof(base)));
    __asm__ volatile("movq %%fs:8, %0" : "=r"(from_fs));
    NUMBER(from_fs, 4711);
    OK(zx_object_get_property(zx_thread_self(), ZX_PROP_REGISTER_FS, &found, sizeof(found)));
    NUMBER(found, base);
    OK(zx_object_get_property(zx_thread_self(), ZX_PROP_REGISTER_GS, &found, sizeof(found)));
    NUMBER(found, 0);
    OK(zx_object_set_property(zx_thread_self(), ZX_PROP_REGISTER_GS, &found, sizeof(found)));
    STATUS(zx_object_set_property(zx_thread_self(), ZX_PROP_REGISTER_FS, &base, 7), ZX_ERR_BUFFER_TOO_SMALL);
    STATUS(zx_object_set_property(thread, ZX_PROP_REGISTER_FS, &base, sizeof(base)), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_object_set_property(self, ZX_PROP_REGISTER_FS, &base, sizeof(base)), ZX_ERR_WRONG_TYPE);
    base = 1ul << 63;
    STATUS(zx_object_set_property(zx_thread_self(), ZX_PROP_REGISTER_FS, &base, sizeof(base)), ZX_ERR_INVALID_ARGS);

    zx_info_task_runtime_t runtime = {0}, whole = {0};
    OK(zx_object_get_info(thread, ZX_INFO_TASK_RUNTIME, &runtime, sizeof(runtime), 0, 0));
    OK(zx_object_get_info(self, ZX_INFO_TASK_RUNTIME, &whole, sizeof(whole), 0, 0));
    TRUE(runtime.cpu_time > 0 && whole.cpu_time >= runtime.cpu_time);
    TRUE(runtime.queue_time > 0 && whole.queue_time >= runtime.queue_time);
    STATUS(zx_object_get_info(event, ZX_INFO_TASK_RUNTIME, &runtime, sizeof(runtime), 0, 0), ZX_ERR_WRONG_TYPE);
    STATUS(zx_object_get_info(with_rights(thread, ZX_RIGHT_READ), ZX_INFO_TASK_RUNTIME, &runtime, sizeof(runtime), 0, 0), ZX_ERR_ACCESS_DENIED);
}

int main(void) {
    zx_handle_t job = zx_take_startup_handle(PA_HND(PA_JOB_DEFAULT, 0));
    zx_handle_t vdso = zx_take_startup_handle(PA_HND(PA_VMO_VDSO, 0));
    jobs(job);
    processes(job, vdso);
    threads();
    registers();
    return finish();
}
