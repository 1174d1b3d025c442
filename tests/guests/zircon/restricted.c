// Restricted mode: entered and left for every reason, in a process with one address space and in processes that share one.
#include "check.h"

// Enters restricted mode; returns the reason for which it was left, or a status. What is to be kept lies on the stack, and its address is
// the context.
uint64_t enter(void);
extern const char code_call[], code_undefined[], code_fault[], code_loop[], code_loop_end[];
extern const char child_begin[], child_end[], inner_begin[], inner_end[];
__asm__(
    ".text\n"
    "enter: push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n sub $8, %rsp\n"
    "  xor %edi, %edi\n lea 1f(%rip), %rsi\n mov %rsp, %rdx\n"
    "  call zx_restricted_enter@plt\n movslq %eax, %rsi\n mov %rsp, %rdi\n"
    "1: mov %rdi, %rsp\n mov %rsi, %rax\n"
    "  add $8, %rsp\n pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n ret\n"
    // What runs in restricted mode. The first takes a word from its thread's FS base, and calls twice.
    "code_call: inc %rbx\n mov %fs:8, %r15\n mov $0x1234, %eax\n syscall\n mov %rax, (%rdi)\n mov $0x5678, %eax\n syscall\n"
    "code_undefined: ud2\n"
    "code_fault: mov 8, %rax\n"
    "code_loop: incq (%rdi)\n jmp code_loop\n"
    "code_loop_end:\n"
    // A process that shares its memory: its thread has the address of a struct child.
    "child_begin: mov %rsi, %rbx\n"
    "  xor %edi, %edi\n lea 40(%rbx), %rsi\n call *(%rbx)\n"
    "  mov 40(%rbx), %edi\n lea 64(%rbx), %rsi\n xor %edx, %edx\n mov $160, %ecx\n call *8(%rbx)\n"
    "  xor %edi, %edi\n lea 1f(%rip), %rsi\n mov %rbx, %rdx\n call *16(%rbx)\n"
    "  movslq %eax, %rdi\n call *32(%rbx)\n"
    "1: mov %rdi, %rbx\n lea 2048(%rbx), %rsp\n mov %rsi, 48(%rbx)\n"
    "  mov 40(%rbx), %edi\n lea 64(%rbx), %rsi\n xor %edx, %edx\n mov $160, %ecx\n call *24(%rbx)\n"
    "  mov 112(%rbx), %rdi\n call *32(%rbx)\n"
    "child_end:\n"
    // And what it runs in restricted mode.
    "inner_begin: mov (%rdi), %rax\n syscall\n"
    "inner_end:\n");

struct child {
    uint64_t bind, write, enter, read, exit;
    zx_handle_t state_vmo;
    uint32_t unused;
    uint64_t reason, also_unused;
    zx_restricted_state_t state;
};

static zx_handle_t state_vmo;
static zx_restricted_exception_t* shown;
static uint64_t counter, area[2] = {0, 0x77};
static char stack[16384];

static void errors(void) {
    zx_handle_t none, fresh, event;
    OK(zx_event_create(0, &event));
    NUMBER((int64_t)enter(), ZX_ERR_BAD_STATE);
    STATUS(zx_restricted_bind_state(1, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_restricted_bind_state(0, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_restricted_unbind_state(1), ZX_ERR_INVALID_ARGS);
    OK(zx_restricted_unbind_state(0));
    OK(zx_restricted_bind_state(0, &none));
    STATUS(zx_restricted_enter(1, (zx_vaddr_t)&errors, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_restricted_enter(0, 1ul << 63, 0), ZX_ERR_INVALID_ARGS);
    OK(zx_restricted_unbind_state(0));
    STATUS(zx_restricted_enter(0, (zx_vaddr_t)&errors, 0), ZX_ERR_BAD_STATE);
    STATUS(zx_restricted_kick(zx_thread_self(), 1), ZX_ERR_INVALID_ARGS);
    STATUS(zx_restricted_kick(NO_HANDLE, 0), ZX_ERR_BAD_HANDLE);
    STATUS(zx_restricted_kick(event, 0), ZX_ERR_WRONG_TYPE);
    STATUS(zx_restricted_kick(with_rights(zx_thread_self(), ZX_RIGHT_READ), 0), ZX_ERR_ACCESS_DENIED);
    OK(zx_thread_create(zx_process_self(), "new", 3, 0, &fresh));
    STATUS(zx_restricted_kick(fresh, 0), ZX_ERR_BAD_STATE);
}

static void calls(void) {
    zx_vaddr_t at = 0;
    uint64_t fs = 1, after = 2;
    OK(zx_object_get_property(zx_thread_self(), ZX_PROP_REGISTER_FS, &fs, sizeof(fs)));
    OK(zx_restricted_bind_state(0, &state_vmo));
    OK(zx_vmar_map(zx_vmar_root_self(), ZX_VM_PERM_READ | ZX_VM_PERM_WRITE, 0, state_vmo, 0, 4096, &at));
    shown = (zx_restricted_exception_t*)at;
    zx_restricted_state_t* state = &shown->state;
    // What cannot be registers.
    state->ip = 1ul << 63;
    NUMBER((int64_t)enter(), ZX_ERR_BAD_STATE);
    state->ip = (uint64_t)code_call, state->gs_base = 1;
    NUMBER((int64_t)enter(), ZX_ERR_BAD_STATE);
    state->gs_base = 0, state->fs_base = 1ul << 63;
    NUMBER((int64_t)enter(), ZX_ERR_BAD_STATE);
    state->fs_base = (uint64_t)area, state->flags = 1ul << 17;
    NUMBER((int64_t)enter(), ZX_ERR_BAD_STATE);
    state->flags = 1, state->rbx = 41, state->rdi = (uint64_t)&counter, state->rsp = 0x5555;
    NUMBER(enter(), ZX_RESTRICTED_REASON_SYSCALL);
    TRUE(state->rax == 0x1234 && state->rbx == 42 && state->r15 == 0x77);
    TRUE(state->rdi == (uint64_t)&counter && state->rsp == 0x5555 && state->fs_base == (uint64_t)area);
    TRUE(state->flags & 1);
    OK(zx_object_get_property(zx_thread_self(), ZX_PROP_REGISTER_FS, &after, sizeof(after)));
    TRUE(after == fs);
    // On, with the call's result.
    state->rax = 4711;
    NUMBER(enter(), ZX_RESTRICTED_REASON_SYSCALL);
    TRUE(counter == 4711 && state->rax == 0x5678 && state->rbx == 42);
    TRUE(state->ip == (uint64_t)code_undefined);
}

static void exceptions(void) {
    zx_restricted_state_t* state = &shown->state;
    NUMBER(enter(), ZX_RESTRICTED_REASON_EXCEPTION);
    TRUE(state->ip == (uint64_t)code_undefined && state->rbx == 42);
    NUMBER(shown->exception.header.size, sizeof(zx_exception_report_t));
    NUMBER(shown->exception.header.type, ZX_EXCP_UNDEFINED_INSTRUCTION);
    state->ip = (uint64_t)code_fault;
    NUMBER(enter(), ZX_RESTRICTED_REASON_EXCEPTION);
    NUMBER(shown->exception.header.type, ZX_EXCP_FATAL_PAGE_FAULT);
    NUMBER(shown->exception.context.cr2, 8);
    TRUE(state->ip == (uint64_t)code_fault);
}

static void kicker(uintptr_t thread) {
    // Once it runs there.
    while (*(volatile uint64_t*)&counter < 1000) zx_nanosleep(zx_clock_get_monotonic() + ZX_MSEC(1));
    zx_restricted_kick((zx_handle_t)thread, 0);
    zx_thread_exit();
}

static void kicks(void) {
    zx_restricted_state_t* state = &shown->state;
    zx_handle_t thread, self = with_rights(zx_thread_self(), ZX_RIGHT_SAME_RIGHTS);
    state->ip = (uint64_t)code_loop, state->rbx = 7;
    // Twice is once.
    OK(zx_restricted_kick(self, 0));
    OK(zx_restricted_kick(self, 0));
    counter = 0;
    NUMBER(enter(), ZX_RESTRICTED_REASON_KICK);
    TRUE(state->ip == (uint64_t)code_loop && state->rbx == 7 && counter == 0);
    OK(zx_thread_create(zx_process_self(), "kicker", 6, 0, &thread));
    OK(zx_thread_start(thread, (zx_vaddr_t)&kicker, (zx_vaddr_t)(stack + sizeof(stack) - 8), self, 0));
    NUMBER(enter(), ZX_RESTRICTED_REASON_KICK);
    TRUE(counter >= 1000);
    TRUE(state->ip >= (uint64_t)code_loop && state->ip < (uint64_t)code_loop_end);
    OK(zx_object_wait_one(thread, ZX_THREAD_TERMINATED, ZX_TIME_INFINITE, 0));
    STATUS(zx_restricted_kick(thread, 0), ZX_ERR_BAD_STATE);
}

// The vDSO's first byte in this process.
static const char* vdso_base(void) {
    const char* page = (const char*)((uintptr_t)&zx_process_exit & ~4095ul);
    while (page[0] != 0x7f || page[1] != 'E' || page[2] != 'L' || page[3] != 'F') page -= 4096;
    return page;
}

static zx_handle_t code_vmo(const char* begin, const char* end) {
    zx_handle_t vmo;
    OK(zx_vmo_create(4096, 0, &vmo));
    OK(zx_vmo_write(vmo, begin, 0, (size_t)(end - begin)));
    OK(zx_vmo_replace_as_executable(vmo, ZX_HANDLE_INVALID, &vmo));
    return vmo;
}

// Has a thread of `process` run in restricted mode; its memory is shared but for what `restricted` covers, where `word` is.
static void run_shared(zx_handle_t process, zx_handle_t restricted, zx_handle_t shared, zx_vaddr_t code, zx_vaddr_t vdso, uint64_t word) {
    zx_handle_t data, table_vmo, thread;
    zx_vaddr_t inner = 0, at = 0, table = 0;
    OK(zx_vmar_map(restricted, ZX_VM_PERM_READ | ZX_VM_PERM_EXECUTE, 0, code_vmo(inner_begin, inner_end), 0, 4096, &inner));
    OK(zx_vmo_create(4096, 0, &data));
    OK(zx_vmo_write(data, &word, 0, sizeof(word)));
    OK(zx_vmar_map(restricted, ZX_VM_PERM_READ, 0, data, 0, 4096, &at));
    OK(zx_vmo_create(4096, 0, &table_vmo));
    OK(zx_vmar_map(shared, ZX_VM_PERM_READ | ZX_VM_PERM_WRITE, 0, table_vmo, 0, 4096, &table));
    const uint64_t to_child = vdso - (uint64_t)vdso_base();
    struct child child = {
        .bind = (uint64_t)&zx_restricted_bind_state + to_child,
        .write = (uint64_t)&zx_vmo_write + to_child,
        .enter = (uint64_t)&zx_restricted_enter + to_child,
        .read = (uint64_t)&zx_vmo_read + to_child,
        .exit = (uint64_t)&zx_process_exit + to_child,
        .reason = 99,
        .state = {.ip = inner, .rdi = at, .rax = 0},
    };
    OK(zx_vmo_write(table_vmo, &child, 0, sizeof(child)));
    OK(zx_thread_create(process, "t", 1, 0, &thread));
    OK(zx_process_start(process, thread, code, table + 4096 - 8, 0, table));
    OK(zx_object_wait_one(process, ZX_PROCESS_TERMINATED, ZX_TIME_INFINITE, 0));
    zx_info_process_t info = {0};
    OK(zx_object_get_info(process, ZX_INFO_PROCESS, &info, sizeof(info), 0, 0));
    NUMBER(info.return_code, word);
    OK(zx_vmo_read(table_vmo, &child, 0, sizeof(child)));
    NUMBER(child.reason, ZX_RESTRICTED_REASON_SYSCALL);
    NUMBER(child.state.rax, word);
    TRUE(child.state.ip == inner + (uint64_t)(inner_end - inner_begin) && child.state.rdi == at);
}

static void sharing(zx_handle_t job, zx_handle_t vdso) {
    zx_handle_t first, shared, second, third, restricted, other, plain, vmar, none, unused, event;
    OK(zx_event_create(0, &event));
    OK(zx_process_create(job, "first", 5, ZX_PROCESS_SHARED, &first, &shared));
    OK(zx_process_create(job, "plain", 5, 0, &plain, &vmar));
    STATUS(zx_process_create(job, "p", 1, 2, &none, &unused), ZX_ERR_INVALID_ARGS);
    STATUS(zx_process_create_shared(first, 1, "p", 1, &none, &unused), ZX_ERR_INVALID_ARGS);
    STATUS(zx_process_create_shared(first, 0, BAD, 1, &none, &unused), ZX_ERR_INVALID_ARGS);
    STATUS(zx_process_create_shared(first, 0, "p", 1, BAD, &unused), ZX_ERR_INVALID_ARGS);
    STATUS(zx_process_create_shared(first, 0, "p", 1, &none, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_process_create_shared(plain, 0, "p", 1, &none, &unused), ZX_ERR_INVALID_ARGS);
    STATUS(zx_process_create_shared(NO_HANDLE, 0, "p", 1, &none, &unused), ZX_ERR_BAD_HANDLE);
    STATUS(zx_process_create_shared(event, 0, "p", 1, &none, &unused), ZX_ERR_WRONG_TYPE);
    STATUS(zx_process_create_shared(with_rights(first, ZX_RIGHT_READ), 0, "p", 1, &none, &unused), ZX_ERR_ACCESS_DENIED);
    OK(zx_process_create_shared(first, 0, "second", 6, &second, &restricted));
    OK(zx_process_create_shared(second, 0, "third", 5, &third, &other));

    // What is mapped in the shared memory is in all of them.
    zx_vaddr_t code = 0, base = 0;
    uint64_t image = 0, word = 0;
    size_t n = 0;
    OK(zx_vmar_map(shared, ZX_VM_PERM_READ | ZX_VM_PERM_EXECUTE, 0, code_vmo(child_begin, child_end), 0, 4096, &code));
    OK(zx_process_read_memory(third, code, &word, sizeof(word), &n));
    TRUE(n == sizeof(word) && word == *(const uint64_t*)child_begin);
    OK(zx_vmo_get_size(vdso, &image));
    OK(zx_vmar_map(shared, ZX_VM_PERM_READ | ZX_VM_PERM_EXECUTE, 0, vdso, 0, image, &base));
    run_shared(second, restricted, shared, code, base, 0x1111);
    // It goes on without one of them, and as long as there is one.
    run_shared(third, other, shared, code, base, 0x2222);
    OK(zx_process_create_shared(third, 0, "fourth", 6, &second, &restricted));
    OK(zx_task_kill(second));
    OK(zx_task_kill(first));
    OK(zx_object_wait_one(first, ZX_PROCESS_TERMINATED, ZX_TIME_INFINITE, 0));
    OK(zx_handle_close(shared));
    STATUS(zx_process_create_shared(first, 0, "p", 1, &none, &unused), ZX_ERR_BAD_STATE);
}

int main(void) {
    zx_handle_t job = zx_take_startup_handle(PA_HND(PA_JOB_DEFAULT, 0));
    zx_handle_t vdso = zx_take_startup_handle(PA_HND(PA_VMO_VDSO, 0));
    errors();
    calls();
    exceptions();
    kicks();
    sharing(job, vdso);
    return finish();
}
