// Makes random system calls of Zircon, with arguments that are random, wild or nearly right. Arguments: a seed, and how many calls.

#include <zircon/process.h>
#include <zircon/processargs.h>
#include <zircon/syscalls.h>

static uint64_t state;

static uint64_t next(void) {
    state += 0x9e3779b97f4a7c15;
    uint64_t x = state;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

static uint64_t below(uint64_t bound) { return next() % bound; }

static uint64_t parse(const char* text) {
    uint64_t number = 0;
    while (*text >= '0' && *text <= '9') number = number * 10 + (*text++ - '0');
    return number;
}

// Where calls read from and write to. What they leave here may be a handle, a size, an address: good arguments for others.
static uint64_t scratch[8192];

static zx_handle_t handles[64];

static uint64_t argument(void) {
    static const uint64_t edges[] = {0, 1, 2, 4095, 4096, 65536, 65537, INT32_MAX, UINT32_MAX, 1ull << 40, INT64_MAX, 1ull << 63, UINT64_MAX - 4095, UINT64_MAX};
    switch (below(12)) {
    case 0: case 1: case 2: return handles[below(64)];
    case 3: case 4: case 5: return (uint64_t)&scratch[below(8192)];
    case 6: return scratch[below(64)];
    case 7: return below(8) * 4096;
    case 8: return 1ull << below(64);
    case 9: return edges[below(sizeof(edges) / sizeof(edges[0]))];
    case 10: return next();
    default: return below(64);
    }
}

static int64_t call(uint64_t number, const uint64_t* a) {
    int64_t result;
    register uint64_t r10 __asm__("r10") = a[3], r8 __asm__("r8") = a[4], r9 __asm__("r9") = a[5];
    register uint64_t r12 __asm__("r12") = a[6], r13 __asm__("r13") = a[7];
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(number), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9), "r"(r12), "r"(r13)
                     : "rcx", "r11", "memory");
    return result;
}

// The number that the vDSO's function calls: mov r10, rcx; mov eax, number.
static uint32_t number_of(const void* function) { return *(const uint32_t*)((const char*)function + 4); }

static void refill(void) {
    zx_handle_t* h = &handles[below(56)];
    switch (below(8)) {
    case 0: zx_channel_create(0, h, h + 1); break;
    case 1: zx_event_create(0, h); break;
    case 2: zx_eventpair_create(0, h, h + 1); break;
    case 3: zx_port_create(below(2), h); break;
    case 4: zx_vmo_create(below(1 << 20), below(2) * 2, h); break;
    case 5: zx_interrupt_create(0, 0, ZX_INTERRUPT_VIRTUAL, h); break;
    case 6: {
        zx_vaddr_t at;
        zx_vmar_allocate(zx_vmar_root_self(), ZX_VM_CAN_MAP_READ | ZX_VM_CAN_MAP_WRITE, 0, 1 << 20, h, &at);
        break;
    }
    default: zx_handle_duplicate(below(2) ? zx_process_self() : zx_thread_self(), ZX_RIGHT_SAME_RIGHTS & ~ZX_RIGHT_DESTROY, h);
    }
}

int main(int argc, char** argv) {
    state = argc > 1 ? parse(argv[1]) : 1;
    uint64_t calls = argc > 2 ? parse(argv[2]) : 10000;
    uint32_t exits[] = {number_of(zx_process_exit), number_of(zx_thread_exit), number_of(zx_futex_wake_handle_close_thread_exit), number_of(zx_vmar_unmap_handle_close_thread_exit)};
    uint32_t waits[] = {number_of(zx_nanosleep), number_of(zx_port_wait), number_of(zx_object_wait_one), number_of(zx_object_wait_many), number_of(zx_channel_call), number_of(zx_channel_call_etc), number_of(zx_futex_wait)};
    const int deadlines[] = {0, 1, 2, 2, 2, 2, 3};
    enum { WAITS = sizeof(waits) / sizeof(waits[0]) };
    uint32_t endless = number_of(zx_interrupt_wait);
    for (int i = 0; i < 40; i++) refill();
    handles[60] = zx_vmar_root_self();
    handles[61] = zx_job_default();
    handles[62] = zx_take_startup_handle(PA_HND(PA_RESOURCE, 0));
    handles[63] = zx_take_startup_handle(PA_HND(PA_VMO_VDSO, 0));
    for (uint64_t i = 0; i < calls; i++) {
        if (below(4) == 0) refill();
        uint64_t number = below(310), a[8];
        bool ends = false;
        for (int e = 0; e < 4; e++) ends |= number == exits[e];
        // To end is the business of one call in many.
        if ((ends || number == endless) && below(200) != 0) continue;
        for (int n = 0; n < 8; n++) a[n] = argument();
        // To wait for ever is the business of few calls as well: most deadlines are over.
        for (int w = 0; w < WAITS; w++)
            if (number == waits[w] && below(1000) != 0) a[deadlines[w]] = below(1000);
        call(number, a);
    }
    return 0;
}
