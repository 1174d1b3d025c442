// Exceptions: read from a channel, looked into, handled; and what a thread says to its job's debugger.

#include "check.h"

static char stack[16384] __attribute__((aligned(16)));
static volatile int survived;

static void fault(uintptr_t address, uintptr_t unused) {
    // One instruction of two bytes.
    __asm__ volatile("movb %%al, (%0)" : : "D"(address) : "memory");
    survived = 1;
    zx_thread_exit();
}

static zx_handle_t start(void) {
    zx_handle_t thread = ZX_HANDLE_INVALID;
    survived = 0;
    OK(zx_thread_create(zx_process_self(), "faulty", 6, 0, &thread));
    return thread;
}

static void run(zx_handle_t thread) {
    OK(zx_thread_start(thread, (zx_vaddr_t)&fault, (zx_vaddr_t)(stack + sizeof(stack) - 8), (uintptr_t)BAD, 0));
}

static zx_handle_t next(zx_handle_t channel, zx_exception_info_t* info) {
    zx_handle_t exception = ZX_HANDLE_INVALID;
    OK(zx_object_wait_one(channel, ZX_CHANNEL_READABLE, ZX_TIME_INFINITE, 0));
    OK(zx_channel_read(channel, 0, info, &exception, sizeof(*info), 1, 0, 0));
    return exception;
}

static void channels(void) {
    zx_handle_t self = zx_process_self(), thread = zx_thread_self(), channel, none;
    STATUS(zx_task_create_exception_channel(self, 2, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_task_create_exception_channel(self, 0, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_task_create_exception_channel(thread, ZX_EXCEPTION_CHANNEL_DEBUGGER, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_task_create_exception_channel(NO_HANDLE, 0, &none), ZX_ERR_BAD_HANDLE);
    STATUS(zx_task_create_exception_channel(with_rights(self, ZX_RIGHT_INSPECT), 0, &none), ZX_ERR_ACCESS_DENIED);
    OK(zx_task_create_exception_channel(self, 0, &channel));
    STATUS(zx_task_create_exception_channel(channel, 0, &none), ZX_ERR_WRONG_TYPE);
    STATUS(zx_task_create_exception_channel(self, 0, &none), ZX_ERR_ALREADY_BOUND);
    OK(zx_handle_close(channel));
    OK(zx_task_create_exception_channel(self, 0, &channel));
    OK(zx_handle_close(channel));
    STATUS(zx_exception_get_thread(NO_HANDLE, &none), ZX_ERR_BAD_HANDLE);
    STATUS(zx_exception_get_thread(self, &none), ZX_ERR_WRONG_TYPE);
    STATUS(zx_exception_get_process(NO_HANDLE, &none), ZX_ERR_BAD_HANDLE);
    STATUS(zx_exception_get_process(self, &none), ZX_ERR_WRONG_TYPE);
}

// A process's handler looks, corrects the registers, and has the thread go on.
static void handled(void) {
    zx_handle_t thread, channel, exception, found, process;
    zx_exception_info_t info = {0};
    zx_exception_report_t report = {0};
    zx_thread_state_general_regs_t regs;
    zx_info_thread_t what = {0};
    uint32_t state = 9, strategy = 9;
    OK(zx_task_create_exception_channel(zx_process_self(), 0, &channel));
    thread = start();
    STATUS(zx_object_get_info(thread, ZX_INFO_THREAD_EXCEPTION_REPORT, &report, sizeof(report), 0, 0), ZX_ERR_BAD_STATE);
    run(thread);
    exception = next(channel, &info);
    TRUE(info.tid == koid_of(thread) && info.pid == koid_of(zx_process_self()));
    NUMBER(info.type, ZX_EXCP_FATAL_PAGE_FAULT);
    OK(zx_object_get_info(thread, ZX_INFO_THREAD, &what, sizeof(what), 0, 0));
    NUMBER(what.state, ZX_THREAD_STATE_BLOCKED_EXCEPTION);
    OK(zx_object_get_info(thread, ZX_INFO_THREAD_EXCEPTION_REPORT, &report, sizeof(report), 0, 0));
    NUMBER(report.header.type, ZX_EXCP_FATAL_PAGE_FAULT);
    NUMBER(report.context.cr2, BAD);
    OK(zx_exception_get_thread(exception, &found));
    NUMBER(koid_of(found), koid_of(thread));
    OK(zx_exception_get_process(exception, &process));
    NUMBER(koid_of(process), koid_of(zx_process_self()));
    STATUS(zx_exception_get_thread(exception, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_exception_get_process(exception, BAD), ZX_ERR_INVALID_ARGS);
    OK(zx_thread_read_state(found, ZX_THREAD_STATE_GENERAL_REGS, &regs, sizeof(regs)));
    NUMBER(regs.rdi, BAD);
    regs.rip += 2;
    OK(zx_thread_write_state(found, ZX_THREAD_STATE_GENERAL_REGS, &regs, sizeof(regs)));
    OK(zx_object_get_property(exception, ZX_PROP_EXCEPTION_STATE, &state, sizeof(state)));
    NUMBER(state, ZX_EXCEPTION_STATE_TRY_NEXT);
    OK(zx_object_get_property(exception, ZX_PROP_EXCEPTION_STRATEGY, &strategy, sizeof(strategy)));
    NUMBER(strategy, ZX_EXCEPTION_STRATEGY_FIRST_CHANCE);
    strategy = ZX_EXCEPTION_STRATEGY_SECOND_CHANCE;
    STATUS(zx_object_set_property(exception, ZX_PROP_EXCEPTION_STRATEGY, &strategy, sizeof(strategy)), ZX_ERR_BAD_STATE);
    state = 3;
    STATUS(zx_object_set_property(exception, ZX_PROP_EXCEPTION_STATE, &state, sizeof(state)), ZX_ERR_INVALID_ARGS);
    state = ZX_EXCEPTION_STATE_HANDLED;
    STATUS(zx_object_set_property(exception, ZX_PROP_EXCEPTION_STATE, &state, 1), ZX_ERR_BUFFER_TOO_SMALL);
    STATUS(zx_object_set_property(channel, ZX_PROP_EXCEPTION_STATE, &state, sizeof(state)), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_object_set_property(thread, ZX_PROP_EXCEPTION_STATE, &state, sizeof(state)), ZX_ERR_WRONG_TYPE);
    OK(zx_object_set_property(exception, ZX_PROP_EXCEPTION_STATE, &state, sizeof(state)));
    OK(zx_handle_close(exception));
    OK(zx_object_wait_one(thread, ZX_THREAD_TERMINATED, ZX_TIME_INFINITE, 0));
    NUMBER(survived, 1);
    OK(zx_handle_close(channel));
}

// A thread's own handler, which does not get its process, ends it.
static void ended(void) {
    zx_handle_t thread = start(), channel, exception, none;
    zx_exception_info_t info = {0};
    uint32_t state = ZX_EXCEPTION_STATE_THREAD_EXIT;
    OK(zx_task_create_exception_channel(thread, 0, &channel));
    run(thread);
    exception = next(channel, &info);
    STATUS(zx_exception_get_process(exception, &none), ZX_ERR_ACCESS_DENIED);
    OK(zx_object_set_property(exception, ZX_PROP_EXCEPTION_STATE, &state, sizeof(state)));
    OK(zx_handle_close(exception));
    OK(zx_object_wait_one(thread, ZX_THREAD_TERMINATED, ZX_TIME_INFINITE, 0));
    NUMBER(survived, 0);
    STATUS(zx_task_create_exception_channel(thread, 0, &none), ZX_ERR_BAD_STATE);
}

static void raised(void) {
    zx_exception_context_t context = {0};
    // Nobody debugs the job: it goes on at once.
    OK(zx_thread_raise_exception(ZX_EXCEPTION_TARGET_JOB_DEBUGGER, ZX_EXCP_USER, &context));
    STATUS(zx_thread_raise_exception(0, ZX_EXCP_USER, &context), ZX_ERR_INVALID_ARGS);
    STATUS(zx_thread_raise_exception(ZX_EXCEPTION_TARGET_JOB_DEBUGGER, ZX_EXCP_GENERAL, &context), ZX_ERR_INVALID_ARGS);
    STATUS(zx_thread_raise_exception(ZX_EXCEPTION_TARGET_JOB_DEBUGGER, ZX_EXCP_USER, BAD), ZX_ERR_INVALID_ARGS);
}

int main(void) {
    channels();
    handled();
    ended();
    raised();
    return finish();
}
