// IOBuffers: memory that two ends share, each with rights of its own.

#include "check.h"

#define PAGE 4096ul
#define RW (ZX_VM_PERM_READ | ZX_VM_PERM_WRITE)

static const uint32_t all = ZX_IOB_EP0_CAN_MAP_READ | ZX_IOB_EP0_CAN_MAP_WRITE | ZX_IOB_EP1_CAN_MAP_READ | ZX_IOB_EP1_CAN_MAP_WRITE;
static const uint32_t first = ZX_IOB_EP0_CAN_MAP_READ | ZX_IOB_EP0_CAN_MAP_WRITE;

static zx_iob_region_t region(uint32_t access, uint64_t size) {
    zx_iob_region_t region = {0};
    region.type = ZX_IOB_REGION_TYPE_PRIVATE, region.access = access, region.size = size;
    return region;
}

static void create(void) {
    zx_handle_t a, b;
    zx_iob_region_t one = region(all, PAGE);
    OK(zx_iob_create(0, &one, 1, &a, &b));
    NUMBER(rights_of(a), 0xf0ef);
    OK(zx_handle_close(a));
    NUMBER(signals_of(b), ZX_IOB_PEER_CLOSED);
    OK(zx_handle_close(b));
    STATUS(zx_iob_create(1, &one, 1, &a, &b), ZX_ERR_INVALID_ARGS);
    STATUS(zx_iob_create(0, &one, 0, &a, &b), ZX_ERR_INVALID_ARGS);
    STATUS(zx_iob_create(0, &one, ZX_IOB_MAX_REGIONS + 1, &a, &b), ZX_ERR_INVALID_ARGS);
    STATUS(zx_iob_create(0, BAD, 1, &a, &b), ZX_ERR_INVALID_ARGS);
    STATUS(zx_iob_create(0, &one, 1, BAD, &b), ZX_ERR_INVALID_ARGS);
    STATUS(zx_iob_create(0, &one, 1, &a, BAD), ZX_ERR_INVALID_ARGS);
    one.access = 0;
    STATUS(zx_iob_create(0, &one, 1, &a, &b), ZX_ERR_INVALID_ARGS);
    one.access = 1u << 8;
    STATUS(zx_iob_create(0, &one, 1, &a, &b), ZX_ERR_INVALID_ARGS);
    one = region(all, PAGE), one.type = 9;
    STATUS(zx_iob_create(0, &one, 1, &a, &b), ZX_ERR_INVALID_ARGS);
    one = region(all, PAGE), one.discipline.type = 9;
    STATUS(zx_iob_create(0, &one, 1, &a, &b), ZX_ERR_INVALID_ARGS);
    one = region(all, PAGE), one.private_region.options = 0xfff;
    STATUS(zx_iob_create(0, &one, 1, &a, &b), ZX_ERR_INVALID_ARGS);
    one = region(all, UINT64_MAX);
    STATUS(zx_iob_create(0, &one, 1, &a, &b), ZX_ERR_OUT_OF_RANGE);
}

static void info(void) {
    zx_handle_t a, b;
    zx_iob_region_t regions[3] = {region(all, PAGE), region(all, PAGE + 1), region(first, 3 * PAGE)};
    zx_info_iob_t info = {9, 9, {0}};
    zx_iob_region_info_t mine[3], theirs[3];
    size_t actual = 9, avail = 9;
    OK(zx_iob_create(0, regions, 3, &a, &b));
    OK(zx_object_get_info(a, ZX_INFO_IOB, &info, sizeof(info), 0, 0));
    TRUE(info.options == 0 && info.region_count == 3);
    OK(zx_object_get_info(a, ZX_INFO_IOB_REGIONS, mine, sizeof(mine), &actual, &avail));
    TRUE(actual == 3 && avail == 3);
    OK(zx_object_get_info(b, ZX_INFO_IOB_REGIONS, theirs, sizeof(theirs), 0, 0));
    TRUE(mine[0].region.size == PAGE && mine[1].region.size == 2 * PAGE && mine[2].region.size == 3 * PAGE);
    TRUE(mine[2].koid == theirs[2].koid && mine[1].koid != mine[2].koid);
    NUMBER(mine[2].region.access, first);
    NUMBER(theirs[2].region.access, ZX_IOB_EP1_CAN_MAP_READ | ZX_IOB_EP1_CAN_MAP_WRITE);
    OK(zx_object_get_info(a, ZX_INFO_IOB_REGIONS, mine, sizeof(mine[0]), &actual, &avail));
    TRUE(actual == 1 && avail == 3);
    STATUS(zx_object_get_info(zx_process_self(), ZX_INFO_IOB, &info, sizeof(info), 0, 0), ZX_ERR_WRONG_TYPE);
    STATUS(zx_object_get_info(zx_process_self(), ZX_INFO_IOB_REGIONS, mine, sizeof(mine), 0, 0), ZX_ERR_WRONG_TYPE);
    zx_info_handle_basic_t basic;
    OK(zx_object_get_info(a, ZX_INFO_HANDLE_BASIC, &basic, sizeof(basic), 0, 0));
    TRUE(basic.type == ZX_OBJ_TYPE_IOB && basic.related_koid == koid_of(b));
}

static void map(void) {
    zx_handle_t a, b, root = zx_vmar_root_self();
    zx_vaddr_t at = 0, other = 0;
    zx_iob_region_t regions[4] = {region(all, 2 * PAGE), region(first, PAGE), region(ZX_IOB_EP0_CAN_MEDIATED_READ, PAGE),
                                  region(ZX_IOB_EP0_CAN_MAP_READ | ZX_IOB_EP1_CAN_MAP_READ, PAGE)};
    OK(zx_iob_create(0, regions, 4, &a, &b));
    OK(zx_vmar_map_iob(root, RW, 0, a, 0, 0, 2 * PAGE, &at));
    OK(zx_vmar_map_iob(root, RW, 0, b, 0, PAGE, PAGE, &other));
    *(int*)(at + PAGE) = 5;
    NUMBER(*(int*)other, 5);
    OK(zx_vmar_map_iob(root, RW, 0, a, 1, 0, PAGE, &other));
    STATUS(zx_vmar_map_iob(root, RW, 0, b, 1, 0, PAGE, &other), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_vmar_map_iob(root, RW, 0, a, 2, 0, PAGE, &other), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_vmar_map_iob(root, RW, 0, a, 3, 0, PAGE, &other), ZX_ERR_ACCESS_DENIED);
    OK(zx_vmar_map_iob(root, ZX_VM_PERM_READ, 0, b, 3, 0, PAGE, &other));
    STATUS(zx_vmar_protect(root, RW, other, PAGE), ZX_ERR_ACCESS_DENIED);
    zx_handle_t reader = with_rights(a, ZX_RIGHT_READ | ZX_RIGHT_MAP);
    STATUS(zx_vmar_map_iob(root, RW, 0, reader, 0, 0, PAGE, &other), ZX_ERR_ACCESS_DENIED);
    OK(zx_handle_close(reader));
    zx_handle_t unmappable = with_rights(a, ZX_RIGHT_READ | ZX_RIGHT_WRITE);
    STATUS(zx_vmar_map_iob(root, RW, 0, unmappable, 0, 0, PAGE, &other), ZX_ERR_ACCESS_DENIED);
    OK(zx_handle_close(unmappable));
    STATUS(zx_vmar_map_iob(root, RW, 0, a, 4, 0, PAGE, &other), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_vmar_map_iob(root, RW, 0, a, 0, UINT64_MAX - PAGE + 1, PAGE, &other), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_vmar_map_iob(root, RW, 0, a, 0, 0, 3 * PAGE, &other), ZX_ERR_BUFFER_TOO_SMALL);
    STATUS(zx_vmar_map_iob(root, RW, 0, a, 0, 0, 0, &other), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_map_iob(root, RW, 0, a, 0, 1, PAGE, &other), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_map_iob(root, RW, PAGE, a, 0, 0, PAGE, &other), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_map_iob(root, RW | ZX_VM_SPECIFIC_OVERWRITE | ZX_VM_MAP_RANGE, 0, a, 0, 0, PAGE, &other), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_map_iob(root, RW, 0, a, 0, 0, PAGE, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_map_iob(NO_HANDLE, RW, 0, a, 0, 0, PAGE, &other), ZX_ERR_BAD_HANDLE);
    STATUS(zx_vmar_map_iob(root, RW, 0, NO_HANDLE, 0, 0, PAGE, &other), ZX_ERR_BAD_HANDLE);
    STATUS(zx_vmar_map_iob(a, RW, 0, a, 0, 0, PAGE, &other), ZX_ERR_WRONG_TYPE);
    STATUS(zx_vmar_map_iob(root, RW, 0, root, 0, 0, PAGE, &other), ZX_ERR_WRONG_TYPE);

    // An end is closed when nothing is mapped through it any more, either.
    OK(zx_iob_create(0, regions, 1, &a, &b));
    OK(zx_vmar_map_iob(root, RW, 0, a, 0, 0, PAGE, &at));
    OK(zx_vmar_map_iob(root, RW, 0, a, 0, 0, PAGE, &other));
    OK(zx_handle_close(a));
    NUMBER(signals_of(b), 0);
    OK(zx_vmar_unmap(root, at, PAGE));
    NUMBER(signals_of(b), 0);
    OK(zx_vmar_unmap(root, other, PAGE));
    NUMBER(signals_of(b), ZX_IOB_PEER_CLOSED);
}

// A region of a ring that others share.
static zx_iob_region_t ring(uint32_t access, zx_handle_t shared, uint64_t tag) {
    zx_iob_region_t region = {0};
    region.type = ZX_IOB_REGION_TYPE_SHARED, region.access = access;
    region.discipline.type = ZX_IOB_DISCIPLINE_TYPE_MEDIATED_WRITE_RING_BUFFER;
    region.discipline.ring_buffer.tag = tag;
    region.shared_region.shared_region = shared;
    return region;
}

static void shared_region(void) {
    zx_handle_t shared, small, a, b;
    OK(zx_iob_create_shared_region(0, 2 * PAGE, &shared));
    NUMBER(rights_of(shared), 0xd0c3);
    zx_info_handle_basic_t basic = {0};
    OK(zx_object_get_info(shared, ZX_INFO_HANDLE_BASIC, &basic, sizeof(basic), 0, 0));
    TRUE(basic.type == ZX_OBJ_TYPE_IOB_SHARED_REGION && basic.related_koid == ZX_KOID_INVALID);
    STATUS(zx_iob_create_shared_region(1, PAGE, &a), ZX_ERR_INVALID_ARGS);
    STATUS(zx_iob_create_shared_region(0, 0, &a), ZX_ERR_INVALID_ARGS);
    STATUS(zx_iob_create_shared_region(0, PAGE + 3, &a), ZX_ERR_INVALID_ARGS);
    STATUS(zx_iob_create_shared_region(0, PAGE, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_iob_create_shared_region(0, UINT64_MAX - PAGE + 1, &a), ZX_ERR_OUT_OF_RANGE);

    zx_iob_region_t one = ring(all, shared, 7);
    OK(zx_iob_create(0, &one, 1, &a, &b));
    zx_iob_region_info_t info = {0};
    OK(zx_object_get_info(a, ZX_INFO_IOB_REGIONS, &info, sizeof(info), 0, 0));
    TRUE(info.koid == koid_of(shared) && info.region.size == 2 * PAGE && info.region.type == ZX_IOB_REGION_TYPE_SHARED);
    TRUE(info.region.discipline.type == one.discipline.type && info.region.discipline.ring_buffer.tag == 7);
    one.size = 2 * PAGE;
    STATUS(zx_iob_create(0, &one, 1, &a, &b), ZX_ERR_INVALID_ARGS);
    one = ring(all, shared, 7), one.shared_region.options = 1;
    STATUS(zx_iob_create(0, &one, 1, &a, &b), ZX_ERR_INVALID_ARGS);
    for (uint64_t type = ZX_IOB_DISCIPLINE_TYPE_NONE; type <= ZX_IOB_DISCIPLINE_TYPE_ID_ALLOCATOR; type++) {
        one = ring(all, shared, 7), one.discipline.type = type;
        STATUS(zx_iob_create(0, &one, 1, &a, &b), ZX_ERR_INVALID_ARGS);
    }
    one = region(all, 2 * PAGE), one.discipline.type = ZX_IOB_DISCIPLINE_TYPE_MEDIATED_WRITE_RING_BUFFER;
    STATUS(zx_iob_create(0, &one, 1, &a, &b), ZX_ERR_INVALID_ARGS);
    OK(zx_iob_create_shared_region(0, PAGE, &small));
    one = ring(all, small, 7);
    STATUS(zx_iob_create(0, &one, 1, &a, &b), ZX_ERR_INVALID_ARGS);
    one = ring(all, NO_HANDLE, 7);
    STATUS(zx_iob_create(0, &one, 1, &a, &b), ZX_ERR_BAD_HANDLE);
    one = ring(all, zx_vmar_root_self(), 7);
    STATUS(zx_iob_create(0, &one, 1, &a, &b), ZX_ERR_WRONG_TYPE);
}

static void writev(void) {
    zx_handle_t shared, a, b, port;
    OK(zx_iob_create_shared_region(0, 2 * PAGE, &shared));
    zx_iob_region_t regions[2] = {ring(first | ZX_IOB_EP1_CAN_MEDIATED_WRITE, shared, 0x0123456789abcdef), region(all, PAGE)};
    OK(zx_iob_create(0, regions, 2, &a, &b));
    zx_vaddr_t at = 0;
    OK(zx_vmar_map_iob(zx_vmar_root_self(), RW, 0, a, 0, 0, 2 * PAGE, &at));
    volatile uint64_t *head = (uint64_t*)at, *tail = head + 1, *messages = (uint64_t*)(at + PAGE);

    OK(zx_port_create(0, &port));
    OK(zx_object_wait_async(shared, port, 5, ZX_IOB_SHARED_REGION_UPDATED, 0));
    zx_port_packet_t packet = {0};
    STATUS(zx_port_wait(port, 0, &packet), ZX_ERR_TIMED_OUT);
    char text[] = "12345";
    zx_iovec_t vector[9] = {{text, 3}, {text + 3, 3}};
    OK(zx_iob_writev(b, 0, 0, vector, 2));
    OK(zx_port_wait(port, 0, &packet));
    TRUE(packet.key == 5 && packet.signal.observed == ZX_IOB_SHARED_REGION_UPDATED);
    NUMBER(signals_of(shared), 0);
    TRUE(*head == 24 && *tail == 0 && messages[0] == 0x0123456789abcdef && messages[1] == 6);
    TRUE(messages[2] == 0x3534333231);

    STATUS(zx_iob_writev(a, 0, 0, vector, 2), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_iob_writev(with_rights(b, ZX_RIGHT_READ), 0, 0, vector, 2), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_iob_writev(b, 1, 0, vector, 2), ZX_ERR_INVALID_ARGS);
    STATUS(zx_iob_writev(NO_HANDLE, 0, 0, vector, 2), ZX_ERR_BAD_HANDLE);
    STATUS(zx_iob_writev(shared, 0, 0, vector, 2), ZX_ERR_WRONG_TYPE);
    STATUS(zx_iob_writev(b, 0, 2, vector, 2), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_iob_writev(b, 0, 1, vector, 2), ZX_ERR_WRONG_TYPE);
    STATUS(zx_iob_writev(b, 0, 0, BAD, 1), ZX_ERR_INVALID_ARGS);
    STATUS(zx_iob_writev(b, 0, 0, vector, 9), ZX_ERR_INVALID_ARGS);
    zx_iovec_t wrong[2] = {{BAD, 5}};
    STATUS(zx_iob_writev(b, 0, 0, wrong, 1), ZX_ERR_NOT_FOUND);
    wrong[0].capacity = wrong[1].capacity = SIZE_MAX;
    STATUS(zx_iob_writev(b, 0, 0, wrong, 2), ZX_ERR_INVALID_ARGS);
    static char large[1 << 16];
    zx_iovec_t all_of_it = {large, 65535 - 16 + 1};
    STATUS(zx_iob_writev(b, 0, 0, &all_of_it, 1), ZX_ERR_INVALID_ARGS);
    all_of_it.capacity--;
    STATUS(zx_iob_writev(b, 0, 0, &all_of_it, 1), ZX_ERR_NO_SPACE);
    all_of_it.capacity = PAGE - 16;
    STATUS(zx_iob_writev(b, 0, 0, &all_of_it, 1), ZX_ERR_NO_SPACE);
    *tail = 24;
    OK(zx_iob_writev(b, 0, 0, &all_of_it, 1));
    // It went around the end.
    TRUE(*head == 24 + PAGE && messages[3] == 0x0123456789abcdef && messages[0] == 0 && messages[2] == 0);
    *tail = *head + 8;
    STATUS(zx_iob_writev(b, 0, 0, vector, 1), ZX_ERR_IO_DATA_INTEGRITY);
    *tail = *head = 9;
    STATUS(zx_iob_writev(b, 0, 0, vector, 1), ZX_ERR_IO_DATA_INTEGRITY);
    *tail = *head = UINT64_MAX - 15;
    STATUS(zx_iob_writev(b, 0, 0, vector, 1), ZX_ERR_IO_DATA_INTEGRITY);
    // All of it stays where it is.
    STATUS(zx_vmar_op_range(zx_vmar_root_self(), ZX_VMAR_OP_DECOMMIT, at, 2 * PAGE, 0, 0), ZX_ERR_BAD_STATE);
}

static void allocate_id(void) {
    zx_handle_t a, b;
    zx_iob_region_t regions[2] = {region(first | ZX_IOB_EP1_CAN_MEDIATED_WRITE, PAGE), region(all, PAGE)};
    regions[0].discipline.type = ZX_IOB_DISCIPLINE_TYPE_ID_ALLOCATOR;
    OK(zx_iob_create(0, regions, 2, &a, &b));
    zx_vaddr_t at = 0;
    OK(zx_vmar_map_iob(zx_vmar_root_self(), RW, 0, a, 0, 0, PAGE, &at));
    volatile uint32_t* words = (uint32_t*)at;
    TRUE(words[0] == 0 && words[1] == PAGE);
    uint32_t id = 9;
    OK(zx_iob_allocate_id(b, 0, 0, "blob", 4, &id));
    TRUE(id == 0 && words[0] == 1 && words[1] == PAGE - 4 && words[2] == 4 && words[3] == PAGE - 4);
    OK(zx_iob_allocate_id(b, 0, 0, "other", 5, &id));
    TRUE(id == 1 && *(char*)(at + PAGE - 4) == 'b' && *(char*)(at + PAGE - 9) == 'o');
    STATUS(zx_iob_allocate_id(b, 1, 0, "blob", 4, &id), ZX_ERR_INVALID_ARGS);
    STATUS(zx_iob_allocate_id(b, 0, 2, "blob", 4, &id), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_iob_allocate_id(b, 0, 1, "blob", 4, &id), ZX_ERR_WRONG_TYPE);
    STATUS(zx_iob_allocate_id(a, 0, 0, "blob", 4, &id), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_iob_allocate_id(with_rights(b, ZX_RIGHT_READ), 0, 0, "blob", 4, &id), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_iob_allocate_id(NO_HANDLE, 0, 0, "blob", 4, &id), ZX_ERR_BAD_HANDLE);
    STATUS(zx_iob_allocate_id(zx_vmar_root_self(), 0, 0, "blob", 4, &id), ZX_ERR_WRONG_TYPE);
    STATUS(zx_iob_allocate_id(b, 0, 0, BAD, 4, &id), ZX_ERR_INVALID_ARGS);
    static char large[2 * PAGE];
    STATUS(zx_iob_allocate_id(b, 0, 0, large, sizeof(large), &id), ZX_ERR_NO_MEMORY);
    TRUE(words[0] == 2);
    STATUS(zx_iob_allocate_id(b, 0, 0, "blob", 4, BAD), ZX_ERR_INVALID_ARGS);
    words[0] = UINT32_MAX;
    STATUS(zx_iob_allocate_id(b, 0, 0, "blob", 4, &id), ZX_ERR_IO_DATA_INTEGRITY);
    STATUS(zx_vmar_op_range(zx_vmar_root_self(), ZX_VMAR_OP_DECOMMIT, at, PAGE, 0, 0), ZX_ERR_BAD_STATE);
}

int main(void) {
    create();
    info();
    map();
    shared_region();
    writev();
    allocate_id();
    return finish();
}
