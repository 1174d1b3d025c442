// Profiles, and VMOs that become executable.

#include "check.h"

#define PAGE 4096ul

static void executable(zx_handle_t root) {
    zx_handle_t vmex, other, vmo, code, event;
    OK(zx_resource_create(root, ZX_RSRC_KIND_SYSTEM, ZX_RSRC_SYSTEM_VMEX_BASE, 1, "vmex", 4, &vmex));
    OK(zx_resource_create(root, ZX_RSRC_KIND_SYSTEM, ZX_RSRC_SYSTEM_MSI_BASE, 1, "msi", 3, &other));
    OK(zx_vmo_create(PAGE, 0, &vmo));
    zx_koid_t koid = koid_of(vmo);
    zx_rights_t rights = rights_of(vmo);
    OK(zx_vmo_write(vmo, "\xb8\x2a\x00\x00\x00\xc3", 0, 6));
    zx_vaddr_t at;
    STATUS(zx_vmar_map(zx_vmar_root_self(), ZX_VM_PERM_READ | ZX_VM_PERM_EXECUTE, 0, vmo, 0, PAGE, &at), ZX_ERR_ACCESS_DENIED);
    OK(zx_vmo_replace_as_executable(vmo, vmex, &code));
    STATUS(zx_handle_close(vmo), ZX_ERR_BAD_HANDLE);
    NUMBER(koid_of(code), koid);
    NUMBER(rights_of(code), rights | ZX_RIGHT_EXECUTE);
    OK(zx_vmar_map(zx_vmar_root_self(), ZX_VM_PERM_READ | ZX_VM_PERM_EXECUTE, 0, code, 0, PAGE, &at));
    NUMBER(((int (*)(void))at)(), 42);

    // No resource is needed where the job's policy does not mind.
    OK(zx_vmo_create(PAGE, 0, &vmo));
    OK(zx_vmo_replace_as_executable(vmo, ZX_HANDLE_INVALID, &code));
    NUMBER(rights_of(code), rights | ZX_RIGHT_EXECUTE);

    // The old handle goes even if there is no new one.
    OK(zx_vmo_create(PAGE, 0, &vmo));
    STATUS(zx_vmo_replace_as_executable(vmo, other, &code), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_handle_close(vmo), ZX_ERR_BAD_HANDLE);
    OK(zx_vmo_create(PAGE, 0, &vmo));
    STATUS(zx_vmo_replace_as_executable(vmo, NO_HANDLE, &code), ZX_ERR_BAD_HANDLE);
    STATUS(zx_handle_close(vmo), ZX_ERR_BAD_HANDLE);
    OK(zx_vmo_create(PAGE, 0, &vmo));
    STATUS(zx_vmo_replace_as_executable(vmo, zx_process_self(), &code), ZX_ERR_WRONG_TYPE);
    OK(zx_vmo_create(PAGE, 0, &vmo));
    STATUS(zx_vmo_replace_as_executable(vmo, vmex, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_vmo_replace_as_executable(NO_HANDLE, vmex, &code), ZX_ERR_BAD_HANDLE);
    OK(zx_event_create(0, &event));
    STATUS(zx_vmo_replace_as_executable(event, vmex, &code), ZX_ERR_WRONG_TYPE);
    STATUS(zx_handle_close(event), ZX_ERR_BAD_HANDLE);
}

int main(void) {
    zx_handle_t root = zx_take_startup_handle(PA_HND(PA_RESOURCE, 0));
    executable(root);

    zx_handle_t right, other, profile, memory, none;
    OK(zx_resource_create(root, ZX_RSRC_KIND_SYSTEM, ZX_RSRC_SYSTEM_PROFILE_BASE, 1, "profile", 7, &right));
    OK(zx_resource_create(root, ZX_RSRC_KIND_SYSTEM, ZX_RSRC_SYSTEM_MSI_BASE, 1, "msi", 3, &other));
    zx_profile_info_t info = {.flags = ZX_PROFILE_INFO_FLAG_PRIORITY, .priority = ZX_PRIORITY_HIGH};
    OK(zx_profile_create(right, 0, &info, &profile));
    STATUS(zx_profile_create(right, 1, &info, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_profile_create(right, 0, BAD, &none), ZX_ERR_INVALID_ARGS);
    STATUS(zx_profile_create(right, 0, &info, BAD), ZX_ERR_INVALID_ARGS);
    STATUS(zx_profile_create(other, 0, &info, &none), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_profile_create(zx_process_self(), 0, &info, &none), ZX_ERR_WRONG_TYPE);
    STATUS(zx_profile_create(NO_HANDLE, 0, &info, &none), ZX_ERR_BAD_HANDLE);
    // The job of the program is not the root job.
    STATUS(zx_profile_create(zx_job_default(), 0, &info, &none), ZX_ERR_ACCESS_DENIED);
    info.priority = ZX_PRIORITY_HIGHEST + 1;
    STATUS(zx_profile_create(right, 0, &info, &none), ZX_ERR_INVALID_ARGS);
    info.priority = ZX_PRIORITY_LOWEST - 1;
    STATUS(zx_profile_create(right, 0, &info, &none), ZX_ERR_INVALID_ARGS);
    info.flags = 0;
    STATUS(zx_profile_create(right, 0, &info, &none), ZX_ERR_INVALID_ARGS);
    info.flags = 1u << 31;
    STATUS(zx_profile_create(right, 0, &info, &none), ZX_ERR_INVALID_ARGS);
    zx_profile_info_t deadline = {.flags = ZX_PROFILE_INFO_FLAG_DEADLINE, .deadline_params = {2, 3, 4}};
    OK(zx_profile_create(right, 0, &deadline, &none));
    deadline.deadline_params.period = 1;
    STATUS(zx_profile_create(right, 0, &deadline, &none), ZX_ERR_INVALID_ARGS);
    zx_profile_info_t precious = {.flags = ZX_PROFILE_INFO_FLAG_MEMORY_PRIORITY, .priority = ZX_PRIORITY_HIGH};
    OK(zx_profile_create(right, 0, &precious, &memory));

    OK(zx_object_set_profile(zx_thread_self(), profile, 0));
    OK(zx_object_set_profile(zx_vmar_root_self(), memory, 0));
    STATUS(zx_object_set_profile(zx_thread_self(), with_rights(profile, ZX_RIGHT_INSPECT), 0), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_object_set_profile(with_rights(zx_thread_self(), ZX_RIGHT_INSPECT), profile, 0), ZX_ERR_ACCESS_DENIED);
    STATUS(zx_object_set_profile(zx_process_self(), profile, 0), ZX_ERR_WRONG_TYPE);
    STATUS(zx_object_set_profile(zx_thread_self(), right, 0), ZX_ERR_WRONG_TYPE);
    STATUS(zx_object_set_profile(NO_HANDLE, profile, 0), ZX_ERR_BAD_HANDLE);
    STATUS(zx_object_set_profile(zx_thread_self(), NO_HANDLE, 0), ZX_ERR_BAD_HANDLE);
    zx_handle_t region;
    zx_vaddr_t at;
    OK(zx_vmar_allocate(zx_vmar_root_self(), 0, 0, PAGE, &region, &at));
    OK(zx_vmar_destroy(region));
    STATUS(zx_object_set_profile(region, memory, 0), ZX_ERR_BAD_STATE);
    return finish();
}
