// VMOs and VMARs.

#include "check.h"

#define PAGE 4096ul
#define RW (ZX_VM_PERM_READ | ZX_VM_PERM_WRITE)

static void vmos(void) {
    zx_handle_t vmo, child, none;
    uint64_t size = 0;
    char text[8] = {0};
    OK(zx_vmo_create(5000, 0, &vmo));
    OK(zx_vmo_get_size(vmo, &size));
    NUMBER(size, 2 * PAGE);
    NUMBER(rights_of(vmo), 0xd0ef);
    STATUS(zx_vmo_create(PAGE, 1u << 31, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_create(PAGE, 0, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_create(UINT64_MAX, 0, &none), ZX_ERR_OUT_OF_RANGE);

    OK(zx_vmo_write(vmo, "hello", PAGE - 2, 5));
    OK(zx_vmo_read(vmo, text, PAGE - 2, 5));
    TRUE(text[0] == 'h' && text[4] == 'o');
    OK(zx_vmo_read(vmo, text, 2 * PAGE, 0));
    STATUS(zx_vmo_read(vmo, text, 2 * PAGE - 1, 2), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_vmo_write(vmo, text, UINT64_MAX, 2), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_vmo_read(vmo, 0, 0, 1), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_write(vmo, 0, 0, 1), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_read(vmo, (void*)(1ul << 63), 0, 1), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_write(vmo, (void*)(1ul << 63), 0, 1), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_read(vmo, BAD, 0, 1), ZX_ERR_NOT_FOUND);
    STATUS(zx_vmo_write(vmo, BAD, 0, 1), ZX_ERR_NOT_FOUND);
    STATUS(zx_vmo_write(NO_HANDLE, text, 0, 1), ZX_ERR_BAD_HANDLE);
    STATUS(zx_vmo_write(zx_process_self(), text, 0, 1), ZX_ERR_WRONG_TYPE);
    STATUS(zx_vmo_get_size(NO_HANDLE, &size), ZX_ERR_BAD_HANDLE);
    STATUS(zx_vmo_get_size(zx_process_self(), &size), ZX_ERR_WRONG_TYPE);
    STATUS(zx_vmo_set_size(NO_HANDLE, PAGE), ZX_ERR_BAD_HANDLE);
    STATUS(zx_vmo_set_size(zx_process_self(), PAGE), ZX_ERR_WRONG_TYPE);
    STATUS(zx_vmo_op_range(NO_HANDLE, ZX_VMO_OP_COMMIT, 0, PAGE, 0, 0), ZX_ERR_BAD_HANDLE);
    STATUS(zx_vmo_op_range(zx_process_self(), ZX_VMO_OP_COMMIT, 0, PAGE, 0, 0), ZX_ERR_WRONG_TYPE);
    STATUS(zx_vmo_read(NO_HANDLE, text, 0, 1), ZX_ERR_BAD_HANDLE);
    STATUS(zx_vmo_read(zx_process_self(), text, 0, 1), ZX_ERR_WRONG_TYPE);
    STATUS(zx_vmo_read(with_rights(vmo, ZX_RIGHT_WRITE), text, 0, 1), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_vmo_write(with_rights(vmo, ZX_RIGHT_READ), text, 0, 1), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_vmo_get_size(vmo, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_set_size(vmo, PAGE), ZX_ERR_ACCESS_DENIED);
    uint64_t content = 0;
    OK(zx_object_get_property(vmo, ZX_PROP_VMO_CONTENT_SIZE, &content, sizeof(content)));
    NUMBER(content, 5000);
    content = 100;
    OK(zx_object_set_property(vmo, ZX_PROP_VMO_CONTENT_SIZE, &content, sizeof(content)));
    OK(zx_object_get_property(vmo, ZX_PROP_VMO_CONTENT_SIZE, &content, sizeof(content)));
    NUMBER(content, 100);
    OK(zx_vmo_read(vmo, text, PAGE - 2, 5)); // what is behind the content is zero
    TRUE(text[0] == 0 && text[4] == 0);
    STATUS(zx_object_get_property(vmo, ZX_PROP_VMO_CONTENT_SIZE, &content, 7), ZX_ERR_BUFFER_TOO_SMALL);
    STATUS(zx_object_get_property(zx_process_self(), ZX_PROP_VMO_CONTENT_SIZE, &content, 8), ZX_ERR_WRONG_TYPE);

    OK(zx_vmo_op_range(vmo, ZX_VMO_OP_COMMIT, 0, 2 * PAGE, 0, 0));
    OK(zx_vmo_write(vmo, "hello", PAGE - 2, 5));
    OK(zx_vmo_op_range(vmo, ZX_VMO_OP_ZERO, PAGE, 2, 0, 0));
    OK(zx_vmo_read(vmo, text, PAGE - 2, 5));
    TRUE(text[0] == 'h' && text[1] == 'e' && text[2] == 0 && text[3] == 0 && text[4] == 'o');
    OK(zx_vmo_op_range(vmo, ZX_VMO_OP_DECOMMIT, 0, PAGE, 0, 0));
    OK(zx_vmo_read(vmo, text, PAGE - 2, 2));
    NUMBER(text[0], 0);
    STATUS(zx_vmo_op_range(vmo, ZX_VMO_OP_COMMIT, PAGE, 2 * PAGE, 0, 0), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_vmo_op_range(vmo, 99, 0, PAGE, 0, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_op_range(with_rights(vmo, ZX_RIGHT_READ), ZX_VMO_OP_COMMIT, 0, PAGE, 0, 0), ZX_ERR_ACCESS_DENIED);

    OK(zx_vmo_op_range(vmo, ZX_VMO_OP_CACHE_CLEAN, 0, PAGE, 0, 0));
    STATUS(zx_vmo_op_range(vmo, ZX_VMO_OP_CACHE_CLEAN, 0, 0, 0, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_op_range(vmo, ZX_VMO_OP_TRY_LOCK, 0, 2 * PAGE, 0, 0), ZX_ERR_NOT_SUPPORTED);

    // One that may be discarded while it is not locked.
    zx_vmo_lock_state_t lock = {7, 7, 7, 7};
    OK(zx_vmo_create(PAGE, ZX_VMO_DISCARDABLE, &child));
    OK(zx_vmo_op_range(child, ZX_VMO_OP_TRY_LOCK, 0, PAGE, 0, 0));
    OK(zx_vmo_op_range(child, ZX_VMO_OP_LOCK, 0, PAGE, &lock, sizeof(lock)));
    TRUE(lock.offset == 0 && lock.size == PAGE && lock.discarded_offset == 0 && lock.discarded_size == 0);
    STATUS(zx_vmo_op_range(child, ZX_VMO_OP_LOCK, 0, PAGE, &lock, sizeof(lock) - 1), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_op_range(child, ZX_VMO_OP_LOCK, 0, PAGE, BAD, sizeof(lock)), ZX_ERR_INVALID_ARGS);
    OK(zx_vmo_op_range(child, ZX_VMO_OP_UNLOCK, 0, PAGE, 0, 0));
    OK(zx_vmo_op_range(child, ZX_VMO_OP_UNLOCK, 0, PAGE, 0, 0));
    STATUS(zx_vmo_op_range(child, ZX_VMO_OP_UNLOCK, 0, PAGE, 0, 0), ZX_ERR_BAD_STATE);

    OK(zx_vmo_create(PAGE, ZX_VMO_RESIZABLE, &child));
    TRUE((rights_of(child) & ZX_RIGHT_RESIZE) != 0);
    OK(zx_vmo_set_size(child, 3 * PAGE));
    OK(zx_vmo_get_size(child, &size));
    NUMBER(size, 3 * PAGE);
    STATUS(zx_vmo_set_size(with_rights(child, ZX_RIGHT_READ), PAGE), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_vmo_set_size(child, UINT64_MAX), ZX_ERR_OUT_OF_RANGE);

    // One that is not cached cannot be copied from or to.
    STATUS(zx_vmo_set_cache_policy(vmo, ZX_CACHE_POLICY_UNCACHED), ZX_ERR_NOT_SUPPORTED);
    child = uncached(zx_take_startup_handle(PA_HND(PA_RESOURCE, 0)), PAGE);
    STATUS(zx_vmo_read(child, text, 0, 1), ZX_ERR_BAD_STATE);
    STATUS(zx_vmo_write(child, text, 0, 1), ZX_ERR_BAD_STATE);

    // A snapshot keeps what the parent loses.
    OK(zx_vmo_write(vmo, "p", 0, 1));
    OK(zx_vmo_create_child(vmo, ZX_VMO_CHILD_SNAPSHOT, 0, PAGE, &child));
    OK(zx_vmo_write(vmo, "q", 0, 1));
    OK(zx_vmo_read(child, text, 0, 1));
    NUMBER(text[0], 'p');
    TRUE((rights_of(child) & ZX_RIGHT_EXECUTE) == 0 && (rights_of(child) & ZX_RIGHT_WRITE) != 0);
    OK(zx_vmo_create_child(vmo, ZX_VMO_CHILD_SLICE, 0, PAGE, &child));
    OK(zx_vmo_write(child, "s", 0, 1));
    OK(zx_vmo_read(vmo, text, 0, 1));
    NUMBER(text[0], 's');
    STATUS(zx_vmo_create_child(vmo, 0, 0, PAGE, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_create_child(vmo, ZX_VMO_CHILD_SNAPSHOT | ZX_VMO_CHILD_SLICE, 0, PAGE, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_create_child(vmo, ZX_VMO_CHILD_SLICE | ZX_VMO_CHILD_RESIZABLE, 0, PAGE, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_create_child(vmo, ZX_VMO_CHILD_SNAPSHOT, 1, PAGE, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_create_child(with_rights(vmo, ZX_RIGHT_READ), ZX_VMO_CHILD_SNAPSHOT, 0, PAGE, &none), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_vmo_create_child(NO_HANDLE, ZX_VMO_CHILD_SNAPSHOT, 0, PAGE, &none), ZX_ERR_BAD_HANDLE);
    STATUS(zx_vmo_create_child(zx_process_self(), ZX_VMO_CHILD_SNAPSHOT, 0, PAGE, &none), ZX_ERR_WRONG_TYPE);
    STATUS(zx_vmo_create_child(vmo, ZX_VMO_CHILD_SNAPSHOT, PAGE, UINT64_MAX, &none), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_vmo_create_child(vmo, ZX_VMO_CHILD_SNAPSHOT, 0, PAGE, BAD), ZX_ERR_INVALID_ARGS);
    OK(zx_vmo_create(PAGE, ZX_VMO_DISCARDABLE, &child));
    STATUS(zx_vmo_create_child(child, ZX_VMO_CHILD_SNAPSHOT, 0, PAGE, &none), ZX_ERR_NOT_SUPPORTED);
}

static void vmars(void) {
    zx_handle_t root = zx_vmar_root_self(), vmo, child, none_there;
    zx_vaddr_t at = 0, base = 0, none;
    zx_info_vmar_t info;
    OK(zx_object_get_info(root, ZX_INFO_VMAR, &info, sizeof(info), 0, 0));
    TRUE(info.len > 1ul << 30);
    OK(zx_vmo_create(4 * PAGE, 0, &vmo));

    OK(zx_vmar_allocate(root, ZX_VM_CAN_MAP_READ | ZX_VM_CAN_MAP_WRITE | ZX_VM_CAN_MAP_SPECIFIC, 0, 16 * PAGE, &child, &base));
    OK(zx_object_get_info(child, ZX_INFO_VMAR, &info, sizeof(info), 0, 0));
    TRUE(info.base == base && info.len == 16 * PAGE);
    OK(zx_vmar_map(child, RW | ZX_VM_SPECIFIC, 4 * PAGE, vmo, 0, 4 * PAGE, &at));
    NUMBER(at, base + 4 * PAGE);
    *(int*)at = 5;
    OK(zx_vmar_map(child, RW | ZX_VM_SPECIFIC, 0, vmo, 0, PAGE, &at));
    NUMBER(*(int*)at, 5);
    OK(zx_vmar_map(child, ZX_VM_PERM_READ | ZX_VM_SPECIFIC_OVERWRITE, 5 * PAGE, vmo, 0, PAGE, &at));
    NUMBER(*(int*)at, 5);
    OK(zx_vmar_map(child, ZX_VM_PERM_READ, 0, vmo, 0, PAGE, &at));
    TRUE(at >= base && at < base + 16 * PAGE);

    STATUS(zx_vmar_map(child, RW | ZX_VM_PERM_EXECUTE, 0, vmo, 0, PAGE, &none), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_vmar_map(child, ZX_VM_PERM_WRITE, 0, vmo, 0, PAGE, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_map(child, RW, PAGE, vmo, 0, PAGE, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_map(child, RW, 0, vmo, 1, PAGE, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_map(child, RW | ZX_VM_SPECIFIC_OVERWRITE | ZX_VM_MAP_RANGE, 0, vmo, 0, PAGE, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_map(child, RW, 0, vmo, 0, 0, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_map(child, RW, 0, vmo, UINT64_MAX - PAGE + 1, PAGE, &none), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_vmar_map(child, RW, 0, vmo, 0, 5 * PAGE, &none), ZX_ERR_BUFFER_TOO_SMALL);
    STATUS(zx_vmar_map(child, RW, 0, with_rights(vmo, ZX_RIGHT_MAP | ZX_RIGHT_READ), 0, PAGE, &none), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_vmar_map(child, RW, 0, with_rights(vmo, ZX_RIGHT_READ | ZX_RIGHT_WRITE), 0, PAGE, &none), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_vmar_map(NO_HANDLE, RW, 0, vmo, 0, PAGE, &none), ZX_ERR_BAD_HANDLE);
    STATUS(zx_vmar_map(child, RW, 0, NO_HANDLE, 0, PAGE, &none), ZX_ERR_BAD_HANDLE);
    STATUS(zx_vmar_map(vmo, RW, 0, vmo, 0, PAGE, &none), ZX_ERR_WRONG_TYPE);
    STATUS(zx_vmar_map(child, RW, 0, child, 0, PAGE, &none), ZX_ERR_WRONG_TYPE);
    STATUS(zx_vmar_map(child, RW, 0, vmo, 0, PAGE, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_map(child, 1u << 20, 0, vmo, 0, PAGE, &none), ZX_ERR_INVALID_ARGS);

    OK(zx_vmar_protect(child, ZX_VM_PERM_READ, base, PAGE));
    STATUS(zx_vmar_protect(child, ZX_VM_PERM_READ | ZX_VM_PERM_EXECUTE, base, PAGE), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_vmar_protect(child, ZX_VM_SPECIFIC, base, PAGE), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_protect(child, ZX_VM_PERM_READ, base + 1, PAGE), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_protect(child, ZX_VM_PERM_READ, base, 2 * PAGE), ZX_ERR_NOT_FOUND);
    STATUS(zx_vmar_protect(NO_HANDLE, ZX_VM_PERM_READ, base, PAGE), ZX_ERR_BAD_HANDLE);
    STATUS(zx_vmar_protect(vmo, ZX_VM_PERM_READ, base, PAGE), ZX_ERR_WRONG_TYPE);
    STATUS(zx_vmar_map(child, RW | ZX_VM_SPECIFIC, 0, vmo, 0, PAGE, &none), ZX_ERR_ALREADY_EXISTS);
    STATUS(zx_vmar_map(child, RW | ZX_VM_ALLOW_FAULTS, 0, vmo, 0, 32 * PAGE, &none), ZX_ERR_NO_RESOURCES);
    OK(zx_vmar_unmap(child, base, PAGE));
    STATUS(zx_vmar_unmap(child, base + 1, PAGE), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_unmap(child, base, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_unmap(NO_HANDLE, base, PAGE), ZX_ERR_BAD_HANDLE);
    STATUS(zx_vmar_unmap(vmo, base, PAGE), ZX_ERR_WRONG_TYPE);

    zx_handle_t grandchild;
    OK(zx_vmar_allocate(child, ZX_VM_SPECIFIC | ZX_VM_CAN_MAP_READ, 0, PAGE, &grandchild, &at));
    NUMBER(at, base);
    STATUS(zx_vmar_map(grandchild, RW, 0, vmo, 0, PAGE, &none), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_vmar_allocate(child, ZX_VM_CAN_MAP_EXECUTE, 0, PAGE, &grandchild, &at), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_vmar_allocate(child, ZX_VM_PERM_READ, 0, PAGE, &grandchild, &at), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_allocate(child, 0, 0, 0, &grandchild, &at), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_allocate(NO_HANDLE, 0, 0, PAGE, &grandchild, &at), ZX_ERR_BAD_HANDLE);
    STATUS(zx_vmar_allocate(vmo, 0, 0, PAGE, &grandchild, &at), ZX_ERR_WRONG_TYPE);
    STATUS(zx_vmar_allocate(child, 0, 0, 32 * PAGE, &grandchild, &at), ZX_ERR_NO_RESOURCES);
    STATUS(zx_vmar_destroy(vmo), ZX_ERR_WRONG_TYPE);
    STATUS(zx_vmar_destroy(root), ZX_ERR_NOT_SUPPORTED);
    OK(zx_vmar_destroy(child));
    STATUS(zx_vmar_destroy(child), ZX_ERR_BAD_STATE);
    STATUS(zx_vmar_map(child, RW, 0, vmo, 0, PAGE, &none), ZX_ERR_BAD_STATE);
    STATUS(zx_vmar_map(grandchild, ZX_VM_PERM_READ, 0, vmo, 0, PAGE, &none), ZX_ERR_BAD_STATE);
    STATUS(zx_vmar_destroy(NO_HANDLE), ZX_ERR_BAD_HANDLE);
    STATUS(zx_vmar_allocate(child, 0, 0, PAGE, &none_there, &at), ZX_ERR_BAD_STATE);
    STATUS(zx_vmar_unmap(child, base, PAGE), ZX_ERR_BAD_STATE);
    STATUS(zx_vmar_protect(child, ZX_VM_PERM_READ, base, PAGE), ZX_ERR_BAD_STATE);
    STATUS(zx_vmar_unmap_handle_close_thread_exit(child, base, PAGE, ZX_HANDLE_INVALID), ZX_ERR_BAD_STATE);
    STATUS(zx_vmar_unmap_handle_close_thread_exit(vmo, base, PAGE, ZX_HANDLE_INVALID), ZX_ERR_WRONG_TYPE);
    STATUS(zx_vmar_unmap_handle_close_thread_exit(NO_HANDLE, base, PAGE, ZX_HANDLE_INVALID), ZX_ERR_BAD_HANDLE);
    STATUS(zx_vmar_unmap_handle_close_thread_exit(root, base + 1, PAGE, ZX_HANDLE_INVALID), ZX_ERR_INVALID_ARGS);
}

// What moves, and what a VMO's stream size and an unbounded one are.
static void more_vmos(void) {
    zx_handle_t to, from, none;
    uint64_t size = 0;
    char text[4] = {0};
    OK(zx_vmo_create(4 * PAGE, 0, &to));
    OK(zx_vmo_create(4 * PAGE, 0, &from));
    OK(zx_vmo_write(from, "abc", PAGE, 3));
    OK(zx_vmo_write(to, "old", 2 * PAGE, 3));
    OK(zx_vmo_transfer_data(to, 0, 2 * PAGE, 2 * PAGE, from, PAGE));
    OK(zx_vmo_read(to, text, 2 * PAGE, 3));
    TRUE(text[0] == 'a' && text[2] == 'c');
    OK(zx_vmo_read(from, text, PAGE, 3));
    TRUE(text[0] == 0 && text[2] == 0);
    STATUS(zx_vmo_transfer_data(to, 1, 0, PAGE, from, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_transfer_data(to, 0, 1, PAGE, from, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_transfer_data(to, 0, 0, 1, from, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_transfer_data(to, 0, 0, PAGE, from, 1), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_transfer_data(to, 0, 4 * PAGE, PAGE, from, 0), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_vmo_transfer_data(to, 0, 0, PAGE, from, 4 * PAGE), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_vmo_transfer_data(NO_HANDLE, 0, 0, PAGE, from, 0), ZX_ERR_BAD_HANDLE);
    STATUS(zx_vmo_transfer_data(zx_process_self(), 0, 0, PAGE, from, 0), ZX_ERR_WRONG_TYPE);
    STATUS(zx_vmo_transfer_data(to, 0, 0, PAGE, zx_process_self(), 0), ZX_ERR_WRONG_TYPE);
    STATUS(zx_vmo_transfer_data(to, 0, 0, PAGE, NO_HANDLE, 0), ZX_ERR_BAD_HANDLE);
    STATUS(zx_vmo_transfer_data(to, 0, 0, PAGE, with_rights(from, ZX_RIGHT_READ), 0), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_vmo_transfer_data(with_rights(to, ZX_RIGHT_READ), 0, 0, PAGE, from, 0), ZX_ERR_ACCESS_DENIED);

    OK(zx_vmo_set_stream_size(to, 100));
    OK(zx_vmo_get_stream_size(to, &size));
    NUMBER(size, 100);
    STATUS(zx_vmo_set_stream_size(to, 4 * PAGE + 1), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_vmo_set_stream_size(with_rights(to, ZX_RIGHT_READ), 1), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_vmo_set_stream_size(NO_HANDLE, 1), ZX_ERR_BAD_HANDLE);
    STATUS(zx_vmo_set_stream_size(zx_process_self(), 1), ZX_ERR_WRONG_TYPE);
    STATUS(zx_vmo_get_stream_size(NO_HANDLE, &size), ZX_ERR_BAD_HANDLE);
    STATUS(zx_vmo_get_stream_size(to, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_get_stream_size(zx_process_self(), &size), ZX_ERR_WRONG_TYPE);

    STATUS(zx_vmo_create(0, ZX_VMO_UNBOUNDED | ZX_VMO_RESIZABLE, &none), ZX_ERR_INVALID_ARGS);
    OK(zx_vmo_create(5, ZX_VMO_UNBOUNDED, &to));
    OK(zx_vmo_get_size(to, &size));
    TRUE(size >= 1ul << 60);
    OK(zx_vmo_get_stream_size(to, &size));
    NUMBER(size, 5);
    OK(zx_vmo_write(to, "far", 1ul << 59, 3));
    OK(zx_vmo_read(to, text, 1ul << 59, 3));
    TRUE(text[0] == 'f' && text[2] == 'r');
    STATUS(zx_vmo_set_size(to, PAGE), ZX_ERR_ACCESS_DENIED);
}

// Operations on what is mapped, and where things may go.
static void more_vmars(void) {
    zx_handle_t root = zx_vmar_root_self(), vmo, resizable, child, none;
    zx_vaddr_t at = 0, base = 0;
    zx_info_vmo_t info = {0};
    OK(zx_vmo_create(4 * PAGE, 0, &vmo));
    OK(zx_vmar_map(root, RW, 0, vmo, 0, 4 * PAGE, &at));
    *(int*)(at + PAGE) = 7;
    OK(zx_vmar_op_range(root, ZX_VMAR_OP_COMMIT, at, 4 * PAGE, 0, 0));
    OK(zx_object_get_info(vmo, ZX_INFO_VMO, &info, sizeof(info), 0, 0));
    NUMBER(info.committed_bytes, 4 * PAGE);
    OK(zx_vmar_op_range(root, ZX_VMAR_OP_DECOMMIT, at, 2 * PAGE, 0, 0));
    NUMBER(*(int*)(at + PAGE), 0);
    *(int*)(at + 2 * PAGE) = 7;
    OK(zx_vmar_op_range(root, ZX_VMAR_OP_ZERO, at + 2 * PAGE, PAGE, 0, 0));
    NUMBER(*(int*)(at + 2 * PAGE), 0);
    OK(zx_vmar_op_range(root, ZX_VMAR_OP_MAP_RANGE, at, 4 * PAGE, 0, 0));
    OK(zx_vmar_op_range(root, ZX_VMAR_OP_PREFETCH, at, 4 * PAGE, 0, 0));
    OK(zx_vmar_op_range(root, ZX_VMAR_OP_DONT_NEED, at, 4 * PAGE, 0, 0));
    OK(zx_vmar_op_range(root, ZX_VMAR_OP_ALWAYS_NEED, at, 4 * PAGE, 0, 0));
    STATUS(zx_vmar_op_range(root, 99, at, PAGE, 0, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_op_range(root, ZX_VMAR_OP_MAP_RANGE, at, PAGE, &info, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_op_range(root, ZX_VMAR_OP_MAP_RANGE, at, PAGE, 0, 1), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_op_range(root, ZX_VMAR_OP_MAP_RANGE, at, 0, 0, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_op_range(root, ZX_VMAR_OP_MAP_RANGE, at + 1, PAGE, 0, 0), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmar_op_range(NO_HANDLE, ZX_VMAR_OP_MAP_RANGE, at, PAGE, 0, 0), ZX_ERR_BAD_HANDLE);
    STATUS(zx_vmar_op_range(vmo, ZX_VMAR_OP_MAP_RANGE, at, PAGE, 0, 0), ZX_ERR_WRONG_TYPE);
    STATUS(zx_vmar_op_range(with_rights(root, ZX_RIGHT_READ), ZX_VMAR_OP_DECOMMIT, at, PAGE, 0, 0), ZX_ERR_ACCESS_DENIED);
    OK(zx_vmar_protect(root, ZX_VM_PERM_READ, at, PAGE));
    STATUS(zx_vmar_op_range(root, ZX_VMAR_OP_DECOMMIT, at, PAGE, 0, 0), ZX_ERR_ACCESS_DENIED);
    OK(zx_vmar_unmap(root, at + PAGE, PAGE));
    STATUS(zx_vmar_op_range(root, ZX_VMAR_OP_MAP_RANGE, at, 2 * PAGE, 0, 0), ZX_ERR_BAD_STATE);
    OK(zx_vmo_create_child(vmo, ZX_VMO_CHILD_SNAPSHOT, 0, PAGE, &child));
    OK(zx_vmar_map(root, RW, 0, child, 0, PAGE, &at));
    STATUS(zx_vmar_op_range(root, ZX_VMAR_OP_DECOMMIT, at, PAGE, 0, 0), ZX_ERR_NOT_SUPPORTED);

    // Where one may not say where, and where what one says is not aligned.
    OK(zx_vmar_allocate(root, ZX_VM_CAN_MAP_READ | ZX_VM_COMPACT | ZX_VM_ALIGN_1MB, 0, 16 * PAGE, &child, &base));
    NUMBER(base & ((1ul << 20) - 1), 0);
    STATUS(zx_vmar_op_range(child, ZX_VMAR_OP_MAP_RANGE, at, PAGE, 0, 0), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_vmar_map(child, ZX_VM_PERM_READ | ZX_VM_SPECIFIC, PAGE, vmo, 0, PAGE, &at), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_vmar_map(child, ZX_VM_PERM_READ | ZX_VM_SPECIFIC_OVERWRITE, PAGE, vmo, 0, PAGE, &at), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_vmar_map(child, ZX_VM_PERM_READ | ZX_VM_OFFSET_IS_UPPER_LIMIT, 8 * PAGE, vmo, 0, PAGE, &at), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_vmar_allocate(child, ZX_VM_SPECIFIC, PAGE, PAGE, &none, &at), ZX_ERR_ACCESS_DENIED);
    OK(zx_vmar_map(child, ZX_VM_PERM_READ, 0, vmo, 0, PAGE, &at));
    OK(zx_vmar_map(child, ZX_VM_PERM_READ | ZX_VM_ALIGN_32KB, 0, vmo, 0, PAGE, &at));
    NUMBER(at & 0x7fff, 0);
    OK(zx_vmar_destroy(child));
    OK(zx_vmar_allocate(root, ZX_VM_CAN_MAP_READ | ZX_VM_CAN_MAP_SPECIFIC | ZX_VM_ALIGN_64KB, 0, 32 * PAGE, &child, &base));
    STATUS(zx_vmar_map(child, ZX_VM_PERM_READ | ZX_VM_SPECIFIC | ZX_VM_ALIGN_16KB, PAGE, vmo, 0, PAGE, &at), ZX_ERR_INVALID_ARGS);
    OK(zx_vmar_map(child, ZX_VM_PERM_READ | ZX_VM_SPECIFIC | ZX_VM_ALIGN_16KB, 4 * PAGE, vmo, 0, PAGE, &at));

    // What could fault is mapped only if one says that one knows.
    OK(zx_vmo_create(4 * PAGE, ZX_VMO_RESIZABLE, &resizable));
    STATUS(zx_vmar_map(root, RW, 0, resizable, 0, PAGE, &at), ZX_ERR_NOT_SUPPORTED);
    OK(zx_vmar_map(root, RW | ZX_VM_ALLOW_FAULTS, 0, resizable, 0, PAGE, &at));
    STATUS(zx_vmar_map(root, RW | ZX_VM_ALLOW_FAULTS | ZX_VM_REQUIRE_NON_RESIZABLE, 0, resizable, 0, PAGE, &at), ZX_ERR_NOT_SUPPORTED);
    OK(zx_vmo_create(PAGE, ZX_VMO_DISCARDABLE, &resizable));
    STATUS(zx_vmar_map(root, RW, 0, resizable, 0, PAGE, &at), ZX_ERR_NOT_SUPPORTED);
    OK(zx_vmar_map(root, RW | ZX_VM_ALLOW_FAULTS, 0, vmo, 3 * PAGE, 4 * PAGE, &at));

    // The regions and mappings of a region, and of the process.
    zx_info_maps_t maps[200];
    size_t actual = 0, avail = 0, found = 0;
    OK(zx_object_get_info(child, ZX_INFO_VMAR_MAPS, maps, sizeof(maps), &actual, &avail));
    TRUE(actual == 2 && avail == 2);
    TRUE(maps[0].type == ZX_INFO_MAPS_TYPE_VMAR && maps[0].depth == 0 && maps[0].base == base && maps[0].size == 32 * PAGE);
    TRUE(maps[1].type == ZX_INFO_MAPS_TYPE_MAPPING && maps[1].depth == 1 && maps[1].base == base + 4 * PAGE);
    TRUE(maps[1].u.mapping.vmo_koid == koid_of(vmo) && maps[1].u.mapping.mmu_flags == ZX_VM_PERM_READ);
    OK(zx_object_get_info(zx_process_self(), ZX_INFO_PROCESS_MAPS, maps, sizeof(maps), &actual, &avail));
    NUMBER(actual, avail);
    TRUE(maps[0].type == ZX_INFO_MAPS_TYPE_ASPACE && maps[1].type == ZX_INFO_MAPS_TYPE_VMAR && maps[1].depth == 1);
    for (size_t i = 0; i < actual; i++) found += maps[i].base == base + 4 * PAGE && maps[i].type == ZX_INFO_MAPS_TYPE_MAPPING;
    NUMBER(found, 1);
    STATUS(zx_object_get_info(root, ZX_INFO_PROCESS_MAPS, maps, sizeof(maps), 0, 0), ZX_ERR_WRONG_TYPE);
    STATUS(zx_object_get_info(vmo, ZX_INFO_VMAR_MAPS, maps, sizeof(maps), 0, 0), ZX_ERR_WRONG_TYPE);
    zx_info_task_stats_t stats = {0};
    OK(zx_object_get_info(zx_process_self(), ZX_INFO_TASK_STATS, &stats, sizeof(stats), 0, 0));
    TRUE(stats.mem_mapped_bytes >= 16 * PAGE && stats.mem_private_bytes >= PAGE);
    OK(zx_vmar_destroy(child));
    STATUS(zx_object_get_info(child, ZX_INFO_VMAR_MAPS, maps, sizeof(maps), 0, 0), ZX_ERR_BAD_STATE);
}

// A thread that takes its stack with it when it goes.
static zx_handle_t leaving, closed;
static zx_vaddr_t own_stack;
static volatile zx_status_t refused;

static void leave(uintptr_t length, uintptr_t unused) {
    refused = ZX_OK;
    refused = zx_vmar_unmap_handle_close_thread_exit(zx_vmar_root_self(), own_stack + 1, length, closed);
    zx_vmar_unmap_handle_close_thread_exit(zx_vmar_root_self(), own_stack, length, closed);
}

static void start_leaving(void) {
    zx_handle_t vmo;
    OK(zx_vmo_create(4 * PAGE, 0, &vmo));
    OK(zx_vmar_map(zx_vmar_root_self(), RW, 0, vmo, 0, 4 * PAGE, &own_stack));
    OK(zx_thread_create(zx_process_self(), "t", 1, 0, &leaving));
    OK(zx_thread_start(leaving, (zx_vaddr_t)&leave, own_stack + 4 * PAGE - 8, 4 * PAGE, 0));
}

static void exits(void) {
    zx_handle_t channel, exception = 0;
    zx_exception_info_t info = {0};
    zx_thread_state_general_regs_t regs = {0};
    char byte;
    size_t n;
    OK(zx_event_create(0, &closed));
    start_leaving();
    OK(zx_object_wait_one(leaving, ZX_THREAD_TERMINATED, ZX_TIME_INFINITE, 0));
    STATUS(refused, ZX_ERR_INVALID_ARGS);
    STATUS(zx_handle_close(closed), ZX_ERR_BAD_HANDLE);
    STATUS(zx_process_read_memory(zx_process_self(), own_stack, &byte, 1, &n), ZX_ERR_NO_MEMORY);

    // If the handle can not be closed, it takes a trap.
    closed = NO_HANDLE;
    OK(zx_task_create_exception_channel(zx_process_self(), 0, &channel));
    start_leaving();
    OK(zx_object_wait_one(channel, ZX_CHANNEL_READABLE, ZX_TIME_INFINITE, 0));
    OK(zx_channel_read(channel, 0, &info, &exception, sizeof(info), 1, 0, 0));
    NUMBER(info.type, ZX_EXCP_UNDEFINED_INSTRUCTION);
    OK(zx_thread_read_state(leaving, ZX_THREAD_STATE_GENERAL_REGS, &regs, sizeof(regs)));
    TRUE(regs.rsp - own_stack < 4 * PAGE);
    uint32_t handled = ZX_EXCEPTION_STATE_HANDLED;
    OK(zx_object_set_property(exception, ZX_PROP_EXCEPTION_STATE, &handled, sizeof(handled)));
    OK(zx_handle_close(exception));
    OK(zx_object_wait_one(leaving, ZX_THREAD_TERMINATED, ZX_TIME_INFINITE, 0));
    OK(zx_handle_close(channel));
}

int main(void) {
    vmos();
    vmars();
    more_vmos();
    more_vmars();
    exits();
    return finish();
}
