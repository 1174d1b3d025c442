// IOMMUs, the devices behind them, their interrupts, pinned memory, memory in one piece, and what is known about memory.

#include "check.h"

#define PAGE 4096ul
#define DEVICE 7

static zx_info_bti_t info_of(zx_handle_t bti) {
    zx_info_bti_t info = {0};
    zx_object_get_info(bti, ZX_INFO_BTI, &info, sizeof(info), 0, 0);
    return info;
}

static zx_info_vmo_t vmo_info(zx_handle_t vmo) {
    zx_info_vmo_t info = {0};
    OK(zx_object_get_info(vmo, ZX_INFO_VMO, &info, sizeof(info), 0, 0));
    return info;
}

static zx_handle_t iommus(zx_handle_t root) {
    zx_handle_t right, other, iommu, again, none;
    char desc = 0;
    OK(zx_resource_create(root, ZX_RSRC_KIND_SYSTEM, ZX_RSRC_SYSTEM_IOMMU_BASE, 1, "iommu", 5, &right));
    OK(zx_resource_create(root, ZX_RSRC_KIND_SYSTEM, ZX_RSRC_SYSTEM_MSI_BASE, 1, "msi", 3, &other));
    OK(zx_iommu_create(right, ZX_IOMMU_TYPE_DUMMY, &desc, 1, &iommu));
    OK(zx_iommu_create(root, ZX_IOMMU_TYPE_DUMMY, &desc, 1, &again));
    STATUS(zx_iommu_create(other, ZX_IOMMU_TYPE_DUMMY, &desc, 1, &none), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_iommu_create(right, ZX_IOMMU_TYPE_DUMMY, &desc, 0, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_iommu_create(right, ZX_IOMMU_TYPE_DUMMY, &desc, ZX_IOMMU_MAX_DESC_LEN + 1, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_iommu_create(right, ZX_IOMMU_TYPE_DUMMY, BAD, 1, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_iommu_create(right, ZX_IOMMU_TYPE_DUMMY, &desc, 1, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_iommu_create(right, 99, &desc, 1, &none), ZX_ERR_NOT_SUPPORTED);
    STATUS(zx_iommu_create(NO_HANDLE, ZX_IOMMU_TYPE_DUMMY, &desc, 1, &none), ZX_ERR_BAD_HANDLE);
    STATUS(zx_iommu_create(zx_process_self(), ZX_IOMMU_TYPE_DUMMY, &desc, 1, &none), ZX_ERR_WRONG_TYPE);
    return iommu;
}

static void pinning(zx_handle_t bti) {
    zx_handle_t vmo, pmt, left, none;
    zx_paddr_t addrs[3] = {0};
    OK(zx_vmo_create(2 * PAGE, 0, &vmo));
    NUMBER(info_of(bti).minimum_contiguity, PAGE);
    NUMBER(vmo_info(vmo).committed_bytes, 0);
    OK(zx_bti_pin(bti, ZX_BTI_PERM_READ | ZX_BTI_PERM_WRITE, vmo, 0, 2 * PAGE, addrs, 2, &pmt));
    TRUE(addrs[0] % PAGE == 0 && addrs[1] % PAGE == 0 && addrs[0] != addrs[1] && addrs[0] != 0);
    NUMBER(vmo_info(vmo).committed_bytes, 2 * PAGE);
    NUMBER(info_of(bti).pmo_count, 1);
    NUMBER(info_of(bti).quarantine_count, 0);
    STATUS(zx_vmo_op_range(vmo, ZX_VMO_OP_DECOMMIT, 0, PAGE, 0, 0), ZX_ERR_BAD_STATE);

    STATUS(zx_bti_pin(bti, 0, vmo, 0, 2 * PAGE, addrs, 2, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_bti_pin(bti, 1u << 30, vmo, 0, 2 * PAGE, addrs, 2, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_bti_pin(bti, ZX_BTI_PERM_READ, vmo, 0, 2 * PAGE, addrs, 1, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_bti_pin(bti, ZX_BTI_PERM_READ, vmo, 0, 2 * PAGE, addrs, 3, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_bti_pin(bti, ZX_BTI_PERM_READ, vmo, 1, PAGE, addrs, 1, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_bti_pin(bti, ZX_BTI_PERM_READ, vmo, 0, PAGE + 1, addrs, 2, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_bti_pin(bti, ZX_BTI_PERM_READ | ZX_BTI_CONTIGUOUS, vmo, 0, PAGE, addrs, 1, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_bti_pin(bti, ZX_BTI_PERM_READ, vmo, PAGE, 2 * PAGE, addrs, 2, &none), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_bti_pin(bti, ZX_BTI_PERM_READ, vmo, UINT64_MAX - PAGE + 1, 2 * PAGE, addrs, 2, &none), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_bti_pin(bti, ZX_BTI_PERM_READ, vmo, 0, PAGE, BAD, 1, &none), ZX_ERR_INVALID_ARGS);
    NUMBER(info_of(bti).quarantine_count, 0);
    STATUS(zx_bti_pin(NO_HANDLE, ZX_BTI_PERM_READ, vmo, 0, PAGE, addrs, 1, &none), ZX_ERR_BAD_HANDLE);
    STATUS(zx_bti_pin(bti, ZX_BTI_PERM_READ, NO_HANDLE, 0, PAGE, addrs, 1, &none), ZX_ERR_BAD_HANDLE);
    STATUS(zx_bti_pin(vmo, ZX_BTI_PERM_READ, vmo, 0, PAGE, addrs, 1, &none), ZX_ERR_WRONG_TYPE);
    STATUS(zx_bti_pin(bti, ZX_BTI_PERM_READ, bti, 0, PAGE, addrs, 1, &none), ZX_ERR_WRONG_TYPE);
    STATUS(zx_bti_pin(with_rights(bti, ZX_RIGHT_READ), ZX_BTI_PERM_READ, vmo, 0, PAGE, addrs, 1, &none), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_bti_pin(bti, ZX_BTI_PERM_READ, with_rights(vmo, ZX_RIGHT_READ), 0, PAGE, addrs, 1, &none), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_bti_pin(bti, ZX_BTI_PERM_EXECUTE, with_rights(vmo, ZX_RIGHT_MAP | ZX_RIGHT_WRITE), 0, PAGE, addrs, 1, &none), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_bti_pin(bti, ZX_BTI_PERM_WRITE, with_rights(vmo, ZX_RIGHT_MAP | ZX_RIGHT_READ), 0, PAGE, addrs, 1, &none), ZX_ERR_ACCESS_DENIED);

    // Pinned pages are not shared, and not cut off.
    zx_handle_t sized, held;
    STATUS(zx_vmo_create_child(vmo, ZX_VMO_CHILD_SNAPSHOT, 0, PAGE, &none), ZX_ERR_BAD_STATE);
    OK(zx_vmo_create(2 * PAGE, ZX_VMO_RESIZABLE, &sized));
    OK(zx_bti_pin(bti, ZX_BTI_PERM_READ, sized, PAGE, PAGE, addrs, 1, &held));
    STATUS(zx_vmo_set_size(sized, PAGE), ZX_ERR_BAD_STATE);
    OK(zx_pmt_unpin(held));
    OK(zx_vmo_set_size(sized, PAGE));

    // Unpinned as it should be, and left behind.
    OK(zx_bti_pin(bti, ZX_BTI_PERM_READ | ZX_BTI_COMPRESS, vmo, 0, PAGE, addrs, 1, &left));
    OK(zx_pmt_unpin(pmt));
    STATUS(zx_handle_close(pmt), ZX_ERR_BAD_HANDLE);
    NUMBER(info_of(bti).pmo_count, 1);
    OK(zx_vmo_op_range(vmo, ZX_VMO_OP_DECOMMIT, PAGE, PAGE, 0, 0));
    OK(zx_handle_close(left));
    NUMBER(info_of(bti).quarantine_count, 1);
    STATUS(zx_vmo_op_range(vmo, ZX_VMO_OP_DECOMMIT, 0, PAGE, 0, 0), ZX_ERR_BAD_STATE);
    STATUS(zx_bti_release_quarantine(with_rights(bti, ZX_RIGHT_MAP)), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_bti_release_quarantine(vmo), ZX_ERR_WRONG_TYPE);
    STATUS(zx_bti_release_quarantine(NO_HANDLE), ZX_ERR_BAD_HANDLE);
    NUMBER(info_of(bti).quarantine_count, 1);
    OK(zx_bti_release_quarantine(bti));
    NUMBER(info_of(bti).pmo_count, 0);
    OK(zx_vmo_op_range(vmo, ZX_VMO_OP_DECOMMIT, 0, PAGE, 0, 0));

    // A handle is gone even if it was none to a token.
    STATUS(zx_pmt_unpin(NO_HANDLE), ZX_ERR_BAD_HANDLE);
    zx_handle_t second = with_rights(vmo, ZX_RIGHT_READ);
    STATUS(zx_pmt_unpin(second), ZX_ERR_WRONG_TYPE);
    STATUS(zx_handle_close(second), ZX_ERR_BAD_HANDLE);
}

static void pieces(zx_handle_t root, zx_handle_t bti) {
    zx_handle_t vmo, pmt, mmio, none, slice;
    zx_paddr_t addrs[1];
    OK(zx_vmo_create_contiguous(bti, 3 * PAGE, 16, &vmo));
    NUMBER(vmo_info(vmo).flags & ZX_INFO_VMO_CONTIGUOUS, ZX_INFO_VMO_CONTIGUOUS);
    OK(zx_bti_pin(bti, ZX_BTI_PERM_READ | ZX_BTI_CONTIGUOUS, vmo, 0, 3 * PAGE, addrs, 1, &pmt));
    NUMBER(addrs[0] % 0x10000, 0);
    STATUS(zx_bti_pin(bti, ZX_BTI_PERM_READ | ZX_BTI_CONTIGUOUS | ZX_BTI_COMPRESS, vmo, 0, PAGE, addrs, 1, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_set_cache_policy(vmo, ZX_CACHE_POLICY_UNCACHED), ZX_ERR_BAD_STATE);
    OK(zx_pmt_unpin(pmt));
    STATUS(zx_vmo_create_contiguous(bti, 0, 0, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_create_contiguous(bti, PAGE, 1, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_create_contiguous(bti, PAGE, 64, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_create_contiguous(bti, PAGE, 0, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_create_contiguous(bti, SIZE_MAX, 0, &none), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_vmo_create_contiguous(vmo, PAGE, 0, &none), ZX_ERR_WRONG_TYPE);
    STATUS(zx_vmo_create_contiguous(NO_HANDLE, PAGE, 0, &none), ZX_ERR_BAD_HANDLE);
    STATUS(zx_vmo_create_contiguous(with_rights(bti, ZX_RIGHT_READ), PAGE, 0, &none), ZX_ERR_ACCESS_DENIED);

    OK(zx_vmo_set_cache_policy(vmo, ZX_CACHE_POLICY_WRITE_COMBINING));
    NUMBER(vmo_info(vmo).cache_policy, ZX_CACHE_POLICY_WRITE_COMBINING);
    STATUS(zx_vmo_set_cache_policy(vmo, 4), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_set_cache_policy(with_rights(vmo, ZX_RIGHT_READ), ZX_CACHE_POLICY_CACHED), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_vmo_set_cache_policy(bti, ZX_CACHE_POLICY_CACHED), ZX_ERR_WRONG_TYPE);
    STATUS(zx_vmo_set_cache_policy(NO_HANDLE, ZX_CACHE_POLICY_CACHED), ZX_ERR_BAD_HANDLE);
    OK(zx_vmo_create_child(vmo, ZX_VMO_CHILD_SLICE, 0, PAGE, &slice));
    STATUS(zx_vmo_set_cache_policy(vmo, ZX_CACHE_POLICY_CACHED), ZX_ERR_BAD_STATE);
    STATUS(zx_vmo_set_cache_policy(slice, ZX_CACHE_POLICY_CACHED), ZX_ERR_BAD_STATE);

    // The machine has no device's memory to look at.
    OK(zx_resource_create(root, ZX_RSRC_KIND_MMIO, 0x10000, 0x10000, "mmio", 4, &mmio));
    STATUS(zx_vmo_create_physical(mmio, 0x10000, PAGE, &none), ZX_ERR_OUT_OF_RANGE);
    STATUS(zx_vmo_create_physical(mmio, 0x20000, PAGE, &none), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_vmo_create_physical(mmio, 0x10001, PAGE, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_create_physical(mmio, 0x10000, 0, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_create_physical(vmo, 0x10000, PAGE, &none), ZX_ERR_WRONG_TYPE);
    STATUS(zx_vmo_create_physical(NO_HANDLE, 0x10000, PAGE, &none), ZX_ERR_BAD_HANDLE);
}

// What is known about VMOs.
static void about_vmos(void) {
    zx_handle_t vmo, child;
    zx_info_vmo_t info;
    size_t actual, avail;
    zx_vaddr_t at;
    OK(zx_vmo_create(3 * PAGE, ZX_VMO_RESIZABLE, &vmo));
    OK(zx_object_set_property(vmo, ZX_PROP_NAME, "data", 4));
    OK(zx_vmo_write(vmo, "x", PAGE, 1));
    OK(zx_vmo_create_child(vmo, ZX_VMO_CHILD_SNAPSHOT, 0, 2 * PAGE, &child));
    OK(zx_vmar_map(zx_vmar_root_self(), ZX_VM_PERM_READ | ZX_VM_ALLOW_FAULTS, 0, vmo, 0, PAGE, &at));
    OK(zx_object_get_info(vmo, ZX_INFO_VMO, &info, sizeof(info), &actual, &avail));
    TRUE(actual == 1 && avail == 1 && info.koid == koid_of(vmo) && info.parent_koid == 0);
    TRUE(info.name[0] == 'd' && info.name[3] == 'a' && info.name[4] == 0);
    NUMBER(info.size_bytes, 3 * PAGE);
    NUMBER(info.num_children, 1);
    NUMBER(info.num_mappings, 1);
    NUMBER(info.share_count, 1);
    NUMBER(info.flags, ZX_INFO_VMO_TYPE_PAGED | ZX_INFO_VMO_RESIZABLE | ZX_INFO_VMO_VIA_HANDLE);
    NUMBER(info.handle_rights, rights_of(vmo));
    NUMBER(info.committed_bytes, PAGE);
    NUMBER(info.committed_private_bytes, 0);
    NUMBER(info.committed_scaled_bytes, PAGE / 2);
    info = vmo_info(child);
    TRUE(info.parent_koid == koid_of(vmo) && (info.flags & ZX_INFO_VMO_IS_COW_CLONE) != 0);

    // Those of a process, once for each way to find them.
    static zx_info_vmo_t list[64];
    OK(zx_object_get_info(zx_process_self(), ZX_INFO_PROCESS_VMOS, list, sizeof(list), &actual, &avail));
    TRUE(actual == avail && actual > 2);
    int by_handle = 0, by_mapping = 0;
    for (size_t i = 0; i < actual; i++) {
        if (list[i].koid != koid_of(vmo)) continue;
        by_handle += (list[i].flags & ZX_INFO_VMO_VIA_HANDLE) != 0 && list[i].handle_rights == rights_of(vmo);
        by_mapping += (list[i].flags & ZX_INFO_VMO_VIA_MAPPING) != 0;
    }
    NUMBER(by_handle, 1);
    NUMBER(by_mapping, 1);
    OK(zx_object_get_info(zx_process_self(), ZX_INFO_PROCESS_VMOS, list, sizeof(list[0]), &actual, &avail));
    TRUE(actual == 1 && avail > 2);
    STATUS(zx_object_get_info(vmo, ZX_INFO_PROCESS_VMOS, list, sizeof(list), 0, 0), ZX_ERR_WRONG_TYPE);
    STATUS(zx_object_get_info(with_rights(zx_process_self(), ZX_RIGHT_READ), ZX_INFO_PROCESS_VMOS, list, sizeof(list), 0, 0), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_object_get_info(vmo, ZX_INFO_VMO, &info, sizeof(info) - 1, 0, 0), ZX_ERR_BUFFER_TOO_SMALL);
    STATUS(zx_object_get_info(zx_process_self(), ZX_INFO_VMO, &info, sizeof(info), 0, 0), ZX_ERR_WRONG_TYPE);
    STATUS(zx_object_get_info(with_rights(vmo, ZX_RIGHT_READ), ZX_INFO_VMO, &info, sizeof(info), 0, 0), ZX_ERR_ACCESS_DENIED);
}

// Interrupts that a device sends as messages, by a capability in its page of registers.
static void messages(zx_handle_t root, zx_handle_t bti) {
    zx_handle_t right, other, msi, page, plain, interrupt, none;
    zx_info_msi_t info;
    OK(zx_resource_create(root, ZX_RSRC_KIND_SYSTEM, ZX_RSRC_SYSTEM_MSI_BASE, 1, "msi", 3, &right));
    OK(zx_resource_create(root, ZX_RSRC_KIND_SYSTEM, ZX_RSRC_SYSTEM_IOMMU_BASE, 1, "iommu", 5, &other));
    OK(zx_msi_allocate(right, 4, &msi));
    STATUS(zx_msi_allocate(right, 3, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_msi_allocate(right, 32, &none), ZX_ERR_NO_RESOURCES);
    STATUS(zx_msi_allocate(other, 1, &none), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_msi_allocate(bti, 1, &none), ZX_ERR_WRONG_TYPE);
    STATUS(zx_msi_allocate(NO_HANDLE, 1, &none), ZX_ERR_BAD_HANDLE);

    OK(zx_vmo_create_contiguous(bti, PAGE, 0, &page));
    OK(zx_vmo_write(page, "\x05", 0x50, 1));
    STATUS(zx_msi_create(msi, 0, 2, page, 0x50, &none), ZX_ERR_INVALID_ARGS);
    OK(zx_vmo_set_cache_policy(page, ZX_CACHE_POLICY_UNCACHED_DEVICE));
    OK(zx_msi_create(msi, 0, 2, page, 0x50, &interrupt));
    OK(zx_object_get_info(msi, ZX_INFO_MSI, &info, sizeof(info), 0, 0));
    TRUE(info.num_irq == 4 && info.interrupt_count == 1 && info.base_irq_id >= 32);
    STATUS(zx_msi_create(msi, 0, 2, page, 0x50, &none), ZX_ERR_ALREADY_BOUND);
    STATUS(zx_msi_create(msi, 0, 4, page, 0x50, &none), ZX_ERR_BAD_STATE);
    STATUS(zx_msi_create(msi, 1, 1, page, 0x50, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_msi_create(msi, 0, 1, page, 0x60, &none), ZX_ERR_INVALID_ARGS);
    OK(zx_vmo_create(PAGE, 0, &plain));
    STATUS(zx_msi_create(msi, 0, 1, plain, 0, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_msi_create(msi, 0, 1, with_rights(page, ZX_RIGHT_READ), 0x50, &none), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_msi_create(bti, 0, 1, page, 0x50, &none), ZX_ERR_WRONG_TYPE);
    STATUS(zx_msi_create(NO_HANDLE, 0, 1, page, 0x50, &none), ZX_ERR_BAD_HANDLE);
    STATUS(zx_interrupt_trigger(interrupt, 0, 0), ZX_ERR_BAD_STATE);
    OK(zx_interrupt_destroy(interrupt));
    OK(zx_object_get_info(msi, ZX_INFO_MSI, &info, sizeof(info), 0, 0));
    NUMBER(info.interrupt_count, 0);
    STATUS(zx_object_get_info(bti, ZX_INFO_MSI, &info, sizeof(info), 0, 0), ZX_ERR_WRONG_TYPE);
}

int main(void) {
    zx_handle_t root = zx_take_startup_handle(PA_HND(PA_RESOURCE, 0));
    zx_handle_t bti, none;
    zx_info_bti_t info;
    zx_handle_t iommu = iommus(root);
    OK(zx_bti_create(iommu, 0, DEVICE, &bti));
    STATUS(zx_bti_create(iommu, 1, DEVICE, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_bti_create(iommu, 0, DEVICE, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_bti_create(root, 0, DEVICE, &none), ZX_ERR_WRONG_TYPE);
    STATUS(zx_bti_create(NO_HANDLE, 0, DEVICE, &none), ZX_ERR_BAD_HANDLE);
    OK(zx_object_get_info(bti, ZX_INFO_BTI, &info, sizeof(info), 0, 0));
    STATUS(zx_object_get_info(root, ZX_INFO_BTI, &info, sizeof(info), 0, 0), ZX_ERR_WRONG_TYPE);
    STATUS(zx_object_get_info(with_rights(bti, ZX_RIGHT_MAP), ZX_INFO_BTI, &info, sizeof(info), 0, 0), ZX_ERR_ACCESS_DENIED);
    pinning(bti);
    pieces(root, bti);
    messages(root, bti);
    about_vmos();
    return finish();
}
